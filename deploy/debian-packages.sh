#!/bin/sh
# Install the real peers that the tests talk to, where this is allowed; otherwise say what is missing and go on.
# The tests that need a missing peer skip and name its package. No service is started: the tests start their own.
set -eu
packages=""
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || packages="$packages $2"; }
need storescu dcmtk
need Orthanc orthanc
need dciodvfy dicom3tools
need redis-server redis-server
need chromium chromium
need npm npm
need strace strace
need ip iproute2
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || packages="$packages orthanc-dicomweb"
ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || packages="$packages libfaketime"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || packages="$packages postgresql"
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "These test peers are not installed, and this is no Debian:$packages. Their tests will skip."
    exit 0
fi
if [ "$(id -u)" = 0 ]; then as_root=""
elif sudo -n true 2>/dev/null; then as_root="sudo -n"
else
    echo "These test peers are not installed, and there is no root or passwordless sudo:$packages. Their tests will skip."
    exit 0
fi
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod +x "$policy"
    trap '$as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
fi
echo "Installing test peers:$packages"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null || true
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >/dev/null ||
    for package in $packages; do
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" >/dev/null ||
            echo "Could not install $package. Its tests will skip."
    done
