#!/usr/bin/env bash
# Everything that `make demo` and `make test` need: system libraries, .venv, the package with its pinned dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*"; }

"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    { say "found $("$PYTHON" --version 2>&1), expected Python 3.11 to 3.13: set PYTHON=python3.x"; exit 1; }

# Shared libraries that pyrealsense2, Open3D and OpenCV load, and the Debian/Ubuntu packages that hold them.
declare -A PACKAGES=([libusb-1.0.so.0]=libusb-1.0-0 [libudev.so.1]=libudev1 [libGL.so.1]=libgl1 [libEGL.so.1]=libegl1
    [libX11.so.6]=libx11-6 [libidn2.so.0]=libidn2-0 [libgomp.so.1]=libgomp1 [libglib-2.0.so.0]=libglib2.0-0)
missing=()
for library in "${!PACKAGES[@]}"; do
    "$PYTHON" -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null || missing+=("${PACKAGES[$library]}")
done
if [ ${#missing[@]} -gt 0 ]; then
    say "installing system libraries: ${missing[*]}"
    root=""
    [ "$(id -u)" = 0 ] || root="sudo -n"
    { command -v apt-get >/dev/null && $root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
        { say "could not install ${missing[*]}: expected apt-get with root rights; install the packages of these names with your package manager, then run make again"; exit 1; }
fi

[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
extras=test
if .venv/bin/python -c 'import rclpy, sensor_msgs, geometry_msgs, lifecycle_msgs, std_srvs, diagnostic_msgs, visualization_msgs' 2>/dev/null && [ -n "${ROS_DISTRO:-}" ]; then
    say "using the sourced ROS 2 $ROS_DISTRO"
else
    extras=test,ros
fi
say "installing Python packages (some 6 GB with PyTorch the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'setuptools' wheel
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[$extras]"
# Built from source. Only two training recipes use it, and say so where it is missing.
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pydensecrf2 ||
    say "pydensecrf2 could not be built (is a C++ compiler there?): insegan train irnet and ccgr then need --crf.relations false --crf.labels false"
touch .venv/.ready
say "done: .venv/bin/insegan --help"
