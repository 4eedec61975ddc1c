"""A simulated RealSense over a bin of parts, and the segmenter on its topics.

ros2 launch insegan_ros sim.launch.py part:=nut
"""

import tempfile
from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

ARGUMENTS = {
    'part': ('nut', "one of the simulator's ten parts"),
    'rate': ('30.0', 'frames a second of the camera'),
    'model': ('', "checkpoint folder or shipped name; empty: the part's shipped one"),
    'rviz': ('false', 'open RViz'),
}


def start(context: LaunchContext) -> list:
    """Camera and segmenter; the floor and the bounds are asked of the simulator, so that no value
    stands twice."""
    from insegan_ros.workspace import write_workspace
    from insegan_sim.scenes import bin_setup

    part, rate, model, rviz = (LaunchConfiguration(name).perform(context) for name in ARGUMENTS)
    parameters = Path(tempfile.mkdtemp(prefix='insegan_sim_')) / 'segmenter.yaml'
    write_workspace(bin_setup(part, realsense=(640, 480)).camera.workspace, parameters)
    camera = Node(
        package='insegan_ros',
        executable='sim_camera',
        output='screen',
        parameters=[{'part': part, 'rate': float(rate)}],
    )
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare('insegan_ros'), 'launch', 'robot.launch.py'])
        ),
        launch_arguments={
            'model': model or f'cutpaste-{part}',
            'params_file': str(parameters),
            'rviz': rviz,
        }.items(),
    )
    return [robot, camera]


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
