#!/usr/bin/env bash
# The three ways of installing, each tried: pip install -e . (that is .venv), pip install ., colcon build.
# The heavy dependencies are borrowed from .venv; what is proven here is our own package's part.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
base=$(.venv/bin/python -c 'import os, sys; print(os.path.realpath(sys.executable))')
git ls-files -z | xargs -0 cp --parents -t "$work"
cd "$work"

# A virtual environment with everything of .venv but us.
borrow() {
    "$base" -m venv "$1"
    local target
    target=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    for path in "$site"/* "$site"/.[!.]*; do
        case ${path##*/} in __editable__*|insegan*|pip|pip-*|"*") continue ;; esac
        [ -e "$target/${path##*/}" ] || ln -s "$path" "$target/"
    done
    # The ROS wheels keep their libraries and indices beside the site-packages.
    mkdir -p "$1/share"
    for path in "$root"/.venv/lib/* "$root"/.venv/share/*; do
        local place=${path#"$root/.venv/"}
        [ ! -e "$path" ] || [ -e "$1/$place" ] || ln -s "$path" "$1/$place"
    done
}

echo '== pip install -e .'
"$root/.venv/bin/insegan" --version
(cd / && "$root/.venv/bin/python" -c 'import insegan_ros.frame, insegan_sim.parts')

echo '== pip install .'
borrow plain
plain/bin/python -m pip install --quiet --no-deps --no-build-isolation --no-index .
test -x plain/bin/insegan || test -x plain/lib/insegan_ros/insegan
cat > plain/check.py <<'PY'
import insegan_ros
import insegan_sim
from insegan_ros.nodes.dds import profile_path
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.files import shipped_folders
from insegan_sim.sensor import load_sensor
assert '/plain/' in insegan_ros.__file__ and '/plain/' in insegan_sim.__file__, insegan_ros.__file__
assert '/plain/' in str(profile_path()), profile_path()
assert '/plain/' in str(shipped_folders('checkpoints')[0]), shipped_folders('checkpoints')
load_sensor('d435')
print('loads', type(load_segmenter('cutpaste-nut', device='cpu')).__name__)
PY
(cd / && "$work/plain/bin/python" "$work/plain/check.py" && "$work"/plain/bin/insegan --version)

echo '== colcon build'
"$base" -m venv colcon-env
colcon-env/bin/python -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" colcon-common-extensions setuptools
rm -rf build plain/lib/insegan_ros
# colcon builds with the Python that runs it; the scripts then name that Python, so it gets the dependencies too.
borrow colcon-env
colcon-env/bin/colcon build --packages-select insegan_ros >colcon.log 2>&1 || { cat colcon.log; exit 1; }
set +u
. install/setup.sh
set -u
run=install/insegan_ros/lib/insegan_ros
"$run/insegan" --version
# The installed node, from its own folder, until it listens.
(cd / && timeout --signal=INT 40 "$work/$run/segmenter" --ros-args -p model:=cutpaste-nut -p autostart:=true -p device:=cpu) >node.log 2>&1 || true
grep -q 'listening on' node.log || { cat node.log; exit 1; }
echo 'installation: three ways, all well'
