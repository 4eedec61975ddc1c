"""The segmenter on a RealSense's topics.

    ros2 launch insegan_ros robot.launch.py model:=/path/to/checkpoint
    params_file:=/path/to/robot.yaml

driver:=none listens to a driver that runs already, driver:=insegan starts this package's own camera
node, driver:=realsense-ros starts realsense2_camera. aligned:=true takes depth in the colour
camera's view, and colour with it.
"""

from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition, evaluate_condition_expression
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from insegan_ros.nodes.dds import dds_environment
from insegan_ros.texts import number
from launch import LaunchContext, LaunchDescription

SHARE = FindPackageShare('insegan_ros')
ARGUMENTS = {
    'namespace': ('', 'namespace of the segmenter'),
    'params_file': (
        PathJoinSubstitution([SHARE, 'config', 'robot.yaml']),
        'YAML with parameters of the segmenter, and of the camera if it is our own',
    ),
    'model': (
        '',
        'checkpoint folder or shipped name; empty: as params_file says, or else cutpaste-nut',
    ),
    'mesh': (
        '',
        "the part's STL, OBJ or PLY, or own, the model's: poses are of its frame; empty: as"
        ' params_file says',
    ),
    'mesh_scale': ('1.0', 'metres per unit of the mesh: 0.001 for a file in millimetres'),
    'device': ('', 'auto, cpu, cuda or cuda:N; empty: as params_file says, or else auto'),
    'driver': ('none', 'none (one runs already), insegan (our camera node) or realsense-ros'),
    'camera': ('/camera/camera', 'where the driver publishes'),
    'aligned': ('false', "depth in the colour camera's view, and colour with it"),
    'autostart': ('true', 'configure and activate at start'),
    'respawn': ('false', 'start segmenter and own camera again, two seconds after they ended'),
    'use_sim_time': ('false', 'take time from /clock'),
    'log_level': ('info', 'of the segmenter: debug, info, warn, error'),
    'page': (
        'false',
        'serve the page for browsers, http://127.0.0.1:8080 unless params_file says otherwise',
    ),
    'rviz': ('false', 'open RViz on overlay, cloud and picks'),
}


def start(context: LaunchContext) -> list:
    """The driver that is asked for, and the segmenter."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    driver, camera = (value[name].perform(context) for name in ('driver', 'camera'))
    # As conditions read them: true, True, 1.
    aligned, respawn, page = (
        evaluate_condition_expression(context, [value[name]])
        for name in ('aligned', 'respawn', 'page')
    )
    mesh, scale, params_file, level = (
        value[name].perform(context) for name in ('mesh', 'mesh_scale', 'params_file', 'log_level')
    )
    given = [name for name in ('model', 'device') if value[name].perform(context)]
    if params_file and not Path(params_file).is_file():
        # launch itself would warn, and start without floor and bounds.
        raise ValueError(f'params_file is "{params_file}": expected a YAML file that exists')
    again = {'respawn': respawn, 'respawn_delay': 2.0}
    # Of the segmenter alone: at debug, rcl fills the log with lines of its own.
    names = [*filter(None, value['namespace'].perform(context).split('/')), 'segmenter']
    depth = f'{camera}/aligned_depth_to_color/' if aligned else f'{camera}/depth/'
    segmenter = Node(
        package='insegan_ros',
        executable='segmenter',
        name='segmenter',
        namespace=value['namespace'],
        output='screen',
        parameters=[
            # Empty where another launch file that includes this one has nothing to say.
            *([params_file] if params_file else []),
            {name: value[name] for name in ('autostart', 'use_sim_time', *given)},
            *([{'use_colour': True}] if aligned else []),
            *([{'mesh': mesh, 'mesh_scale': number('mesh_scale', scale)}] if mesh else []),
        ],
        remappings=[
            ('depth/image', f'{depth}{"image_raw" if aligned else "image_rect_raw"}'),
            ('depth/camera_info', f'{depth}camera_info'),
            ('color/image', f'{camera}/color/image_raw'),
        ],
        arguments=['--ros-args', '--log-level', f'{".".join(names)}:={level}'],
        **again,
    )
    nodes = [segmenter]
    if page:
        nodes.append(
            Node(
                package='insegan_ros',
                executable='page',
                output='screen',
                parameters=[
                    *([params_file] if params_file else []),
                    {'segmenter': f'/{"/".join(names)}'},
                ],
            )
        )
    if driver == 'insegan':
        return [
            Node(
                package='insegan_ros',
                executable='realsense_camera',
                output='screen',
                parameters=[params_file] if params_file else [],
                **again,
            ),
            *nodes,
        ]
    if driver == 'realsense-ros':
        return [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    PathJoinSubstitution(
                        [FindPackageShare('realsense2_camera'), 'launch', 'rs_launch.py']
                    )
                ),
                launch_arguments={'align_depth.enable': str(aligned).lower()}.items(),
            ),
            *nodes,
        ]
    if driver != 'none':
        raise ValueError(f'driver is "{driver}": expected none, insegan or realsense-ros')
    return nodes


def generate_launch_description() -> LaunchDescription:
    """See the module's text."""
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        arguments=['-d', PathJoinSubstitution([SHARE, 'config', 'insegan.rviz'])],
        condition=IfCondition(LaunchConfiguration('rviz')),
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            *(SetEnvironmentVariable(name, path) for name, path in dds_environment().items()),
            OpaqueFunction(function=start),
            rviz,
        ]
    )
