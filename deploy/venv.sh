#!/bin/sh
# Create the virtual environment and install the project with the pinned versions: venv.sh DIRECTORY EXTRAS
set -eu
directory=$1
extras=$2

python=${HILUM_PYTHON:-python3}
if ! "$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed; found: $("$python" --version 2>&1 || echo none)." >&2
    exit 1
fi
if [ ! -x "$directory/bin/python" ]; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        echo "python3-venv is missing; trying to install it."
        if [ "$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q python3-venv
        elif sudo -n true 2>/dev/null; then sudo -n apt-get update -q && sudo -n apt-get install -y -q python3-venv
        else echo "Install it first: apt-get install python3-venv" >&2; exit 1
        fi
    fi
    echo "Creating the virtual environment in $directory."
    "$python" -m venv "$directory"
fi
case $extras in
*worker*) echo "Installing Hilum [$extras]. PyTorch is large: the first time takes some minutes." ;;
*) echo "Installing Hilum [$extras]." ;;
esac
rm -rf hilum.egg-info # of an older build; it would hide the pipelines of this one
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".[$extras]"
