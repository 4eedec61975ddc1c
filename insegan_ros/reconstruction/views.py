"""Views of parts that lie alone on the floor: which pixels a part covers, how far they are, and
what space that leaves to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import open3d as o3d
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt
from torch import Tensor
from torch.nn.functional import grid_sample

from insegan_ros.data.scene import Scene
from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.workspace import Workspace, fill_shadows

# Pieces of fewer pixels show no shape.
SMALLEST_PX = 120
# Pixels around a piece that are kept; farther out the distance to the outline goes on as it is.
MARGIN_PX = 12
# Seen points of a view, evenly spread.
SEEN_POINTS = 500
# A surface that is seen at a flatter angle is measured no better than this cosine says.
FLATTEST = 0.25
# Neighbouring pixels that differ by more are the two sides of an edge, in m.
EDGE_M = 0.002
# Noise of a stereo camera is the same over a few pixels: neighbours are looked for in a square of
# this side.
NOISE_PX = 9
# Less of a piece's border than this may be its bin's wall.
RIM_M = 0.004


@dataclass(frozen=True)
class View:
    """One part that lies alone, in a frame of its own: origin in the middle of what is seen, z up
    from the floor, which lies at z = -floor_m; metres. ground_m: how high what lies around it reads
    above the floor that was given.

    picture (3, h, w) float32: signed distance in px to the outline (negative inside), depth in m
    (beyond the outline that of the nearest pixel), cosine between surface and line of sight; corner
    (left, top) of it in the image. camera_from_view (4, 4). points (P, 3): of the surface, seen.
    """

    scene: int
    picture: Tensor
    corner: tuple[int, int]
    intrinsics: Intrinsics
    camera_from_view: np.ndarray
    floor_m: float
    points: Tensor
    ground_m: float

    @property
    def mask(self) -> np.ndarray:
        """The part's pixels in its window, (h, w) bool."""
        return self.picture[0].numpy() < 0

    @property
    def depth_m(self) -> np.ndarray:
        """Depth in its window, (h, w) float32."""
        return self.picture[1].numpy()

    @property
    def size_m(self) -> float:
        """The largest extent of what is seen."""
        spread = self.points.amax(0) - self.points.amin(0)
        return float(spread.norm())

    def bound(self, points: Tensor) -> Tensor:
        """How far outside the part points (M, 3) of the view's frame at least lie, (M,) in m:
        outside the outline, before the depth or under the floor; negative where the part can be."""
        outline, front = self.terms(points)
        seen = torch.where(outline < 0, torch.maximum(outline, front), outline)
        return torch.maximum(seen, -self.floor_m - points[:, 2])

    def terms(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distance from the outline's cone (negative inside) and height above the seen surface
        along its normal, of points (M, 3) of the view's frame; (M,) in m each."""
        camera = torch.from_numpy(self.camera_from_view).float()
        x, y, z = (points @ camera[:3, :3].T + camera[:3, 3]).unbind(-1)
        k = self.intrinsics
        u = x / z * k.fx + k.cx - self.corner[0]
        v = y / z * k.fy + k.cy - self.corner[1]
        height, width = self.picture.shape[1:]
        grid = torch.stack([u / (width - 1), v / (height - 1)], -1) * 2 - 1
        outline, smooth, _ = self._read(grid, 'bilinear')
        _, nearest, cosine = self._read(grid, 'nearest')
        # Between the two sides of an edge is no surface.
        depth = torch.where((smooth - nearest).abs() > EDGE_M, nearest, smooth)
        beyond = torch.hypot(u - u.clamp(0, width - 1), v - v.clamp(0, height - 1))
        slant = torch.sqrt(1 + (x / z) ** 2 + (y / z) ** 2)
        return (outline + beyond) * z / ((k.fx + k.fy) / 2), (depth - z) * slant * cosine

    def _read(self, grid: Tensor, mode: str) -> Tensor:
        """The picture (3, M) at places (M, 2) between -1 and 1."""
        return grid_sample(
            self.picture[None],
            grid[None, None],
            mode=mode,
            padding_mode='border',
            align_corners=True,
        )[0, :, 0]


def lone_views(scenes: Iterable[Scene], min_height_m: float) -> Iterator[View]:
    """Every connected piece above the floor that touches neither the bin's bounds nor the picture's
    border. min_height_m: what is lower is floor. Raises DatasetError where the floor is not
    known."""
    before: list[View] = []
    for number, scene in enumerate(scenes):
        if scene.workspace is None:
            raise DatasetError(
                'it is not known where the floor is: expected --workspace with the YAML of'
                ' `insegan calibrate`'
            )
        found = list(_views_of(number, scene.frame, scene.workspace, min_height_m))
        yield from (view for view in found if not any(_unmoved(view, other) for other in before))
        before = found


def _unmoved(view: View, other: View) -> bool:
    """Whether a part lies where it lay in the picture before: a recording is no new view."""
    shift = np.abs(np.subtract(view.corner, other.corner)).max()
    grown = np.abs(np.subtract(view.mask.shape, other.mask.shape)).max()
    return bool(max(shift, grown) <= 2)


def depth_noise(frame: Frame) -> float:
    """The depth's noise in m, robust: how far a reading lies from the mean of its neighbours, which
    is right on planes however they lean. Those without a reading are left out, not averaged in."""
    depth, known = frame.depth_m, np.isfinite(frame.depth_m)
    if not known.any():
        return 0.0
    side = (NOISE_PX, NOISE_PX)
    total = cv2.blur(np.where(known, depth, 0), side)
    weight = cv2.blur(known.astype(np.float32), side)
    rest = np.abs(depth - total / np.maximum(weight, 1e-6))[known]
    return float(np.median(rest) * 1.4826)


def lowest_m(noise_m: float) -> float:
    """How high above the floor a part begins, in m, in depth with so much noise."""
    return float(np.clip(0.0015 + 6 * noise_m, 0.0015, 0.005))


def _views_of(
    number: int, frame: Frame, workspace: Workspace, min_height_m: float
) -> Iterator[View]:
    depth = fill_shadows(frame.depth_m)
    points = frame.intrinsics.points(depth)
    height = np.nan_to_num(workspace.height_of(points))
    raised = (height > min_height_m).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(raised, connectivity=8)
    for piece in range(1, count):
        left, top, width, tall, area = (int(value) for value in stats[piece])
        mask = pieces == piece
        if (
            area < SMALLEST_PX
            or min(left, top) < 2
            or left + width > mask.shape[1] - 2
            or top + tall > mask.shape[0] - 2
            or not _within(workspace, points[mask])
        ):
            continue
        window = (
            slice(max(top - MARGIN_PX, 0), top + tall + MARGIN_PX),
            slice(max(left - MARGIN_PX, 0), left + width + MARGIN_PX),
        )
        read = np.isfinite(frame.depth_m[window])
        ground = height[window][read & (pieces[window] == 0)]
        ground_m = float(np.median(ground)) if len(ground) else 0.0
        yield _view(
            number, frame.intrinsics, workspace, window, mask[window], depth[window], read, ground_m
        )


def _within(workspace: Workspace, points: np.ndarray) -> bool:
    """Whether points (N, 3) keep off the bounds, so that none of the piece is cut off by them."""
    if workspace.bounds is None:
        return True
    return bool(np.nanmin(workspace.wall_distances(points)) > RIM_M)


def _view(
    number: int,
    intrinsics: Intrinsics,
    workspace: Workspace,
    window: tuple[slice, slice],
    mask: np.ndarray,
    depth: np.ndarray,
    read: np.ndarray,
    ground_m: float,
) -> View:
    """A piece as a view. mask, depth (NaN = none), read (h, w) in the window of the image."""
    inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
    outline = np.where(mask, 0.5 - inside, outside - 0.5)
    known = mask & np.isfinite(depth)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    depth = depth[tuple(nearest)].astype(np.float32)
    rays = intrinsics.rays()[window]
    points = rays * depth[..., None]
    cosine = _cosines(points, rays)
    clear = known & read & binary_erosion(mask)
    own = points[clear if clear.sum() > SMALLEST_PX / 2 else known].astype(float)
    view_from_camera, floor_m = _own_frame(workspace, own)
    moved = own @ view_from_camera[:3, :3].T + view_from_camera[:3, 3]
    picture = np.stack([outline, depth, cosine]).astype(np.float32)
    return View(
        number,
        torch.from_numpy(picture),
        (window[1].start, window[0].start),
        intrinsics,
        np.linalg.inv(view_from_camera),
        floor_m,
        _spread(moved, number),
        ground_m,
    )


def _cosines(points: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Cosines (h, w) between the lines of sight and the normals of a map of points (h, w, 3); at an
    edge, of the side on which the surface goes on."""
    normal = np.cross(_slope(points, 1), _slope(points, 0))
    product = np.abs((normal * rays).sum(-1))
    length = np.linalg.norm(normal, axis=-1) * np.linalg.norm(rays, axis=-1)
    return np.clip(product / np.maximum(length, 1e-12), FLATTEST, 1)


def _slope(points: np.ndarray, axis: int) -> np.ndarray:
    """To the next point or from the one before, along an axis of (h, w, 3): what differs less in
    depth."""
    ahead = np.diff(points, axis=axis, append=np.take(points, [-1], axis))
    behind = np.roll(ahead, 1, axis)
    missing = np.zeros(points.shape[axis], bool)
    missing[-1] = True
    shape = [1, 1, 1]
    shape[axis] = -1
    use_behind = (np.abs(behind[..., 2:]) < np.abs(ahead[..., 2:])) | missing.reshape(shape)
    use_behind &= ~np.roll(missing, 1).reshape(shape)
    return np.where(use_behind, behind, ahead)


def _own_frame(workspace: Workspace, points: np.ndarray) -> tuple[np.ndarray, float]:
    """view-from-camera (4, 4) of a piece with points (N, 3), and how deep the floor lies in it."""
    normal = np.array(workspace.floor[:3])
    x = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    x /= np.linalg.norm(x)
    turn = np.stack([x, np.cross(normal, x), normal])
    placed = points @ turn.T
    middle = (placed.min(0) + placed.max(0)) / 2
    top = float(np.quantile(placed[:, 2], 0.99)) + workspace.floor[3]
    middle[2] = top / 2 - workspace.floor[3]
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turn, -middle
    return out, top / 2


def _spread(points: np.ndarray, seed: int) -> Tensor:
    """At most SEEN_POINTS of points (N, 3), evenly spread over the surface, in random order."""
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    size = float(np.ptp(points, axis=0).max()) / 40
    even = np.asarray(cloud.voxel_down_sample(size).points)
    order = np.random.default_rng(seed).permutation(len(even))[:SEEN_POINTS]
    return torch.from_numpy(even[order]).float()
