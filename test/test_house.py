"""Rules of the house, read off the syntax of every module: which room may import which, where ROS 2
may be imported, and that nothing imports in a circle."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up: a room imports what stands before it, never what stands behind it.
ROOMS = (
    'ground',
    'drawing',
    'camera',
    'data',
    'geometry',
    'picking',
    'metrics',
    'sim',
    'reconstruction',
    'nn',
    'engine',
    'segmenters',
    'offsets',
    'methods',
    'tasks',
    'benchmarks',
    'nodes',
    'cli',
)
GROUND = (
    'insegan_ros',
    'errors',
    'files',
    'floors',
    'frame',
    'heights',
    'limits',
    'renamed',
    'texts',
    'walls',
    'workspace',
)
# The simulator stands alone beside what a data set is and how it is measured.
BELOW_SIM = ('ground', 'drawing', 'camera', 'data', 'geometry', 'picking', 'metrics', 'sim')
ROS = (
    'ament_index_python',
    'diagnostic_msgs',
    'geometry_msgs',
    'insegan_ros_interfaces',
    'launch',
    'lifecycle_msgs',
    'rcl_interfaces',
    'rclpy',
    'rosgraph_msgs',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'tf2_msgs',
    'tf2_ros',
    'vision_msgs',
    'visualization_msgs',
)


class Import(NamedTuple):
    """A line of a module that imports another: its modules, where it stands, and whether it is
    carried out when the module is imported; otherwise within a function, or for type checkers."""

    importer: str
    imported: str
    place: str
    at_once: bool


def modules() -> dict[str, Path]:
    """Every module of the package and of the simulator, by its name."""
    found = {}
    for folder, package in ((ROOT / 'insegan_ros', 'insegan_ros'), (ROOT / 'sim', 'insegan_sim')):
        for path in sorted(folder.rglob('*.py')):
            parts = path.relative_to(folder).with_suffix('').parts
            if parts[-1] == '__init__':
                parts = parts[:-1]
            found['.'.join((package, *parts))] = path
    return found


MODULES = modules()


def imports_of(name: str) -> Iterator[Import]:
    """What a module imports, of this package or of any other."""
    file = MODULES[name].relative_to(ROOT)

    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            place = f'{file}:{getattr(child, "lineno", 0)}'
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(name, alias.name, place, at_once)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f'{place}: a relative import'
                for alias in child.names:
                    whole = f'{child.module}.{alias.name}'
                    yield Import(name, whole if whole in MODULES else child.module, place, at_once)
            else:
                inner = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                types = isinstance(child, ast.If) and 'TYPE_CHECKING' in ast.unparse(child.test)
                yield from walk(child, at_once and not inner and not types)

    yield from walk(ast.parse(MODULES[name].read_text()), True)


IMPORTS = [one for name in MODULES for one in imports_of(name)]
OURS = [one for one in IMPORTS if one.imported.split('.')[0] in ('insegan_ros', 'insegan_sim')]


def room_of(module: str) -> str:
    """The room that a module stands in."""
    parts = module.split('.')
    if parts[0] == 'insegan_sim':
        return 'sim'
    first = parts[1] if len(parts) > 1 else parts[0]
    return 'ground' if first in GROUND else first


def family_of(module: str) -> str:
    """The family of methods that a module is of; empty for what all share."""
    parts = module.split('.')
    path = MODULES[module]
    inside = parts[:2] == ['insegan_ros', 'methods'] and path.parent.name != 'methods'
    return parts[2] if inside else ''


def test_every_module_stands_in_a_room():
    assert {room_of(name) for name in MODULES} == set(ROOMS)
    assert len(MODULES) > 150 and len(OURS) > 800, 'the reading itself works'
    unknown = [one for one in OURS if one.imported not in MODULES]
    assert not unknown, 'imports of modules that are not there'


def test_arrows_point_down():
    up = [
        f'{one.place} {room_of(one.importer)} imports {one.imported}'
        for one in OURS
        if ROOMS.index(room_of(one.imported)) > ROOMS.index(room_of(one.importer))
    ]
    assert not up, '\n'.join(up)


def test_the_simulator_imports_data_and_measures_alone():
    wrong = [
        f'{one.place} imports {one.imported}'
        for one in OURS
        if room_of(one.importer) == 'sim' and room_of(one.imported) not in BELOW_SIM
    ]
    assert not wrong, '\n'.join(wrong)


def test_ros_is_imported_by_the_nodes_alone():
    # The command line imports rclpy before torch, where it is there: its wheels start Python anew.
    wrong = [
        f'{one.place} imports {one.imported}'
        for one in IMPORTS
        if one.imported.split('.')[0] in ROS and room_of(one.importer) != 'nodes'
    ]
    assert not wrong, '\n'.join(wrong)
    assert any(one.imported.split('.')[0] == 'rclpy' for one in IMPORTS)


def test_a_family_of_methods_imports_no_other():
    wrong = [
        f'{one.place} {family_of(one.importer)} imports {one.imported}'
        for one in OURS
        if family_of(one.importer) and family_of(one.imported) not in ('', family_of(one.importer))
    ]
    assert not wrong, '\n'.join(wrong)
    assert {family_of(name) for name in MODULES} - {''} == {
        'baselines',
        'cutpaste',
        'foreground',
        'hoc',
        'image_level',
        'insegan',
        'piles',
    }


def test_what_all_methods_share_imports_none_when_it_is_imported():
    wrong = [
        f'{one.place} imports {one.imported}'
        for one in OURS
        if room_of(one.importer) == 'methods'
        and not family_of(one.importer)
        and one.at_once
        and family_of(one.imported)
    ]
    assert not wrong, '\n'.join(wrong)


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Names that lead back to the first of them; empty where there are none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(arrows.get(name, ())):
            if found := walk(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := walk(name, []))), [])


def test_no_module_imports_in_a_circle():
    arrows: dict[str, set[str]] = {}
    for one in OURS:
        if one.at_once:
            arrows.setdefault(one.importer, set()).add(one.imported)
    assert not circle(arrows)
    assert circle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']


def test_no_family_of_methods_and_no_room_is_part_of_a_circle_within_functions_either():
    arrows: dict[str, set[str]] = {}
    for one in OURS:
        arrows.setdefault(room_of(one.importer), set()).add(room_of(one.imported))
    assert not circle({room: others - {room} for room, others in arrows.items()})


def reached(names: list[str]) -> set[str]:
    """What is imported when these modules are: modules of ours, and other libraries by their
    names."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        if name in MODULES:
            left += [
                one.imported if one.imported in MODULES else one.imported.split('.')[0]
                for one in IMPORTS
                if one.importer == name and one.at_once
            ]
    return found


@pytest.mark.parametrize('family', sorted({family_of(name) for name in MODULES} - {''}))
def test_importing_a_family_brings_no_other(family):
    own = [name for name in MODULES if family_of(name) == family]
    found = reached(own)
    assert not {name for name in found if name in MODULES and family_of(name) not in ('', family)}
    assert {'torch', 'numpy'} <= found and 'rclpy' not in found


def test_the_registry_brings_no_method_and_no_other_library():
    found = reached(['insegan_ros.methods.registry'])
    assert not {name for name in found if name in MODULES and family_of(name)}
    assert not {'lightning', 'open3d', 'sklearn', 'torchvision', 'rclpy', 'pybullet'} & found


def test_measures_need_no_torch_and_no_simulator():
    """In a Python of its own, so that what other libraries bring is seen too."""
    names = [name for name in MODULES if room_of(name) == 'metrics']
    code = f'import sys, {", ".join(names)}\nprint(*sorted(sys.modules))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.splitlines()[-1].split())
    assert len(names) > 5 and set(names) <= found
    assert not {'torch', 'rclpy', 'pybullet', 'insegan_sim', 'lightning'} & found


def test_every_module_imports():
    """Those of the nodes where ROS 2 is there. In this Python: most of them are loaded anyway."""
    for name in MODULES:
        if room_of(name) == 'nodes' and importlib.util.find_spec('rclpy') is None:
            continue
        if not name.endswith('__main__'):
            module = importlib.import_module(name)
            # This checkout's, of which the rules above were read, not one installed beside it.
            assert MODULES[name].samefile(module.__file__), f'{name} is {module.__file__}'
            is_package = MODULES[name].name == '__init__.py'
            assert module.__doc__ or is_package, f'{name} does not say what it is for'
