"""A recording (rosbag2 folder, RealSense .bag) on its own clock, and the segmenter on its topics.

ros2 launch insegan_ros replay.launch.py recording:=/path/to/recording
model:=/path/to/checkpoint params_file:=/path/to/robot.yaml
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import evaluate_condition_expression
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from insegan_ros.texts import number
from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    'recording': (None, 'rosbag2 folder or RealSense .bag'),
    'model': (
        '',
        'checkpoint folder or shipped name; empty: as params_file says, or else cutpaste-nut',
    ),
    'params_file': (
        '',
        (
            "YAML of the segmenter; empty: the recording's own workspace.yaml, else the floor is"
            ' fitted to every frame'
        ),
    ),
    'mesh': ('', "the part's STL, OBJ, PLY, or own, the model's: poses are of its frame"),
    'mesh_scale': ('1.0', 'metres per unit of the mesh: 0.001 for a file in millimetres'),
    'rate': ('1.0', 'how many times as fast as recorded'),
    'loop': ('true', 'begin again at the end'),
    'colour': ('false', 'colour too, for models that look at it, and depth in its view'),
    'namespace': ('', 'namespace of the segmenter'),
    'device': ('', 'auto, cpu, cuda or cuda:N; empty: as params_file says, or else auto'),
    'log_level': ('info', 'of the segmenter: debug, info, warn, error'),
    'page': ('false', 'serve the page for browsers, on http://127.0.0.1:8080'),
    'rviz': ('false', 'open RViz'),
}


def start(context: LaunchContext) -> list:
    """The player and the segmenter, which takes its time from the recording."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    loop, colour = (
        evaluate_condition_expression(context, [LaunchConfiguration(name)])
        for name in ('loop', 'colour')
    )
    own = Path(value['recording']) / 'workspace.yaml'
    parameters = value['params_file'] or (str(own) if own.is_file() else '')
    player = Node(
        package='insegan_ros',
        executable='recording_player',
        output='screen',
        parameters=[
            {
                'recording': value['recording'],
                'rate': number('rate', value['rate']),
                'loop': loop,
                'colour': colour,
            }
        ],
    )
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare('insegan_ros'), 'launch', 'robot.launch.py'])
        ),
        launch_arguments={
            **{name: value[name] for name in ('model', 'mesh', 'mesh_scale')},
            'use_sim_time': 'true',
            **{name: value[name] for name in ('namespace', 'device', 'log_level', 'page', 'rviz')},
            'aligned': value['colour'],
            **({'params_file': parameters} if parameters else {}),
        }.items(),
    )
    return [robot, player]


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
