"""What the segmenter publishes, message by message, on a bin whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.geometry.principal_axes import poses_from_points
from insegan_ros.segmenters.base import MeshFile
from insegan_ros.workspace import Workspace

rclpy = pytest.importorskip('rclpy')

from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from insegan_ros.nodes.outputs import POINT, TRACK, outputs  # noqa: E402
from insegan_ros.nodes.pick_messages import ROW  # noqa: E402
from insegan_ros.nodes.result import Result  # noqa: E402
from insegan_ros.nodes.transforms import UnknownFrame  # noqa: E402
from insegan_ros.picking.picks import BinState, PickConfig  # noqa: E402
from insegan_ros.picking.tracks import Tracker  # noqa: E402

CAMERA = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)


BIN = Workspace((0.0, 0.0, -1.0, 0.5), (-0.15, -0.12, 0.15, 0.12))


# vision_msgs 4, whose package cannot be installed without ROS: its fields as its .msg files name
# them.
VISION = {
    'Point2D': 'float64 x\nfloat64 y',
    'Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
    'BoundingBox2D': 'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y',
    'ObjectHypothesis': 'string class_id\nfloat64 score',
    'ObjectHypothesisWithPose': (
        'vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose'
    ),
    'Detection2D': (
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[]'
        ' results\nvision_msgs/BoundingBox2D bbox\nstring id'
    ),
    'Detection2DArray': 'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
    'BoundingBox3D': 'geometry_msgs/Pose center\ngeometry_msgs/Vector3 size',
    'Detection3D': (
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[]'
        ' results\nvision_msgs/BoundingBox3D bbox\nstring id'
    ),
    'Detection3DArray': 'std_msgs/Header header\nvision_msgs/Detection3D[] detections',
    'VisionClass': 'uint16 class_id\nstring class_name',
    'LabelInfo': 'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold',
}


def result(colour: np.ndarray | None = None, workspace: Workspace | None = BIN) -> Result:
    """Two boxes, 3 and 5 cm high; without a workspace, a frame with no reading."""
    depth, labels = np.full((120, 160), 0.5, np.float32), np.zeros((120, 160), np.uint16)
    for label, (left, top, right, bottom, height) in enumerate(
        ((30, 40, 60, 80, 0.03), (90, 30, 130, 60, 0.05)), start=1
    ):
        depth[top:bottom, left:right], labels[top:bottom, left:right] = 0.5 - height, label
    if workspace is None:
        frame = Frame(np.full((120, 160), np.nan, np.float32), CAMERA)
        return Result(frame, Instances.none((120, 160)), None, Header(frame_id='optical'), 'nut')
    frame = Frame(depth, CAMERA, colour)
    return Result(
        frame,
        Instances(
            labels, np.array([0.9, 0.6], np.float32), poses=poses_from_points(frame, labels, 2)
        ),
        workspace,
        Header(frame_id='optical'),
        'nut',
    )


def made(one: Result, name: str, vision=None):
    (output,) = (output for output in outputs(vision) if output.name == name)
    message = output.make(one)
    assert isinstance(message, output.kind)
    return message


@pytest.fixture(scope='module')
def store():
    store = get_typestore(Stores.ROS2_KILTED)
    for name, text in VISION.items():
        store.register(get_types_from_msg(text, f'vision_msgs/msg/{name}'))
    return store


@pytest.fixture(scope='module')
def vision(store):
    return SimpleNamespace(**{name: store.types[f'vision_msgs/msg/{name}'] for name in VISION})


def test_detections_hold_boxes_labels_scores_and_serialise_as_vision_msgs(store, vision):
    message = made(result(), 'detections', vision)
    assert [one.id for one in message.detections] == [
        '1',
        '2',
    ] and message.header.frame_id == 'optical'
    first = message.detections[0]
    assert (first.bbox.center.position.x, first.bbox.center.position.y) == (44.5, 59.5) and (
        first.bbox.size_x,
        first.bbox.size_y,
    ) == (30, 40)
    assert first.results[0].hypothesis.class_id == '1' and first.results[
        0
    ].hypothesis.score == pytest.approx(0.9)
    assert first.results[0].pose.pose.position.z == pytest.approx(0.47, abs=1e-3)
    again = store.deserialize_cdr(
        store.serialize_cdr(message, 'vision_msgs/msg/Detection2DArray'),
        'vision_msgs/msg/Detection2DArray',
    )
    assert again.detections[1].bbox.size_x == 40 and again.detections[1].results[
        0
    ].pose.pose.position.z == pytest.approx(0.45, abs=1e-3)
    assert made(result(workspace=None), 'detections', vision).detections == []


def test_label_info_names_the_part(store, vision):
    message = made(result(workspace=None), 'label_info', vision)
    assert [(one.class_id, one.class_name) for one in message.class_map] == [(1, 'nut')]
    store.serialize_cdr(message, 'vision_msgs/msg/LabelInfo')


def test_class_ids_are_those_of_label_info_whatever_a_frame_shows(vision):
    kinds = ('nut', 'bolt', 'cone')
    nothing = replace(result(workspace=None), kinds=kinds)
    told = {
        str(one.class_id): one.class_name for one in made(nothing, 'label_info', vision).class_map
    }
    assert tuple(told.values()) == kinds
    for shown in (('cone', 'cone'), ('bolt', 'nut')):
        named = replace(result(), kinds=kinds)
        named = replace(named, instances=replace(named.instances, classes=shown))
        for output in ('detections', 'parts'):
            found = made(named, output, vision).detections
            assert tuple(told[one.results[0].hypothesis.class_id] for one in found) == shown


def test_without_vision_msgs_its_outputs_are_left_out(vision):
    names = {output.name for output in outputs(None)}
    assert (
        names
        == {output.name for output in outputs(vision)}
        - {'detections', 'label_info', 'picks', 'parts'}
        and 'instances' in names
    )


def test_the_cloud_holds_the_bins_points_with_their_labels():
    message = made(result(), 'cloud')
    points = np.frombuffer(message.data, POINT)
    assert (
        [field.name for field in message.fields] == ['x', 'y', 'z', 'rgb', 'label']
        and message.point_step == 20
        and message.width == len(points)
    )
    assert (points['label'] == 1).sum() == 30 * 40 and (points['label'] == 2).sum() == 40 * 30
    assert np.allclose(points['z'][points['label'] == 2], 0.45) and np.allclose(
        points['z'][points['label'] == 0], 0.5
    )
    # The box's left upper pixel, (30, 40), at a depth of .47 m.
    first = points[points['label'] == 1][0]
    assert (first['x'], first['y']) == pytest.approx(
        ((30 - 79.5) / 200 * 0.47, (40 - 59.5) / 200 * 0.47), abs=1e-5
    )
    colour = np.zeros((120, 160, 3), np.uint8)
    colour[:, :] = 10, 20, 30
    assert (
        np.frombuffer(made(result(colour), 'cloud').data, POINT)['rgb'] == 10 << 16 | 20 << 8 | 30
    ).all()
    assert made(result(workspace=None), 'cloud').width == 0


def test_markers_point_into_the_parts_and_frame_the_bin():
    markers = made(result(), 'markers').markers
    assert markers[0].action == Marker.DELETEALL
    arrows = [one for one in markers if one.ns == 'picks']
    assert {one.type for one in arrows} == {Marker.ARROW}
    assert (
        [one.id for one in arrows] == [2, 1]
        and arrows[0].color.g > arrows[0].color.r
        and arrows[1].color.r > 0.9
    )
    for arrow, depth in zip(arrows, (0.45, 0.47)):
        start, contact = arrow.points
        assert contact.z == pytest.approx(depth, abs=2e-3) and start.z == pytest.approx(
            depth - 0.04, abs=2e-3
        )
        assert (start.x, start.y) == pytest.approx((contact.x, contact.y), abs=1e-3)
    texts = [one for one in markers if one.type == Marker.TEXT_VIEW_FACING]
    assert [one.text for one in texts] == ['1', '2']
    for text, arrow in zip(texts, arrows):
        # A centimetre behind the arrow.
        start, place = arrow.points[0], text.pose.position
        assert (place.x, place.y, place.z) == pytest.approx((start.x, start.y, start.z - 0.01))
    (line,) = (one for one in markers if one.type == Marker.LINE_STRIP)
    assert [(p.x, p.y, p.z) for p in line.points] == [
        (-0.15, -0.12, 0.5),
        (0.15, -0.12, 0.5),
        (0.15, 0.12, 0.5),
        (-0.15, 0.12, 0.5),
        (-0.15, -0.12, 0.5),
    ]
    assert len(made(result(workspace=None), 'markers').markers) == 1


def test_picks_that_cannot_be_taken_are_red_and_have_no_rank():
    shown = result()
    shown.picks[1] = replace(shown.picks[1], possible=False)
    markers = made(shown, 'markers').markers
    colours = [
        tuple(round(value, 2) for value in (one.color.r, one.color.g, one.color.b, one.color.a))
        for one in markers
        if one.ns == 'picks'
    ]
    assert colours == [(0.1, 0.9, 0.2, 1.0), (0.9, 0.2, 0.2, 1.0)]
    assert [(one.id, one.text) for one in markers if one.ns == 'ranks'] == [(2, '1')]


def test_a_mesh_is_shown_where_each_part_lies():
    assert not [one for one in made(result(), 'markers').markers if one.ns == 'mesh']
    shown = replace(result(), mesh=MeshFile(Path('/parts/box.stl'), 0.001, np.zeros((2, 3))))
    meshes = [one for one in made(shown, 'markers').markers if one.ns == 'mesh']
    assert [one.id for one in meshes] == [1, 2]
    for one, pose in zip(meshes, shown.instances.poses):
        assert (one.type, one.mesh_resource) == (Marker.MESH_RESOURCE, 'file:///parts/box.stl')
        place = one.pose.position
        assert np.allclose((place.x, place.y, place.z), pose[:3, 3]) and one.scale.x == 0.001


def test_the_overlay_lies_on_colour_where_there_is_some():
    colour = np.full((120, 160, 3), (200, 100, 0), np.uint8)
    message = made(result(colour), 'overlay')
    picture = np.frombuffer(message.data, np.uint8).reshape(120, 160, 3)
    assert tuple(picture[5, 5]) == (200, 100, 0) and tuple(picture[50, 45]) != (200, 100, 0)


def test_the_first_pick_is_a_cross_where_it_is_known_anyway():
    shown, plain = result(), np.frombuffer(made(result(), 'overlay').data, np.uint8)
    first = shown.picks[0]
    crossed = np.frombuffer(made(shown, 'overlay').data, np.uint8).reshape(120, 160, 3)
    rows, columns = np.nonzero((crossed != plain.reshape(120, 160, 3)).any(-1))
    u, v = first.pose[:2, 3] / first.pose[2, 3] * 200 + (79.5, 59.5)
    assert (columns.mean(), rows.mean()) == pytest.approx((u, v), abs=1)
    assert columns.max() - columns.min() == pytest.approx(20, abs=4)
    assert tuple(crossed[round(v), round(u)]) == (255, 255, 255)
    # What cannot be taken has none.
    covered = replace(result(), picking=PickConfig(cup_radius_m=0.5))
    assert not covered.picks[0].possible
    assert np.array_equal(np.frombuffer(made(covered, 'overlay').data, np.uint8), plain)


class Base:
    """A robot's base, from which the camera is seen a metre up, looking down."""

    frame = 'base_link'

    def __init__(self) -> None:
        self.asked = 0

    def matrix(self, header: Header) -> np.ndarray:
        self.asked += 1
        pose = np.diag([1.0, -1.0, -1.0, 1.0])
        pose[:3, 3] = 0.2, 0.0, 1.0
        return pose


class Nowhere(Base):
    """A frame that nobody knows."""

    def matrix(self, header: Header) -> np.ndarray:
        self.asked += 1
        raise UnknownFrame('no transform')


def rows_of(one: Result) -> np.ndarray:
    message = made(one, 'pick_table')
    assert [field.name for field in message.fields] == list(ROW.names)
    assert (message.width, message.point_step) == (len(message.data) // 64, 64)
    assert message.header == one.placed[1]
    return np.frombuffer(message.data, ROW)


def test_every_pick_is_a_row_tied_to_its_label(store, vision):
    shown = result()
    rows = rows_of(shown)
    assert rows['label'].tolist() == [2, 1] and (np.diff(rows['score']) < 0).all()
    for row, pick, pose in zip(rows, shown.picks, made(shown, 'pick_candidates').poses):
        assert np.allclose([row[name] for name in 'xyz'], pick.pose[:3, 3])
        place, turned = pose.position, pose.orientation
        assert np.allclose([place.x, place.y, place.z], [row[name] for name in 'xyz'])
        assert np.allclose(
            [turned.x, turned.y, turned.z, turned.w], [row[f'q{name}'] for name in 'xyzw']
        )
        assert row['clearance'] == pytest.approx(pick.clearance_m) and row['double'] == 0
        assert row['height'] == pytest.approx(0.05 if pick.label == 2 else 0.03, abs=1e-3)
    assert np.allclose(rows['approach'], 0.1)
    assert len(rows_of(result(workspace=None))) == 0


def test_the_first_picks_part_has_a_mask_of_its_own(vision):
    done = result()
    made = {output.name: output for output in outputs(None)}['pick_mask']
    message = made.make(done)
    first = next(pick.label for pick in done.picks if pick.possible)
    mask = np.frombuffer(message.data, np.uint8).reshape(120, 160)
    assert message.encoding == 'mono8' and message.header == done.header
    assert np.array_equal(mask, 255 * (done.instances.labels == first))
    # Where nothing can be taken nothing is shown.
    none = np.frombuffer(made.make(result(workspace=None)).data, np.uint8)
    assert len(none) == 120 * 160 and not none.any()


def test_the_opening_is_how_wide_the_fingers_must_be(store, vision):
    shown = replace(result(), picking=PickConfig(gripper='parallel', opening_m=0.2))
    rows = rows_of(shown)
    # The second box is 40 x 30 px at .45 m, the first 30 x 40 px at .47 m; 3 mm to either side.
    for row, (side, depth) in zip(rows, ((29, 0.45), (29, 0.47))):
        assert row['opening'] == pytest.approx(side / 200 * depth + 0.006, abs=2e-3)
    picks = made(shown, 'picks', vision)
    assert [one.bbox.size.y for one in picks.detections] == pytest.approx(rows['opening'].tolist())
    assert picks.detections[0].bbox.size.x == 0.012


def test_picks_are_detections_with_the_room_that_the_tool_comes_through(store, vision):
    shown = result()
    message = made(shown, 'picks', vision)
    assert [one.id for one in message.detections] == ['2', '1']
    first, pick = message.detections[0], shown.picks[0]
    assert first.results[0].hypothesis.score == pytest.approx(pick.score)
    contact, room = first.results[0].pose.pose.position, first.bbox
    assert contact.z == pytest.approx(0.45, abs=1e-3)
    # Halfway up the way in, which begins 10 cm before the contact.
    assert room.center.position.z == pytest.approx(contact.z - 0.05)
    assert (room.size.x, room.size.y, room.size.z) == pytest.approx((0.012, 0.012, 0.1))
    store.serialize_cdr(message, 'vision_msgs/msg/Detection3DArray')
    assert made(result(workspace=None), 'picks', vision).detections == []


def test_parts_have_boxes_around_what_is_seen_or_around_the_mesh(store, vision):
    message = made(result(), 'parts', vision)
    assert [one.id for one in message.detections] == ['1', '2']
    first = message.detections[0]
    sides = sorted((first.bbox.size.x, first.bbox.size.y, first.bbox.size.z))
    assert sides == pytest.approx((0, 29 / 200 * 0.47, 39 / 200 * 0.47), abs=1e-3)
    assert first.bbox.center.position.z == pytest.approx(0.47, abs=1e-3)
    assert first.results[0].hypothesis.class_id == '1'
    mesh = MeshFile(Path('/box.stl'), 1.0, np.array([[0, 0, 0], [0.1, 0.02, 0.02]]))
    framed = made(replace(result(), mesh=mesh), 'parts', vision).detections[0]
    assert (framed.bbox.size.x, framed.bbox.size.y) == pytest.approx((0.1, 0.02))
    pose = result().instances.poses[0]
    middle = framed.bbox.center.position
    assert np.allclose([middle.x, middle.y, middle.z], (pose @ [0.05, 0.01, 0.01, 1])[:3])
    store.serialize_cdr(message, 'vision_msgs/msg/Detection3DArray')


def walled(shift_px: int = 0, box_m: float = 0.03) -> Result:
    """A box in a bin of 20 x 16 cm with walls of 5 cm, moved to the right by so many px."""
    depth, labels = np.full((120, 160), 0.5, np.float32), np.zeros((120, 160), np.uint16)
    # At .45 m a pixel is 2.25 mm: inner faces at 10 and 8 cm, walls of 9 mm.
    depth[20:100, 31 + shift_px : 129 + shift_px] = 0.45
    depth[24:96, 35 + shift_px : 125 + shift_px] = 0.5
    depth[40:80, 60:90], labels[40:80, 60:90] = 0.5 - box_m, 1
    frame = Frame(depth, CAMERA)
    found = Instances(
        labels, np.array([0.9], np.float32), poses=poses_from_points(frame, labels, 1)
    )
    inside = Workspace((0.0, 0.0, -1.0, 0.5), (-0.1, -0.08, 0.1, 0.08))
    return Result(frame, found, inside, Header(frame_id='optical'), 'nut')


def test_the_bin_is_said_where_it_stands_and_how_full():
    here, there = walled(), walled(shift_px=6)
    assert made(here, 'bin_place').data == 'in_place' and made(there, 'bin_place').data == 'moved'
    pose = made(here, 'load_carrier')
    assert pose.header.frame_id == 'optical' and pose.pose.position.z == 0.5
    assert (pose.pose.position.x, pose.pose.position.y) == pytest.approx((0, 0), abs=1e-6)
    # z up, towards the camera; x as the image's.
    turned = pose.pose.orientation
    assert (abs(turned.x), turned.y, turned.z, turned.w) == pytest.approx((1, 0, 0, 0), abs=1e-6)
    # Six pixels of the rim's.
    assert made(there, 'load_carrier').pose.position.x == pytest.approx(6 * 2.25e-3, abs=1.5e-3)
    # A box of 30 x 40 px at .47 m, 3 cm high, in 20 x 16 cm, 5 cm deep.
    share = 30 * 40 * (0.47 / 200) ** 2 * 0.03 / (0.2 * 0.16 * 0.05)
    assert made(here, 'fill_level').data == pytest.approx(100 * share, abs=2)
    assert '; the bin is moved: 1' in there.summary and 'moved' not in here.summary
    placed = replace(here, target=Base())
    assert made(placed, 'load_carrier').header.frame_id == 'base_link'
    assert made(placed, 'load_carrier').pose.position.z == pytest.approx(0.5)


def test_overfilled_needs_the_height_of_the_walls():
    high = walled(box_m=0.07)
    assert high.carrier.overfilled and high.state == BinState.PICKABLE
    told = replace(high, picking=PickConfig(wall_height_m=0.05))
    assert made(told, 'bin_state').data == 'overfilled'
    # Who says up to where it may be full is believed.
    told = replace(high, picking=PickConfig(wall_height_m=0.05, full_height_m=0.2))
    assert made(told, 'bin_state').data == 'pickable'
    low = replace(walled(), picking=PickConfig(wall_height_m=0.05))
    assert made(low, 'bin_state').data == 'pickable'


def test_without_bounds_or_readings_nothing_is_said_of_the_bin():
    anywhere = Workspace((0.0, 0.0, -1.0, 0.5))
    for shown in (result(workspace=None), replace(result(), workspace=anywhere)):
        for name in ('load_carrier', 'bin_place', 'fill_level'):
            (output,) = (one for one in outputs(None) if one.name == name)
            assert output.make(shown) is None
        assert '; the bin is' not in shown.summary and shown.carrier is None
    assert result(workspace=None).summary == '0 instances, bin no_reading'
    assert replace(result(), workspace=anywhere).summary == '2 instances, bin pickable'
    with pytest.raises(InputError, match='no depth readings'):
        _ = result(workspace=None).surface
    # Bounds without walls.
    assert made(result(), 'bin_place').data == 'not_seen'
    assert np.isnan(made(result(), 'fill_level').data)


def test_tracks_tie_labels_to_numbers_that_stay():
    assert result().tracks.tolist() == [1, 2], 'nothing is known of the frames before'
    tracker, first = Tracker(), result()
    rows = np.frombuffer(made(replace(first, tracker=tracker), 'tracks').data, TRACK)
    assert rows['label'].tolist() == [1, 2] and rows['track'].tolist() == [1, 2]
    assert rows['score'] == pytest.approx([0.9, 0.6])
    # The same parts, found in another order.
    found = first.instances
    other = Instances(
        np.array([0, 2, 1], np.uint16)[found.labels], found.scores[::-1], poses=found.poses[::-1]
    )
    again = replace(first, instances=other, tracker=tracker)
    assert again.tracks.tolist() == [2, 1]
    message = made(again, 'tracks')
    assert [field.name for field in message.fields] == list(TRACK.names)
    assert np.frombuffer(message.data, TRACK)['track'].tolist() == [2, 1], 'once a frame'
    assert made(replace(result(workspace=None), tracker=tracker), 'tracks').width == 0


def test_poses_and_picks_are_in_the_frame_that_is_asked_for(vision):
    shown, own = replace(result(), target=Base()), result()
    for name in ('poses', 'pick_candidates'):
        ours, theirs = made(shown, name), made(own, name)
        assert (ours.header.frame_id, theirs.header.frame_id) == ('base_link', 'optical')
        for one, other in zip(ours.poses, theirs.poses):
            assert (one.position.x, one.position.y, one.position.z) == pytest.approx(
                (other.position.x + 0.2, -other.position.y, 1 - other.position.z)
            )
    assert rows_of(shown)['z'][0] == pytest.approx(0.55, abs=1e-3)
    for name in ('picks', 'parts'):
        message = made(shown, name, vision)
        assert {message.header.frame_id, message.detections[0].header.frame_id} == {'base_link'}
    (high,) = (one for one in made(shown, 'parts', vision).detections if one.id == '2')
    assert high.bbox.center.position.z == pytest.approx(0.55, abs=1e-3)
    # The picture stays the camera's.
    assert made(shown, 'instances').header.frame_id == 'optical' and shown.target.asked == 1


def test_a_frame_that_nobody_knows_is_asked_for_once(vision):
    shown = replace(result(), target=Nowhere())
    for name in ('poses', 'pick_candidates', 'pick_table', 'picks', 'parts'):
        with pytest.raises(UnknownFrame, match='no transform'):
            made(shown, name, vision)
    assert shown.target.asked == 1 and made(shown, 'instances').width == 160


def test_the_summary_says_why_parts_cannot_be_taken():
    assert result().summary == '2 instances, bin pickable'
    narrow = replace(result(), picking=PickConfig(cup_radius_m=0.2))
    assert narrow.summary == (
        '2 instances, bin occupied_not_pickable: 2 no flat place, or no room for the tool'
    )
