"""What is imported is declared: ROS packages in package.xml, Python packages in setup.py."""

import ast
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

OURS = {'insegan_ros', 'insegan_ros_interfaces', 'insegan_sim'}
# Import names that are not the distribution's.
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'maxflow': 'pymaxflow',
    'pydensecrf': 'pydensecrf2',
    'skimage': 'scikit-image',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}
# rosdep keys that are not python3- and the distribution's name.
ROSDEP_KEYS = {
    'docstring_parser': 'python3-docstring-parser',
    'opencv-python': 'python3-opencv',
    'pillow': 'python3-pil',
    'pyyaml': 'python3-yaml',
    'scikit-image': 'python3-skimage',
    'scikit-learn': 'python3-sklearn',
}
# ROS packages whose Python module has another name.
PACKAGES = {'tf2_ros': 'tf2_ros_py'}
# No distribution of its own on PyPI, and imported only where it is installed.
OPTIONAL_ROS = {'tf2_msgs', 'tf2_ros_py', 'vision_msgs'}


def imported(*folders: Path) -> set[str]:
    """Top-level names that the Python files below these folders import, the standard library's and
    our own left out. Names that are handed to import_module as text count too."""
    names = set()
    for path in (path for folder in folders for path in folder.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith('import_module'):
                names.update(
                    one.value
                    for one in node.args
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                )
    return {name.partition('.')[0] for name in names} - sys.stdlib_module_names - OURS


def setup_keyword(root: Path, name: str):
    """The value of a keyword of setup() in setup.py, where it is a literal."""
    for node in ast.walk(ast.parse((root / 'setup.py').read_text())):
        if isinstance(node, ast.keyword) and node.arg == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f'setup.py has no {name}')


def distributions(requirements: list[str]) -> set[str]:
    """Names of distributions without their extras and versions, in lower case."""
    return {re.split(r'[\[<>=!~]', requirement)[0].lower() for requirement in requirements}


def declared(root: Path, *kinds: str) -> set[str]:
    """Names in package.xml's elements of these kinds."""
    package = ElementTree.parse(root / 'package.xml').getroot()
    return {element.text for kind in kinds for element in package.iter(kind)}


def test_ros_packages_of_nodes_and_launch_files_are_in_package_xml(root: Path):
    python = distributions(setup_keyword(root, 'install_requires'))
    ros = {
        PACKAGES.get(name, name)
        for name in imported(root / 'insegan_ros/nodes', root / 'launch')
        if DISTRIBUTIONS.get(name, name).lower() not in python
    }
    assert {'rclpy', 'sensor_msgs', 'rosgraph_msgs', 'launch_ros', 'vision_msgs'} <= ros
    assert ros <= declared(root, 'exec_depend', 'depend')


def test_ros_packages_of_the_nodes_are_in_the_extra_for_machines_without_ros(root: Path):
    extra = distributions(setup_keyword(root, 'extras_require')['ros'])
    needed = imported(root / 'insegan_ros/nodes') & declared(root, 'exec_depend')
    assert {f'ros-{name.replace("_", "-")}' for name in needed - OPTIONAL_ROS} <= extra


def test_python_packages_that_are_imported_are_in_setup_py(root: Path):
    extras = setup_keyword(root, 'extras_require')
    known = distributions(setup_keyword(root, 'install_requires')).union(
        *(distributions(extra) for extra in extras.values())
    )
    ros = declared(root, 'exec_depend') | set(PACKAGES)
    missing = {
        name
        for name in imported(root / 'insegan_ros', root / 'sim') - ros
        if DISTRIBUTIONS.get(name, name).lower() not in known
    }
    assert not missing


def test_python_packages_of_the_tests_are_in_setup_py(root: Path):
    beside = {path.stem for path in (root / 'test').rglob('*.py')}
    known = distributions(
        [*setup_keyword(root, 'install_requires'), *setup_keyword(root, 'extras_require')['test']]
    )
    ros = declared(root, 'exec_depend', 'test_depend') | set(PACKAGES)
    missing = {
        name
        for name in imported(root / 'test') - ros - beside
        if DISTRIBUTIONS.get(name, name).lower() not in known
    }
    assert not missing


def test_a_robot_gets_every_python_package_by_rosdep_or_by_the_pip_command(root: Path):
    (command,) = (
        line.split()
        for line in (root / 'package.xml').read_text().splitlines()
        if 'pip install' in line
    )
    by_pip = distributions(command[command.index('constraints.txt') + 1 :])
    by_rosdep = declared(root, 'exec_depend')
    for name in distributions(setup_keyword(root, 'install_requires')):
        assert (name in by_pip) != (ROSDEP_KEYS.get(name, f'python3-{name}') in by_rosdep), name
