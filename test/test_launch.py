import importlib.util

import pytest

pytest.importorskip('launch_ros')


@pytest.mark.parametrize('name, arguments', [
    ('robot', {'namespace', 'params_file', 'model', 'device', 'camera', 'autostart', 'use_sim_time', 'log_level'}), ('demo', {'part', 'rate'})])
def test_launch_files_declare_their_arguments(root, name, arguments):
    spec = importlib.util.spec_from_file_location(name, root / f'launch/{name}.launch.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    declared = {action.name for action in module.generate_launch_description().entities if hasattr(action, 'default_value')}
    assert declared == arguments
