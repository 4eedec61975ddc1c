"""A simulated RealSense over a bin of parts, and the segmenter on its topics.

    ros2 launch insegan_ros sim.launch.py part:=nut
    ros2 launch insegan_ros sim.launch.py mesh:=/path/to/part.stl mesh_scale:=0.001
    model:=/path/to/checkpoint

With a mesh, the segmenter's poses are of the file's own frame.
"""

import shutil
import tempfile
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnShutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from insegan_ros.texts import number
from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    'part': ('nut', "one of the simulator's parts"),
    'mesh': ('', 'a part of your own instead: an STL, OBJ or PLY file'),
    'mesh_scale': ('1.0', 'metres per unit of the mesh: 0.001 for a file in millimetres'),
    'instances': ('5', 'parts in the bin'),
    'fill': ('0.7', 'share of the floor that they would cover side by side'),
    'sensor': ('noise', 'ideal, noise, d435, or a YAML file of sensor parameters'),
    'seed': ('100', 'seed of the bins'),
    'rate': ('30.0', 'frames a second of the camera'),
    'model': (
        '',
        "checkpoint folder or shipped name; empty: the part's shipped one, kmeans for a mesh",
    ),
    'namespace': ('', 'namespace of the segmenter'),
    'device': ('', 'auto, cpu, cuda or cuda:N; empty: auto'),
    'log_level': ('info', 'of the segmenter: debug, info, warn, error'),
    'page': ('false', 'serve the page for browsers, on http://127.0.0.1:8080'),
    'rviz': ('false', 'open RViz'),
}


def start(context: LaunchContext) -> list:
    """Camera and segmenter; the floor and the bounds are asked of the simulator, so that no value
    stands twice."""
    from insegan_ros.nodes.simulated_bin import SimulatedBin

    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    shown = {
        **{name: value[name] for name in ('part', 'mesh')},
        **{name: number(name, value[name]) for name in ('mesh_scale', 'fill')},
        **{name: number(name, value[name], whole=True) for name in ('instances', 'seed')},
    }
    rate = number('rate', value['rate'])
    folder = Path(tempfile.mkdtemp(prefix='insegan_sim_'))
    parameters = folder / 'segmenter.yaml'
    SimulatedBin(**shown).write_parameters(parameters)
    camera = Node(
        package='insegan_ros',
        executable='sim_camera',
        output='screen',
        parameters=[{**shown, 'sensor': value['sensor'], 'rate': rate}],
    )
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare('insegan_ros'), 'launch', 'robot.launch.py'])
        ),
        launch_arguments={
            'model': value['model'] or SimulatedBin(**shown).model,
            'params_file': str(parameters),
            **{name: value[name] for name in ('namespace', 'device', 'log_level', 'page', 'rviz')},
        }.items(),
    )
    ended = OnShutdown(on_shutdown=lambda *_: shutil.rmtree(folder, ignore_errors=True))
    return [robot, camera, RegisterEventHandler(ended)]


def generate_launch_description() -> LaunchDescription:
    """See the module's text."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=start),
        ]
    )
