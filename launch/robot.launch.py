"""The segmenter beside a RealSense driver that runs already.

    ros2 launch insegan_ros robot.launch.py model:=/path/to/checkpoint params_file:=/path/to/robot.yaml
"""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from insegan_ros.dds import dds_environment

ARGUMENTS = {
    'namespace': ('', 'namespace of the segmenter'),
    'params_file': (PathJoinSubstitution([FindPackageShare('insegan_ros'), 'config', 'robot.yaml']), 'YAML with parameters of the segmenter'),
    'model': ('insegan-nut', 'checkpoint folder or shipped name'),
    'device': ('auto', 'auto, cpu, cuda or cuda:N'),
    'camera': ('/camera/camera', 'where the RealSense driver publishes'),
    'autostart': ('true', 'configure and activate at start'),
    'use_sim_time': ('false', 'take time from /clock'),
    'log_level': ('info', 'debug, info, warn, error'),
}


def generate_launch_description() -> LaunchDescription:
    """See the module's text."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    segmenter = Node(
        package='insegan_ros', executable='segmenter', name='segmenter', namespace=value['namespace'], output='screen',
        parameters=[value['params_file'], {name: value[name] for name in ('model', 'device', 'autostart', 'use_sim_time')}],
        remappings=[('depth/image', [value['camera'], '/depth/image_rect_raw']),
                    ('depth/camera_info', [value['camera'], '/depth/camera_info'])],
        arguments=['--ros-args', '--log-level', value['log_level']])
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in ARGUMENTS.items()),
        *(SetEnvironmentVariable(name, path) for name, path in dds_environment().items()),
        segmenter])
