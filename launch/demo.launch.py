"""A simulated camera over a bin of parts, and the segmenter on its topics.

    ros2 launch insegan_ros demo.launch.py part:=nut
"""
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """See the module's text."""
    part, rate = LaunchConfiguration('part'), LaunchConfiguration('rate')
    share = FindPackageShare('insegan_ros')
    camera = Node(package='insegan_ros', executable='sim_camera', output='screen',
                  parameters=[{'part': part, 'rate': PythonExpression(['float(', rate, ')'])}])
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([share, 'launch', 'robot.launch.py'])),
        launch_arguments={
            'model': ['insegan-', part],
            'params_file': PathJoinSubstitution([share, 'config', ['demo_', part, '.yaml']])}.items())
    return LaunchDescription([
        DeclareLaunchArgument('part', default_value='nut', description='nut, bolt, cylinder or cone'),
        DeclareLaunchArgument('rate', default_value='30.0', description='frames a second of the camera'),
        camera, robot])
