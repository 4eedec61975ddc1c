"""Parameters that name files stay within the folders that were allowed at the start."""

from __future__ import annotations

import pytest

from insegan_ros.errors import ConfigError

rclpy = pytest.importorskip('rclpy')

from rclpy.parameter import Parameter  # noqa: E402

from insegan_ros.nodes.allowed import check_allowed  # noqa: E402
from insegan_ros.nodes.segmenter import SegmenterNode  # noqa: E402


@pytest.fixture
def folders(tmp_path):
    """One that may be read, one that may not, a link from the first to the second."""
    ours, others = tmp_path / 'models', tmp_path / 'models-of-others'
    ours.mkdir(), others.mkdir()
    (ours / 'part.stl').write_text('')
    (others / 'secret.stl').write_text('')
    (ours / 'link').symlink_to(others)
    return ours, others


@pytest.mark.parametrize(
    'path',
    [
        '{others}/secret.stl',
        '{others}/is-not-there.stl',
        '{ours}/../models-of-others/secret.stl',
        '{ours}/link/secret.stl',
        'secret.stl',
        '/etc/passwd',
        '~/.ssh',
    ],
)
def test_what_lies_elsewhere_is_refused_whether_it_exists_or_not(folders, path):
    ours, others = folders
    value = path.format(ours=ours, others=others)
    with pytest.raises(ConfigError) as refused:
        check_allowed({'mesh': value}, [str(ours)])
    assert str(refused.value) == (
        f'parameter mesh is "{value}": expected a path in one of allowed_folders ({ours}) or the'
        ' name of a shipped checkpoint'
    )


@pytest.mark.parametrize(
    'values, allowed',
    [
        ({'mesh': '{ours}/part.stl', 'model': '{ours}/is-not-there'}, ['{ours}']),
        ({'model': 'cutpaste-nut', 'roi_filter': 'depth-threshold', 'mesh': ''}, ['/none']),
        # An earlier version's name of cutpaste-nut.
        ({'model': 'insegan-nut', 'gate': 'kmeans'}, ['/none']),
        ({'mesh': '{others}/secret.stl'}, []),
        # The model's own.
        ({'mesh': 'own'}, ['/none']),
    ],
)
def test_what_lies_within_and_names_may_be_given(folders, values, allowed):
    ours, others = folders
    filled = {name: value.format(ours=ours, others=others) for name, value in values.items()}
    roots = [folder.format(ours=ours) for folder in allowed]
    check_allowed(filled, roots)
    # It is this that was allowed: one more, which lies elsewhere, is what is refused.
    if roots:
        with pytest.raises(ConfigError, match='^parameter picks.gripper_file is "/etc/passwd"'):
            check_allowed({**filled, 'picks.gripper_file': '/etc/passwd'}, roots)


def test_a_node_keeps_to_them_at_run_time_and_at_configure(robot, folders):
    ours, others = folders

    def made(**given):
        one = SegmenterNode(parameter_overrides=[Parameter(n, value=v) for n, v in given.items()])
        made.nodes.append(one)
        return one

    made.nodes = []
    try:
        node = made(allowed_folders=[str(ours)])
        (answer,) = node.set_parameters([Parameter('model', value=f'{others}/secret')])
        assert (
            not answer.successful and 'expected a path in one of allowed_folders' in answer.reason
        )
        # A folder may not be added from outside either.
        (answer,) = node.set_parameters([Parameter('allowed_folders', value=['/'])])
        assert not answer.successful and 'read-only' in answer.reason
        (answer,) = node.set_parameters([Parameter('model', value=f'{ours}/mine')])
        assert answer.successful
        node = made(allowed_folders=[str(ours)], mesh=f'{others}/secret.stl', model='kmeans')
        node.trigger_configure()
        assert node._state_machine.current_state[1] == 'unconfigured'
        assert 'expected a path in one of allowed_folders' in node.health.last_error
        node = made(allowed_folders=[str(ours)], models=['kmeans', f'{others}/secret'])
        node.trigger_configure()
        assert node._state_machine.current_state[1] == 'unconfigured'
        assert f'parameter models[1] is "{others}/secret"' in node.health.last_error
        # One folder that is no list is not the letters of its path, of which / is one.
        node = made(allowed_folders=str(ours))
        (answer,) = node.set_parameters([Parameter('mesh', value='/etc/passwd')])
        assert not answer.successful and answer.reason == (
            f"parameter allowed_folders is '{ours}': expected a list of folders"
        )
        node = made(models='kmeans')
        node.trigger_configure()
        assert "models is 'kmeans': expected a list of models" in node.health.last_error
    finally:
        for one in made.nodes:
            one.destroy_node()
