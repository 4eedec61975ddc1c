"""A simulated camera over a bin of parts, and the segmenter on its topics.

    ros2 launch insegan_ros demo.launch.py part:=nut
"""
import tempfile
from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def start(context: LaunchContext) -> list:
    """Camera and segmenter; the floor and the bounds are asked of the simulator, so that no value stands twice."""
    from insegan_sim.scenes import bin_setup
    part, rate = (LaunchConfiguration(name).perform(context) for name in ('part', 'rate'))
    workspace = bin_setup(part, realsense=(640, 480)).camera.workspace
    parameters = Path(tempfile.mkdtemp(prefix='insegan_demo_')) / 'segmenter.yaml'
    parameters.write_text(yaml.safe_dump({'/**': {'ros__parameters': {
        'floor': [float(v) for v in workspace.floor], 'bounds': [float(v) for v in workspace.bounds]}}}))
    camera = Node(package='insegan_ros', executable='sim_camera', output='screen', parameters=[{'part': part, 'rate': float(rate)}])
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([FindPackageShare('insegan_ros'), 'launch', 'robot.launch.py'])),
        launch_arguments={'model': f'insegan-{part}', 'params_file': str(parameters)}.items())
    return [robot, camera]


def generate_launch_description() -> LaunchDescription:
    """See the module's text."""
    return LaunchDescription([
        DeclareLaunchArgument('part', default_value='nut', description='nut, bolt, cylinder or cone'),
        DeclareLaunchArgument('rate', default_value='30.0', description='frames a second of the camera'),
        OpaqueFunction(function=start)])
