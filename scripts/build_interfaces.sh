#!/usr/bin/env bash
# Build insegan_ros_interfaces, the action's type, where there is no ROS 2 installation: with ROS 2's
# generators, which are wheels on PyPI. On a robot `colcon build` does it. Needs cmake and a C++
# compiler; takes a minute or two.
#
#     bash scripts/build_interfaces.sh build/interfaces && . build/interfaces/env.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:?usage: build_interfaces.sh FOLDER}"
out=$(cd "$1" && pwd)
python=${PYTHON:-$root/.venv/bin/python}
tools=$out/tools

# The messages and what they are made with, of the versions that constraints.txt has.
ament=(core export-dependencies export-definitions export-include-directories export-interfaces
    export-libraries export-link-flags export-targets gen-version-h gmock gtest include-directories
    libraries pytest python ros-core target-dependencies test version)
"$python" -m pip install -q --ignore-installed --no-deps --no-warn-script-location \
    --prefix "$tools" -c "$root/constraints.txt" \
    ros-ament-cmake ros-ament-cmake-ros "${ament[@]/#/ros-ament-cmake-}" ros-ament-package \
    ros-ament-lint ros-ament-index-python ros-ament-cmake-{cppcheck,cpplint,flake8,pep257,uncrustify} \
    ros-rosidl-{adapter,cli,cmake,core-generators,core-runtime,default-generators,default-runtime} \
    ros-rosidl-generator-{c,cpp,py,type-description} ros-rosidl-{parser,pycommon,runtime-c,runtime-cpp} \
    ros-rosidl-typesupport-{c,cpp,fastrtps-c,fastrtps-cpp,interface,introspection-c,introspection-cpp} \
    ros-rosidl-dynamic-typesupport ros-rpyutils ros-python-cmake-module ros-rcutils ros-rcpputils \
    ros-rmw ros-fastcdr ros-foonathan-memory-vendor ros-{action,geometry,sensor,service,std}-msgs \
    ros-builtin-interfaces ros-unique-identifier-msgs catkin_pkg empy lark-parser

# Wheels name folders of the machine that they were built on.
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
numpy=$("$python" -c 'import numpy; print(numpy.get_include())')
grep -rlZ /opt/python/ "$tools/share" --include='*.cmake' | xargs -0 -r sed -i -E \
    -e "s#/opt/python/[^;\"]*/numpy/_core/include#$numpy#g" \
    -e "s#/opt/python/[^;\"]*/include/python3[.0-9]*#$headers#g"

site=lib/python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')/site-packages
export PYTHONPATH=$tools/$site LD_LIBRARY_PATH=$tools/lib _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
export AMENT_PREFIX_PATH=$tools CMAKE_PREFIX_PATH=$tools
cmake -S "$root/interfaces" -B "$out/build" -DCMAKE_INSTALL_PREFIX="$out" -DCMAKE_BUILD_TYPE=Release \
    -DPython3_EXECUTABLE="$python" -DPYTHON_EXECUTABLE="$python" -DPython3_FIND_STRATEGY=LOCATION
cmake --build "$out/build" --target install

# rclpy's wheels start Python anew with a library path of their own, unless it is set already.
cat > "$out/env.sh" <<ENV
export LD_LIBRARY_PATH=$out/lib:\$(env -u _ROS_WHEELS_BOOTSTRAP_COMPLETE "$python" -c 'import os, rclpy; print(os.environ["LD_LIBRARY_PATH"])')
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
export PYTHONPATH=$out/$site\${PYTHONPATH:+:\$PYTHONPATH}
ENV
echo "built: . $out/env.sh"
