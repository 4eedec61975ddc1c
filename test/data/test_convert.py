"""Other people's formats: what they can hold comes back, and their own tools read it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from box_scenes import CAMERA
from pycocotools.coco import COCO

from insegan_ros.data.bop import _box, _numbers
from insegan_ros.data.coco import write_coco
from insegan_ros.data.convert import FORMATS, convert, open_dataset
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics
from insegan_ros.metrics.inspect import describe, inspect
from insegan_ros.workspace import Workspace, workspace_values
from insegan_sim.generate import SimulateConfig, simulate


def scenes_of(folder) -> list[Scene]:
    return list(open_dataset(folder)[1])


def assert_equal(before: list[Scene], after: list[Scene], skip: tuple[str, ...] = ()) -> None:
    assert len(before) == len(after) > 0
    for one, two in zip(before, after):
        assert np.array_equal(one.frame.depth_m, two.frame.depth_m, equal_nan=True)
        assert one.frame.intrinsics == two.frame.intrinsics
        assert (
            np.allclose(one.workspace.floor, two.workspace.floor, atol=1e-12)
            and one.workspace.bounds == two.workspace.bounds
        )
        if 'colour' not in skip:
            assert (one.frame.colour is None) == (two.frame.colour is None) and np.array_equal(
                one.frame.colour, two.frame.colour
            )
        if one.truth is None:
            assert two.truth is None and one.present == two.present
            continue
        assert np.array_equal(one.truth.labels, two.truth.labels)
        assert one.truth.classes == two.truth.classes and one.present == two.present
        for name in {'poses', 'amodal'} - set(skip):
            assert np.array_equal(getattr(one.truth, name), getattr(two.truth, name)), name


@pytest.mark.parametrize('to', ['shards', 'bop', 'coco'])
def test_a_round_trip_loses_nothing(d435_data, tmp_path, to):
    assert convert(d435_data, tmp_path / 'there', to) == 5
    assert_equal(scenes_of(d435_data), scenes_of(tmp_path / 'there'))
    convert(tmp_path / 'there', tmp_path / 'back', 'shards')
    assert_equal(scenes_of(d435_data), scenes_of(tmp_path / 'back'))
    assert ShardDataset(tmp_path / 'back').classes == ('nut', 'cone')


@pytest.mark.parametrize('to', ['shards', 'bop', 'coco', 'insta10'])
def test_a_round_trip_keeps_the_bins_shape_and_what_nobody_knows(tmp_path, to):
    """Nothing hidden is known of the parts, two of four numbers are seen, and one bin is empty."""
    bins = [
        Workspace((0.0, -0.6, -0.8, 0.4), (-0.1, -0.1, 0.2, 0.1), 7.25, 0.0015, 0.03, 0.01, 3.5),
        Workspace((0.0, 0.0, -1.0, 0.5)),
    ]
    poses = np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
    poses[:, 2, 3] = 0.1, 0.2, 0.3, 0.4
    scenes = []
    for number, workspace in enumerate(bins):
        labels = np.zeros((120, 160), np.uint16)
        count = 4 * (1 - number)
        if count:
            labels[10:30, 10:50], labels[40:60, 20:30], labels[0:8] = 2, 4, IGNORE
        frame = Frame(np.full(labels.shape, 0.5, np.float32), CAMERA)
        truth = Instances(labels, np.ones(count, np.float32), ('nut',) * count, poses[:count])
        scenes.append(Scene(frame, truth, workspace, ('nut',) * (count > 0)))
    write_coco(scenes, ('nut',), tmp_path / 'first', None)
    convert(tmp_path / 'first', tmp_path / 'there', to)
    found = scenes_of(tmp_path / 'there')
    assert_equal(scenes, found, skip=('poses', 'amodal') if to == 'insta10' else ('amodal',))
    for one, own in zip(bins, found):
        for name, value in workspace_values(one).items():
            assert workspace_values(own.workspace)[name] == pytest.approx(value, abs=1e-12), name
        assert len(workspace_values(own.workspace)) == len(workspace_values(one))
    assert found[0].truth.amodal is None and len(found[1].truth) == 0


def test_insta10_holds_depth_masks_and_clouds(nut_data, d435_data, tmp_path):
    convert(nut_data, tmp_path / 'nut', 'insta10')
    before, after = scenes_of(nut_data), scenes_of(tmp_path / 'nut')
    assert_equal(before, after, skip=('poses', 'amodal'))
    cloud = trimesh.load(tmp_path / 'nut/clouds/000000.ply')
    points = before[0].frame.points().reshape(-1, 3)
    assert np.allclose(cloud.vertices, points, atol=1e-6)
    with pytest.raises(DatasetError, match='2 kinds of part: Insta-10 has one'):
        convert(d435_data, tmp_path / 'never', 'insta10')
    assert not (tmp_path / 'never').exists()


def test_clouds_on_request(d435_data, tmp_path):
    convert(d435_data, tmp_path / 'clouds', 'clouds')
    scene = scenes_of(d435_data)[0]
    import open3d as o3d

    cloud = o3d.t.io.read_point_cloud(str(tmp_path / 'clouds/000000.ply'))
    seen = np.isfinite(scene.frame.depth_m)
    assert len(cloud.point.positions) == seen.sum()
    assert np.array_equal(cloud.point['instance'].numpy().ravel(), scene.truth.labels[seen])
    assert np.array_equal(cloud.point.colors.numpy(), scene.frame.colour[seen])


def test_pycocotools_reads_the_masks(d435_data, tmp_path):
    convert(d435_data, tmp_path / 'coco', 'coco')
    coco = COCO(str(tmp_path / 'coco/annotations.json'))
    scenes = scenes_of(d435_data)
    assert [one['name'] for one in coco.loadCats(coco.getCatIds())] == ['nut', 'cone']
    for number, scene in enumerate(scenes):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[number]))
        assert len(found) == len(scene.truth)
        for i, one in enumerate(found):
            mask = scene.truth.labels == i + 1
            assert (
                np.array_equal(coco.annToMask(one).astype(bool), mask) and one['area'] == mask.sum()
            )
            x, y, width, height = one['bbox']
            rows, columns = np.nonzero(mask)
            assert not len(rows) or (x, y, width, height) == (
                columns.min(),
                rows.min(),
                np.ptp(columns) + 1,
                np.ptp(rows) + 1,
            )
        picture = cv2.imread(str(tmp_path / 'coco' / coco.loadImgs([number])[0]['file_name']))
        assert np.array_equal(picture[..., ::-1], scene.frame.colour)


def test_bop_is_as_its_toolkit_expects_it(d435_data, tmp_path):
    convert(d435_data, tmp_path / 'bop', 'bop')
    folder, scene = tmp_path / 'bop/train/000000', scenes_of(d435_data)[1]
    camera = json.loads((folder / 'scene_camera.json').read_text())['1']
    truth = json.loads((folder / 'scene_gt.json').read_text())['1']
    info = json.loads((folder / 'scene_gt_info.json').read_text())['1']
    depth = (
        cv2.imread(str(folder / 'depth/000001.png'), cv2.IMREAD_UNCHANGED) * camera['depth_scale']
    )
    assert np.allclose(depth[depth > 0], 1000 * scene.frame.depth_m[depth > 0], atol=0.01)
    # World to camera, in mm: the floor is z = 0.
    rotation, shift = np.reshape(camera['cam_R_w2c'], (3, 3)), np.array(camera['cam_t_w2c'])
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9) and np.linalg.det(
        rotation
    ) == pytest.approx(1)
    points = (
        scene.frame.intrinsics.rays()[scene.truth.labels == 0]
        * scene.frame.depth_m[scene.truth.labels == 0][:, None]
        * 1000
    )
    heights = ((points - shift) @ rotation)[:, 2]
    assert np.nanmedian(np.abs(heights[heights < 5])) < 2
    fractions = visible_fractions(scene.truth)
    for i, (one, about) in enumerate(zip(truth, info)):
        assert one['cam_t_m2c'] == pytest.approx(
            (1000 * scene.truth.poses[i, :3, 3].astype(float)).tolist()
        )
        assert (
            about['visib_fract'] == pytest.approx(fractions[i])
            and about['px_count_visib'] == (scene.truth.labels == i + 1).sum()
        )
    models = json.loads((tmp_path / 'bop/models/models_info.json').read_text())
    mesh = trimesh.load(tmp_path / 'bop/models/obj_000001.ply')
    assert models['1']['name'] == 'nut' and mesh.extents.max() == pytest.approx(72, abs=0.1)
    # A model point, through the written pose and camera, lands in the whole mask.
    pose, k = truth[0], np.reshape(camera['cam_K'], (3, 3))
    mesh = trimesh.load(tmp_path / f'bop/models/obj_{pose["obj_id"]:06d}.ply')
    seen = (mesh.vertices @ np.reshape(pose['cam_R_m2c'], (3, 3)).T + pose['cam_t_m2c']) @ k.T
    u, v = (seen[:, :2] / seen[:, 2:]).round().astype(int).T
    whole = (
        cv2.dilate(cv2.imread(str(folder / 'mask/000001_000000.png'), 0), np.ones((3, 3), np.uint8))
        > 0
    )
    inside = (u >= 0) & (u < 80) & (v >= 0) & (v < 64)
    assert whole[v[inside], u[inside]].mean() > 0.97


def test_a_foreign_bop_scene_is_read(d435_data, tmp_path):
    """As other data sets have it: depth in mm, no world frame, JPEG, no amodal masks, no models
    beside it."""
    convert(d435_data, tmp_path / 'bop', 'bop')
    folder = tmp_path / 'lone/000000'
    (tmp_path / 'bop/train/000000').rename(tmp_path / 'moved')
    folder.parent.mkdir()
    (tmp_path / 'moved').rename(folder)
    cameras = json.loads((folder / 'scene_camera.json').read_text())
    for number, camera in cameras.items():
        depth = cv2.imread(str(folder / f'depth/{int(number):06d}.png'), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(folder / f'depth/{int(number):06d}.png'), (depth // 10).astype(np.uint16))
        cameras[number] = {'cam_K': camera['cam_K'], 'depth_scale': 1.0}
        picture = folder / f'rgb/{int(number):06d}.png'
        cv2.imwrite(str(picture.with_suffix('.jpg')), cv2.imread(str(picture)))
        picture.unlink()
    (folder / 'scene_camera.json').write_text(json.dumps(cameras))
    for path in (folder / 'mask').iterdir():
        path.unlink()
    classes, scenes = open_dataset(tmp_path / 'lone')
    first, before = next(scenes), scenes_of(d435_data)[0]
    assert (
        set(classes) == {'obj_000001', 'obj_000002'}
        and first.workspace is None
        and first.truth.amodal is None
    )
    assert np.array_equal(first.truth.labels, before.truth.labels) and first.frame.colour.shape == (
        64,
        80,
        3,
    )
    assert np.nanmax(np.abs(first.frame.depth_m - before.frame.depth_m)) < 0.001


def test_objects_of_bop_keep_their_numbers(nut_data, tmp_path):
    """Those of LM-O are 1, 5, 6, 8 and so on; its models are called by them."""
    convert(nut_data, tmp_path / 'one', 'bop')
    info = tmp_path / 'one/models/models_info.json'
    (nut,) = json.loads(info.read_text()).values()
    info.write_text(json.dumps({'5': nut}))
    for note in tmp_path.glob('one/train/*/scene_gt.json'):
        note.write_text(note.read_text().replace('"obj_id": 1', '"obj_id": 5'))
    convert(tmp_path / 'one', tmp_path / 'shards', 'shards')
    convert(tmp_path / 'shards', tmp_path / 'two', 'bop')
    names, scenes = open_dataset(tmp_path / 'two')
    assert names == ('nut',) and next(scenes).labelled().classes == ('nut',) * 5
    (note,) = tmp_path.glob('two/train/*/scene_gt.json')
    images = json.loads(note.read_text()).values()
    assert {one['obj_id'] for image in images for one in image} == {5}


@pytest.mark.parametrize('a_scene', [1, 2, 3, 5, 6])
def test_many_images_are_several_scenes_of_bop(d435_data, tmp_path, monkeypatch, a_scene):
    monkeypatch.setattr('insegan_ros.data.bop.IMAGES_A_SCENE', a_scene)
    convert(d435_data, tmp_path / 'bop', 'bop')
    folders = sorted(one.name for one in (tmp_path / 'bop/train').iterdir())
    assert folders == [f'{number:06d}' for number in range(-(-5 // a_scene))]
    assert_equal(scenes_of(d435_data), scenes_of(tmp_path / 'bop'))


def test_classes_that_models_do_not_have_get_numbers_that_are_free(tmp_path):
    (tmp_path / 'models').mkdir()
    info = {'5': {'name': 'nut'}, '9': {'name': 'cone'}}
    (tmp_path / 'models/models_info.json').write_text(json.dumps(info))
    numbers = _numbers(('bolt', 'nut', 'ring'), tmp_path / 'models')
    assert numbers == {'bolt': 10, 'nut': 5, 'ring': 11}
    assert _numbers(('bolt', 'nut'), None) == {'bolt': 1, 'nut': 2}


def test_a_part_out_of_sight_has_the_box_that_bop_has_for_it():
    mask = np.zeros((6, 9), bool)
    assert _box(mask) == [-1, -1, -1, -1]
    mask[2:4, 3:8] = True
    assert _box(mask) == [3, 2, 5, 2]


def test_image_level_sets_convert_too(tmp_path):
    weak = simulate(
        SimulateConfig(
            part='nut,cone',
            scenes=2,
            instances='1-3',
            size=64,
            truth='image',
            workers=1,
            out=str(tmp_path / 'weak'),
        )
    )
    for to in ('bop', 'coco', 'shards'):
        convert(weak, tmp_path / to, to)
        assert_equal(scenes_of(weak), scenes_of(tmp_path / to))
    assert 'image-level labels only' in describe(inspect(weak))


def test_what_cannot_be_converted_is_said(d435_data, nut_data, tmp_path):
    with pytest.raises(ConfigError, match='unknown format "voc"'):
        convert(d435_data, tmp_path / 'x', 'voc')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/mine').write_text('x')
    with pytest.raises(DatasetError, match='is not empty: expected a new folder'):
        convert(d435_data, tmp_path / 'full', 'coco')
    with pytest.raises(DatasetError, match='holds no data set of a known format'):
        convert(tmp_path / 'full', tmp_path / 'x', 'coco')
    convert(nut_data, tmp_path / 'insta', 'insta10')
    with pytest.raises(DatasetError, match='no poses or classes: BOP needs them; .* coco instead'):
        convert(tmp_path / 'insta', tmp_path / 'x', 'bop')
    convert(nut_data, tmp_path / 'clouds', 'clouds')
    with pytest.raises(DatasetError, match='of the format clouds, which is written only'):
        convert(tmp_path / 'clouds', tmp_path / 'x', 'shards')
    convert(nut_data, tmp_path / 'drawn', 'pictures')
    for to in ('bop', 'coco'):
        with pytest.raises(DatasetError, match='no .*classes.*; convert to pictures or shards'):
            convert(tmp_path / 'drawn', tmp_path / 'x', to)
    assert not (tmp_path / 'x').exists() and (tmp_path / 'full/mine').read_text() == 'x'
    nameless = Instances(np.ones((120, 160), np.uint16), np.ones(1, np.float32))
    scene = Scene(Frame(np.full((120, 160), 0.5, np.float32), CAMERA), nameless, None)
    with pytest.raises(DatasetError, match='have no classes: COCO needs a category'):
        write_coco([scene], ('nut',), tmp_path / 'coco', None)


def test_pictures_of_two_sizes_are_no_set_of_shards(tmp_path, monkeypatch):
    monkeypatch.setattr('insegan_ros.data.convert.SHARD_SCENES', 1)
    frames = [
        Frame(np.full(shape, 0.5, np.float32), Intrinsics(50, 50, 20, 20, *shape[::-1]))
        for shape in ((40, 40), (40, 50))
    ]
    write_coco([Scene(one, None, None, ('nut',)) for one in frames], ('nut',), tmp_path / 'x', None)
    with pytest.raises(DatasetError, match='50x40 but scenes-00000.h5 holds nut in 40x40'):
        convert(tmp_path / 'x', tmp_path / 'out', 'shards')
    assert not (tmp_path / 'out').exists()


def damaged_coco(d435_data, folder, change):
    convert(d435_data, folder, 'coco')
    content = json.loads((folder / 'annotations.json').read_text())
    change(content)
    (folder / 'annotations.json').write_text(json.dumps(content))
    return scenes_of(folder)


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda c: c['images'][0].update(depth_file='../../../etc/passwd'), 'lies outside it'),
        (lambda c: c['images'][0].pop('intrinsics'), 'image 0 cannot be read'),
        (
            lambda c: c['images'][0].update(workspace={'floor': [0, 0, 1, 1]}),
            r'annotations.json: image 0: floor \(0.0, 0.0, 1.0, 1.0\) is not a plane',
        ),
        (lambda c: c.pop('categories'), 'is not in COCO format'),
        (lambda c: c['annotations'][0].update(category_id=99), 'cannot be read'),
        (lambda c: c['images'][0].update(depth_file='depth/999999.png'), 'missing or not an image'),
    ],
)
def test_damaged_annotations_are_named(d435_data, tmp_path, change, words):
    with pytest.raises(DatasetError, match=words):
        damaged_coco(d435_data, tmp_path / 'coco', change)


@pytest.mark.parametrize(
    'form, picture', [('coco', 'colour/000000'), ('bop', 'train/000000/rgb/000000')]
)
def test_colour_of_another_size_than_depth_is_named(d435_data, tmp_path, form, picture):
    """As a sensor has it before the two are aligned: masks would lie elsewhere in it."""
    convert(d435_data, tmp_path / 'set', form)
    path = tmp_path / 'set' / f'{picture}.png'
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (160, 128)))
    with pytest.raises(DatasetError, match='image 0: colour is 160x128 but depth 80x64: expected'):
        scenes_of(tmp_path / 'set')


def test_a_damaged_workspace_is_named_with_its_file(nut_data, tmp_path):
    convert(nut_data, tmp_path / 'insta', 'insta10')
    path = tmp_path / 'insta/camera.json'
    content = json.loads(path.read_text())
    content['pictures']['000000']['workspace']['bounds'] = [1, 2, 3]
    path.write_text(json.dumps(content))
    with pytest.raises(
        DatasetError, match=r'camera.json: picture 000000: .* expected four numbers'
    ):
        scenes_of(tmp_path / 'insta')
    convert(nut_data, tmp_path / 'bop', 'bop')
    (path,) = (tmp_path / 'bop').rglob('scene_camera.json')
    content = json.loads(path.read_text())
    content['0']['bounds_m'] = [0.1, 0.1, 0.0, 0.0]
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r'image 0: bounds .* are empty'):
        scenes_of(tmp_path / 'bop')


@pytest.mark.parametrize('form', FORMATS)
def test_a_full_disk_leaves_no_half_set(form, nut_data, tmp_path, small_files):
    with pytest.raises(DatasetError, match='cannot be written .File too large') as caught:
        convert(nut_data, tmp_path / 'out', form)
    assert '\n' not in str(caught.value) and not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_is_one_line(nut_data):
    with pytest.raises(DatasetError, match='/proc/nowhere.* cannot be'):
        convert(nut_data, Path('/proc/nowhere/out'), 'coco')


def test_a_contact_sheet_on_a_full_disk_is_one_line(nut_data, tmp_path, small_files):
    with pytest.raises(DatasetError, match='sheet.png cannot be written'):
        inspect(nut_data, tmp_path / 'sheet.png')
    assert not list(tmp_path.iterdir())
