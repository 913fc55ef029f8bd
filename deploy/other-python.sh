#!/bin/sh
# Make a second environment with another version of Python, where this machine has one: other-python.sh DIRECTORY
# Only what encodes results goes into it, without PyTorch. A test compares the bytes of both (tests/integration/
# test_deterministic.py); it skips where there is no second version, or no network to install from.
set -eu
directory=$1
here=$("${HILUM_PYTHON:-python3}" -c 'import sys; print(f"3.{sys.version_info.minor}")')
libraries="highdicom matplotlib numpy opencv-python-headless pillow pydantic pydicom pyjpegls pylibjpeg
    pylibjpeg-openjpeg pylibjpeg-rle python-gdcm pyyaml"
[ -e "$directory/.complete" ] && exit 0
for version in 3.13 3.12 3.14 3.11; do
    [ "$version" = "$here" ] && continue
    for python in "python$version" "$HOME"/.pyenv/versions/"$version".*/bin/python; do
        "$python" -c 'import ensurepip, venv' 2>/dev/null || continue
        echo "Preparing Python $version, to compare the bytes of results."
        rm -rf "$directory"
        # shellcheck disable=SC2086
        if "$python" -m venv "$directory" &&
            "$directory/bin/python" -m pip install --quiet --disable-pip-version-check \
                --constraint constraints.txt $libraries; then
            touch "$directory/.complete"
            exit 0
        fi
        echo "Python $version could not be prepared."
    done
done
echo "No second version of Python is ready here: the comparison between versions will skip."
