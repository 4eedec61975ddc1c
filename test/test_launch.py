"""Launch files and layouts. What needs the real launch is skipped where it cannot be imported; the
rest reads them as text."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from insegan_ros.errors import ConfigError

ARGUMENTS = {
    'robot': {
        'namespace',
        'params_file',
        'model',
        'mesh',
        'mesh_scale',
        'device',
        'driver',
        'camera',
        'aligned',
        'autostart',
        'respawn',
        'use_sim_time',
        'log_level',
        'page',
        'rviz',
    },
    'sim': {
        'part',
        'mesh',
        'mesh_scale',
        'instances',
        'fill',
        'sensor',
        'seed',
        'rate',
        'model',
        'namespace',
        'device',
        'log_level',
        'page',
        'rviz',
    },
    'replay': {
        'recording',
        'model',
        'mesh',
        'mesh_scale',
        'params_file',
        'rate',
        'loop',
        'colour',
        'namespace',
        'device',
        'log_level',
        'page',
        'rviz',
    },
}


def module_of(root, name):
    """A launch file as a module."""
    spec = importlib.util.spec_from_file_location(name, root / f'launch/{name}.launch.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def description(root, name):
    pytest.importorskip('launch_ros', reason='launch_ros is not installed: it comes with ROS 2')
    return module_of(root, name).generate_launch_description()


@pytest.mark.parametrize('name', ARGUMENTS)
def test_launch_files_declare_their_arguments(root, name):
    declared = {
        action.name
        for action in description(root, name).entities
        if hasattr(action, 'default_value')
    }
    assert declared == ARGUMENTS[name]


@pytest.mark.parametrize('name', ARGUMENTS)
def test_launch_files_compile_and_name_executables_that_exist(root, name):
    text = (root / f'launch/{name}.launch.py').read_text()
    compile(text, name, 'exec')
    installed = set(re.findall(r"'(\w+) = insegan_ros\.nodes", (root / 'setup.py').read_text()))
    assert set(re.findall(r"package='insegan_ros', executable='(\w+)'", text)) <= installed


def parameters_of(root, **given) -> dict:
    """What robot.launch.py gives the segmenter, the last word of each."""
    pytest.importorskip('launch_ros', reason='launch_ros is not installed: it comes with ROS 2')
    from launch_ros.utilities import evaluate_parameters

    from launch import LaunchContext

    robot, context = module_of(root, 'robot'), LaunchContext()
    defaults = {name: default for name, (default, _) in robot.ARGUMENTS.items()}
    context.launch_configurations.update(defaults | {'params_file': ''} | given)
    (segmenter,) = robot.start(context)
    out = {}
    for some in evaluate_parameters(context, segmenter._Node__parameters):
        out |= some
    return out


def test_what_nobody_asks_launch_for_is_left_to_the_params_file(root):
    left = parameters_of(root)
    assert not {'model', 'device', 'use_colour', 'mesh'} & set(left) and left['autostart']
    given = parameters_of(root, model='kmeans', device='cpu', aligned='true')
    assert (given['model'], given['device'], given['use_colour']) == ('kmeans', 'cpu', True)


def test_layouts_show_topics_that_the_segmenter_publishes(root):
    pytest.importorskip('rclpy')
    from insegan_ros.nodes.outputs import outputs

    ours = {f'/segmenter/{one.name}' for one in outputs(None)} | {
        '/camera/camera/depth/image_rect_raw',
        '/diagnostics',
    }
    rviz = yaml.safe_load((root / 'config/insegan.rviz').read_text())['Visualization Manager']
    shown = {display['Topic']['Value'] for display in rviz['Displays']}
    assert (
        shown <= ours and {'/segmenter/overlay', '/segmenter/cloud', '/segmenter/markers'} <= shown
    )
    text = (root / 'config/foxglove.json').read_text()
    layout = json.loads(text)
    assert set(re.findall(r'"(/(?:segmenter|camera)[\w/]*)', text)) <= ours
    panels = set(re.findall(r'\w+!\w+', json.dumps(layout['layout'])))
    assert panels == set(layout['configById'])


def launched(root, name: str, arguments: list[str], log) -> subprocess.Popen:
    from insegan_ros.nodes.dds import dds_environment

    with open(log, 'w') as file:
        return subprocess.Popen(
            [
                sys.executable,
                '-c',
                (
                    'import sys; from launch import LaunchService; from launch.actions import'
                    ' IncludeLaunchDescription; from launch.launch_description_sources import'
                    ' PythonLaunchDescriptionSource as P; from launch import LaunchDescription as'
                    ' D; s = LaunchService();'
                    ' s.include_launch_description(D([IncludeLaunchDescription(P(sys.argv[1]),'
                    ' launch_arguments=[a.split(":=", 1) for a in sys.argv[2:]])]));'
                    ' sys.exit(s.run())'
                ),
                str(root / f'launch/{name}.launch.py'),
                *arguments,
            ],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **dds_environment(),
                'ROS_DOMAIN_ID': str(1 + (os.getpid() + 7) % 90),
            },
        )


@pytest.mark.slow
def test_replay_is_launched_and_stopped(root, nut_data, tmp_path):
    """Needs the package to be found as `ros2 launch` finds it, as after colcon build."""
    pytest.importorskip('launch_ros', reason='launch_ros is not installed: it comes with ROS 2')
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    from insegan_ros.data.convert import convert

    try:
        prefix = get_package_prefix('insegan_ros')
    except PackageNotFoundError:
        pytest.skip('insegan_ros is not installed in an ament prefix: build it with colcon first')
    if not os.path.exists(f'{prefix}/lib/insegan_ros/segmenter'):
        pytest.skip(f'{prefix} holds no lib/insegan_ros: build it with colcon first')
    convert(nut_data, tmp_path / 'bag', 'recording')
    process = launched(
        root, 'replay', [f'recording:={tmp_path}/bag', 'model:=kmeans'], tmp_path / 'log'
    )
    try:
        end = time.monotonic() + 60
        while (
            'listening on /camera/camera/depth/image_rect_raw' not in (tmp_path / 'log').read_text()
        ):
            assert time.monotonic() < end and process.poll() is None, (tmp_path / 'log').read_text()
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert 'Traceback' not in (tmp_path / 'log').read_text()


def test_a_params_file_that_is_not_there_is_refused(root, tmp_path):
    pytest.importorskip('launch_ros', reason='launch_ros is not installed: it comes with ROS 2')
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix('insegan_ros')
    except PackageNotFoundError:
        pytest.skip('insegan_ros is not installed in an ament prefix: build it with colcon first')
    process = launched(root, 'robot', ['params_file:=/nope.yaml'], tmp_path / 'log')
    try:
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
    said = (tmp_path / 'log').read_text()
    assert 'params_file is "/nope.yaml": expected a YAML file that exists' in said
    assert 'process started' not in said


@pytest.mark.parametrize(
    'namespace, logger', [('', 'segmenter'), ('cell', 'cell.segmenter'), ('/a/b', 'a.b.segmenter')]
)
def test_the_log_level_is_the_segmenters_own(root, namespace, logger):
    actions = description_actions(
        root, 'robot', namespace=namespace, log_level='debug', params_file=''
    )
    (segmenter,) = actions
    assert f'{logger}:=debug' in [part for word in segmenter.cmd for part in spoken(word)]


def test_the_page_is_started_where_it_is_asked_for(root):
    assert len(description_actions(root, 'robot', params_file='')) == 1
    _, page = description_actions(root, 'robot', params_file='', namespace='cell', page='true')
    assert page.node_executable == 'page'


def test_true_may_be_written_as_conditions_take_it(root):
    segmenter, page = description_actions(root, 'robot', params_file='', page='True', aligned='1')
    assert page.node_executable == 'page'
    topics = [spoken(topic)[-1] for _, topic in vars(segmenter)['_Node__remappings']]
    assert topics[0] == '/camera/camera/aligned_depth_to_color/image_raw'
    assert len(description_actions(root, 'robot', params_file='', page='False')) == 1


@pytest.mark.parametrize(
    'name, argument, text, wanted',
    [
        ('sim', 'fill', 'a', 'a number'),
        ('sim', 'instances', '2.5', 'a whole number'),
        ('sim', 'rate', '', 'a number'),
        ('replay', 'rate', 'fast', 'a number'),
        ('robot', 'mesh_scale', 'mm', 'a number'),
    ],
)
def test_an_argument_that_is_no_number_is_named(root, name, argument, text, wanted):
    others = {'mesh': 'part.stl'} if name == 'robot' else {}
    with pytest.raises(ConfigError, match=f'^{argument} is "{text}": expected {wanted}$'):
        description_actions(root, name, params_file='', **others, **{argument: text})


def description_actions(root, name: str, **given: str) -> list:
    """What a launch file starts with such arguments, of the others the defaults."""
    pytest.importorskip('launch_ros', reason='launch_ros is not installed: it comes with ROS 2')
    from launch import LaunchContext

    module = module_of(root, name)
    context = LaunchContext()
    for argument, (default, _) in module.ARGUMENTS.items():
        context.launch_configurations[argument] = given.get(
            argument, default if isinstance(default, str) else ''
        )
    return module.start(context)


def spoken(word: list) -> list[str]:
    """The texts of a word of a command."""
    return [part.text for part in word if hasattr(part, 'text')]
