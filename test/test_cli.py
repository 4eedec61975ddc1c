"""The command as a user types it."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from insegan_ros.cli.main import main


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-m', 'insegan_ros.cli', *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, 'OMP_NUM_THREADS': '2'},
        **options,
    )


def test_help_names_every_command_without_ros_or_simulator():
    code = (
        "import sys; from insegan_ros.cli.main import main\ntry: main(['--help'])\nexcept SystemExit:"
        " pass\nprint(sorted(m for m in ('rclpy', 'torch', 'open3d', 'pybullet') if m in"
        ' sys.modules))'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert all(
        name in result.stdout
        for name in (
            'simulate',
            'dataset',
            'train',
            'segment',
            'evaluate',
            'card',
            'benchmark',
            'demo',
        )
    )
    assert result.stdout.strip().endswith('[]')


def test_the_core_imports_without_ros():
    code = (
        "import sys\nclass Block:\n def find_spec(self, name, *a):\n  if name.split('.')[0] in"
        " ('rclpy', 'sensor_msgs'): raise ImportError(name)\nsys.meta_path.insert(0,"
        ' Block())\nimport insegan_ros.cli.main, insegan_ros.cli.segment_input, insegan_ros.methods.recipes,'
        " insegan_ros.tasks.card\nprint('fine')"
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'DISPLAY': ''},
    )
    assert result.stdout.strip().endswith('fine'), result.stderr


def test_segment_writes_masks_and_never_over_them(tmp_path, capsys):
    depth = np.full((240, 320), 600, np.uint16)
    depth[60:100, 60:110], depth[130:190, 200:250] = 550, 550
    cv2.imwrite(str(tmp_path / 'depth.png'), depth)
    arguments = [
        'segment',
        str(tmp_path / 'depth.png'),
        '--model',
        'kmeans',
        '--instances',
        '2',
        '--out',
        str(tmp_path / 'masks'),
    ]
    assert main(arguments) == 0
    labels = cv2.imread(str(tmp_path / 'masks/000000_labels.png'), cv2.IMREAD_UNCHANGED)
    assert (
        labels.dtype == np.uint16
        and {labels[80, 80], labels[160, 220]} == {1, 2}
        and labels[10, 10] == 0
    )
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert len(rows[0]['instances']) == 2 and rows[0]['instances'][0]['area_px'] > 1500
    assert cv2.imread(str(tmp_path / 'masks/000000_overlay.png')).shape == (240, 320, 3)
    capsys.readouterr()
    assert main(arguments) == 2
    assert 'holds results already: expected another --out' in capsys.readouterr().err


def test_the_real_recording_is_segmented(real_bag, tmp_path):
    assert (
        main(['segment', str(real_bag), '--model', 'insegan-nut', '--out', str(tmp_path / 'masks')])
        == 0
    )
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert len(rows) == 2 and all('error' not in row for row in rows)
    assert rows[0]['intrinsics']['fx'] == pytest.approx(390.43, abs=0.01) and rows[0]['depth_m'][
        'median'
    ] == pytest.approx(1.47, abs=0.02)
    for index in range(2):
        labels = cv2.imread(str(tmp_path / f'masks/{index:06d}_labels.png'), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (480, 640) and labels.max() == len(rows[index]['instances']) > 0


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['simulate', '--part', 'sprocket'], 'unknown part "sprocket"'),
        (['simulate', '--mesh', 'nowhere.stl'], 'nowhere.stl does not exist'),
        (['simulate', '--sensor', 'kinect'], 'no sensor "kinect"'),
        (
            ['simulate', '--part', 'bolt', '--bin_width', '0.05'],
            'a bin of 50 mm is too small for bolt',
        ),
        (['dataset', 'inspect', 'nowhere'], 'nowhere does not exist'),
        (['dataset', 'convert', 'nowhere', 'x', '--to', 'bop'], 'nowhere does not exist'),
        (['dataset', 'parts', 'x.png', '--part', 'sprocket'], 'unknown part "sprocket"'),
        (['segment', 'nowhere.png', '--model', 'kmeans'], 'nowhere.png does not exist'),
        (['segment', 'nowhere.png', '--model', 'nothing'], 'no checkpoint or method "nothing"'),
        (
            ['segment', 'x', '--model', 'kmeans', '--bounds', '[0,0,1,1]'],
            '--bounds is given without --floor',
        ),
        (['evaluate', '--model', 'kmeans', '--data', 'nowhere'], 'nowhere does not exist'),
        (['train', 'insegan', '--data', 'nowhere', '--out', 'never'], 'nowhere does not exist'),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and error.startswith('insegan: ') and '\n' not in error
    assert not list(tmp_path.iterdir())


def test_a_configuration_value_out_of_range_is_named(capsys, tmp_path):
    assert main(['simulate', '--part', 'nut', '--scenes', '0', '--out', str(tmp_path / 'x')]) == 2
    assert 'scenes is 0: expected 1 to' in capsys.readouterr().err


def test_a_preset_is_simulated_inspected_converted_and_drawn(root, tmp_path, capsys):
    assert (
        main(
            [
                'simulate',
                '--config',
                str(root / 'config/simulate/mixed.yaml'),
                '--scenes',
                '3',
                '--size',
                '64',
                '--workers',
                '1',
                '--truth',
                'full',
                '--jitter.tilt_deg',
                '1.0',
                '--out',
                str(tmp_path / 'set'),
            ]
        )
        == 0
    )
    assert (
        main(
            [
                'dataset',
                'inspect',
                str(tmp_path / 'set'),
                '--sheet',
                str(tmp_path / 'sheet.png'),
                '--json',
                str(tmp_path / 'set.json'),
            ]
        )
        == 0
    )
    numbers = json.loads((tmp_path / 'set.json').read_text())
    assert (
        numbers['scenes'] == 3 and len(numbers['classes']) == 10 and 6 <= numbers['instances'] <= 18
    )
    assert '3 scenes of 64x64, depth and colour' in capsys.readouterr().out
    assert (
        main(['dataset', 'convert', str(tmp_path / 'set'), str(tmp_path / 'coco'), '--to', 'coco'])
        == 0
    )
    assert len(json.loads((tmp_path / 'coco/annotations.json').read_text())['images']) == 3
    assert main(['dataset', 'parts', str(tmp_path / 'parts.png'), '--part', 'nut,cone']) == 0
    assert cv2.imread(str(tmp_path / 'parts.png')).shape == (240, 1000, 3)


@pytest.mark.parametrize(
    'name', ['insta10', 'insta10-d435', 'heap', 'single-tote', 'single-shelf', 'mixed']
)
def test_every_preset_is_a_whole_configuration(root, name):
    import yaml

    from insegan_sim.camera import Jitter
    from insegan_sim.generate import SimulateConfig

    values = yaml.safe_load((root / f'config/simulate/{name}.yaml').read_text())
    jitter = Jitter(**values.pop('jitter', {}))
    config = SimulateConfig(**values, jitter=jitter)
    assert config.setup(config.parts()[:3]).camera.intrinsics.width == config.shape[0]


def test_a_checkpoint_of_another_part_is_said_and_a_mesh_scores_poses(nut_data, tmp_path):
    other = run('evaluate', '--model', 'insegan-bolt', '--data', str(nut_data), '--limit', '1')
    assert (
        other.returncode == 0
        and 'insegan: insegan-bolt has learnt bolt, the data hold nut: expected a checkpoint of the'
        ' same part\n'
        in other.stderr
    )
    mesh = str(nut_data / 'models/obj_000001.ply')
    wrong = run('evaluate', '--model', 'insegan-nut', '--data', str(nut_data), '--mesh', mesh)
    assert wrong.returncode == 2 and 'the scale is 0.001 for a file in millimetres' in wrong.stderr
    found = run(
        'evaluate',
        '--model',
        'insegan-nut',
        '--data',
        str(nut_data),
        '--limit',
        '1',
        '--mesh',
        mesh,
        '--mesh-scale',
        '0.001',
        '--json',
        str(tmp_path / 'e.json'),
    )
    numbers = json.loads((tmp_path / 'e.json').read_text())
    assert (
        found.returncode == 0
        and 'has learnt' not in found.stderr
        and 'ADD-S below .1 diameter' in found.stdout
    )
    assert (
        numbers['poses'] >= 3
        and numbers['add_s_below_tenth'] > 0.6
        and 0 < numbers['median_add_s'] < 0.05
    )


def test_simulate_and_evaluate_from_the_shell(tmp_path):
    made = run(
        'simulate',
        '--part',
        'nut',
        '--scenes',
        '4',
        '--size',
        '96',
        '--workers',
        '1',
        '--seed',
        '9',
        '--out',
        str(tmp_path / 'data'),
    )
    assert made.returncode == 0, made.stderr
    scored = run(
        'evaluate',
        '--model',
        'kmeans',
        '--data',
        str(tmp_path / 'data'),
        '--json',
        str(tmp_path / 'e.json'),
        '--picture',
        str(tmp_path / 'e.png'),
    )
    assert scored.returncode == 0 and 'honest mIoU' in scored.stdout
    numbers = json.loads((tmp_path / 'e.json').read_text())
    assert numbers['scenes'] == 4 and len(numbers['rows']) == 4
    assert (
        numbers['honest_miou'] == numbers['kmeans_honest_miou']
        and 0.3 < numbers['honest_miou'] <= 1
    )
    assert cv2.imread(str(tmp_path / 'e.png')).shape == (3 * (30 + 96), 3 * 96, 3)


@pytest.mark.parametrize('form', ['shards', 'bop', 'coco'])
def test_data_sets_of_any_format_are_segmented_scene_by_scene(form, tmp_path):
    """Their depth images and masks are no photographs; scenes bring their colour and their bin, and
    names of classes are in results and pictures."""
    assert (
        main(
            [
                'simulate',
                '--part',
                'nut,bolt',
                '--instances',
                '3',
                '--scenes',
                '2',
                '--size',
                '160',
                '--colour',
                'true',
                '--seed',
                '5',
                '--out',
                str(tmp_path / 'shards'),
            ]
        )
        == 0
    )
    if form != 'shards':
        assert (
            main(
                ['dataset', 'convert', str(tmp_path / 'shards'), str(tmp_path / form), '--to', form]
            )
            == 0
        )
    assert (
        main(
            [
                'segment',
                str(tmp_path / form),
                '--model',
                'irnet-mixed',
                '--out',
                str(tmp_path / 'masks'),
            ]
        )
        == 0
    )
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert len(rows) == 2 and all('error' not in row and row['depth_m'] for row in rows)
    assert {one['class'] for row in rows for one in row['instances']} <= {
        'nut',
        'bolt',
        'cone',
    } and any(row['instances'] for row in rows)


def test_photographs_are_segmented_by_methods_of_colour(tmp_path, capsys):
    (tmp_path / 'photos').mkdir()
    for number, left in enumerate((20, 60)):
        photo = np.full((90, 120, 3), (40, 120, 40), np.uint8)
        photo[30:60, left : left + 30] = 200, 40, 40
        cv2.imwrite(str(tmp_path / 'photos' / f'{number}.png'), photo[..., ::-1])
    assert (
        main(
            [
                'segment',
                str(tmp_path / 'photos'),
                '--model',
                'grabcut-colour',
                '--out',
                str(tmp_path / 'masks'),
            ]
        )
        == 0
    )
    assert '2 frames segmented' in capsys.readouterr().out
    for number, left in enumerate((20, 60)):
        labels = cv2.imread(
            str(tmp_path / 'masks' / f'{number:06d}_labels.png'), cv2.IMREAD_UNCHANGED
        )
        assert (labels[35:55, left + 5 : left + 25] == 1).all() and not labels[:20].any()
        assert tuple(cv2.imread(str(tmp_path / 'masks' / f'{number:06d}_overlay.png'))[5, 5]) == (
            40,
            120,
            40,
        )
    (tmp_path / 'photos' / 'more').mkdir()
    (tmp_path / 'photos' / '1.png').rename(tmp_path / 'photos' / 'more' / 'b.png')
    (tmp_path / 'photos' / 'broken.jpg').write_bytes(b'no picture')
    assert (
        main(
            [
                'segment',
                str(tmp_path / 'photos'),
                '--model',
                'grabcut-colour',
                '--out',
                str(tmp_path / 'some'),
            ]
        )
        == 0
    )
    assert (
        '2 frames segmented' in (said := capsys.readouterr().out) and '1 could not be used' in said
    )
    rows = json.loads((tmp_path / 'some' / 'results.json').read_text())
    assert [(row['file'], 'error' in row) for row in rows] == [
        ('0.png', False),
        ('broken.jpg', True),
        ('more/b.png', False),
    ]
    assert (
        main(
            [
                'segment',
                str(tmp_path / 'photos'),
                '--model',
                'kmeans',
                '--out',
                str(tmp_path / 'depth'),
            ]
        )
        == 2
    )
    assert 'expected a 16-bit depth PNG' in capsys.readouterr().err


def test_methods_of_colour_are_evaluated_as_such(tote_data, tmp_path, capsys):
    arguments = [
        'evaluate',
        '--model',
        'grabcut-colour',
        '--data',
        str(tote_data),
        '--json',
        str(tmp_path / 'r.json'),
        '--picture',
        str(tmp_path / 'r.png'),
    ]
    assert main(arguments) == 0
    result = json.loads((tmp_path / 'r.json').read_text())
    assert (
        result['pictures'] == len(result['rows']) >= 2
        and result['iou'] > 0.6
        and result['iou']
        == pytest.approx(np.mean([row['iou'] for row in result['rows']]), abs=1e-3)
    )
    assert cv2.imread(str(tmp_path / 'r.png')).shape[0] == 3 * 128
    assert (
        main(
            [
                'dataset',
                'pictures',
                str(tote_data),
                str(tmp_path / 'tote.h5'),
                '--size',
                '32',
                '--truth',
            ]
        )
        == 0
    )
    assert f'{result["pictures"]} pictures in' in capsys.readouterr().out
    # Nothing is written over, and what cannot be is said before any work.
    assert main(arguments) == 2 and 'is there already' in capsys.readouterr().err
    assert main([*arguments[:5], '--limit', '0']) == 2 and '--limit is 0' in capsys.readouterr().err
    assert (
        main(['dataset', 'pictures', str(tote_data), str(tmp_path / 'no.h5'), '--size', '0']) == 2
        and 'size is 0' in capsys.readouterr().err
    )


def test_a_file_with_a_misspelt_key_is_told_by_the_key(tmp_path, capsys):
    (tmp_path / 'bad.yaml').write_text('mask_rcn:\n  steps: 3\n')
    with pytest.raises(SystemExit) as end:
        main(['train', 'irnet', '--config', str(tmp_path / 'bad.yaml')])
    assert (
        end.value.code == 2 and "Option 'mask_rcn.steps' is not accepted" in capsys.readouterr().err
    )
