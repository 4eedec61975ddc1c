"""How one gripper holds the instances of one frame: by a cup on a flat place, between two fingers,
or as it was taught on the part's mesh."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from insegan_ros.frame import Instances
from insegan_ros.geometry.principal_axes import principal_axes
from insegan_ros.picking.pick import Blocked, Pick, PickConfig, Surface
from insegan_ros.picking.tool import Body, Grasp, Tooling, finger_body, free_turn, suction_body

# Steps in height below this are the camera's noise and the surface's own slope.
STEP_M = 0.003
# How far around a part other things are looked at, if the tool reaches no farther.
FARTHEST_M = 0.03
# What lies beyond the image may be as high as this.
BEYOND_M = 0.1
# So many points tell an instance's shape.
MAX_POINTS = 1000
# Places tried an instance, and turns of a parallel gripper.
PLACES, TURNS = 8, 12
# Turns of a gripper's body about the pick's z, in radians: a cup does not mind, fingers change
# places.
SUCTION_TURNS = tuple(np.radians([0, 180, 90, 270, 45, 225, 135, 315]).tolist())
PARALLEL_TURNS = (0.0, float(np.pi))
# Readings around a pick that the body is held against; pixels that are no more than noise.
MOST_READINGS, NOISE_PX = 4000, 3


class _Held(NamedTuple):
    """A way to hold one instance, as Pick says it; good: all but what lies on it is well. both:
    another part lies between the fingers too."""

    pose: np.ndarray
    clearance_m: float
    roughness_m: float
    good: bool
    opening_m: float = 0.0
    both: bool = False
    blocked: Blocked = Blocked.NO_ROOM
    grasp: str = ''


class Holds:
    """How one gripper can hold the instances of one frame; labels (h, w) of the surface's
    window."""

    def __init__(
        self, surface: Surface, labels: np.ndarray, config: PickConfig, tooling: Tooling
    ) -> None:
        self.workspace, self.labels, self.config = surface.workspace, labels, config
        self.tooling = tooling
        self.height = surface.height
        self.depth = surface.depth
        self.rays = surface.rays
        self.read = surface.read
        self.fx, self.fy = surface.fx, surface.fy
        self.up = np.asarray(surface.workspace.floor[:3], float)
        self.around_m = max(
            FARTHEST_M, config.tool_radius_m if config.gripper == 'suction' else 2 * config.finger_m
        )

    def areas(self, count: int) -> np.ndarray:
        """Square metres that every instance covers (count,)."""
        pixels = np.flatnonzero((self.labels > 0) & self.read)
        return np.bincount(
            self.labels.ravel()[pixels],
            weights=self.depth.ravel()[pixels] ** 2 / (self.fx * self.fy),
            minlength=count + 1,
        )[1:]

    def hold(
        self, label: int, box: tuple[slice, slice], seen: float, part: np.ndarray | None
    ) -> Pick | None:
        """The best way to hold the instance that lies in a box of the window and of which a share
        is seen, None where it has hardly a reading; part: its pose (4, 4), where grasps were
        taught."""
        readings = self.depth[box][(self.labels[box] == label) & self.read[box]]
        if len(readings) < 8:
            return None
        distance = float(np.median(readings))
        around = int(np.ceil(self.around_m / distance * self.fx))
        rows, columns = (slice(max(side.start - around, 0), side.stop + around) for side in box)
        mask, height = self.labels[rows, columns] == label, self.height[rows, columns]
        corner = np.array([rows.start, columns.start])
        uncovered = min(uncovered_share(mask, height), seen)
        holding = self._suction if self.config.gripper == 'suction' else self._parallel
        if part is not None:
            held = self._taught(label, part)
        else:
            held = holding(mask, height, corner, distance)
            if held.good and self.tooling.body is not None:
                held = self._without_collision(label, held, self.tooling.body)
        covered = uncovered < self.config.min_uncovered
        blocked = Blocked.COVERED if covered else Blocked.NO if held.good else held.blocked
        return Pick(
            label,
            0.0,
            held.pose.astype(np.float32),
            uncovered,
            float(self.workspace.height_of(held.pose[:3, 3])),
            held.clearance_m,
            held.roughness_m,
            held.both,
            blocked is Blocked.NO,
            blocked,
            held.opening_m,
            held.grasp,
        )

    def _without_collision(self, label: int, held: _Held, body: Body) -> _Held:
        """The same, turned about its z so that the gripper touches nothing; no good where it always
        does."""
        turns = SUCTION_TURNS if self.config.gripper == 'suction' else PARALLEL_TURNS
        pose = self._free(label, held.pose, body, turns)
        if pose is None:
            return held._replace(good=False, blocked=Blocked.COLLISION)
        return held._replace(pose=pose)

    def _free(
        self, label: int, pose: np.ndarray, body: Body, turns: tuple[float, ...]
    ) -> np.ndarray | None:
        """The pose, turned by the first of the turns at which the gripper touches nothing but the
        instance."""
        away = np.linalg.norm(body.outline, axis=1).max() + self.config.approach_m
        column, row = (pose[:2, 3] / pose[2, 3] - self.rays[0, 0, :2]) * (self.fx, self.fy)
        around = int(np.ceil(away / max(pose[2, 3] - away, away) * self.fx))
        rows, columns = (
            slice(max(int(at) - around, 0), max(int(at) + around, 0)) for at in (row, column)
        )
        others = self.read[rows, columns] & (self.labels[rows, columns] != label)
        step = max(int(np.sqrt(others.sum() / MOST_READINGS)), 1)
        others[np.arange(len(others)) % step > 0] = False
        others[:, np.arange(others.shape[1]) % step > 0] = False
        points = self.rays[rows, columns][others] * self.depth[rows, columns][others][:, None]
        return free_turn(
            body,
            pose,
            points,
            self.workspace,
            turns,
            self.config.approach_m,
            self.config.wall_height_m,
        )

    def _taught(self, label: int, part: np.ndarray) -> _Held:
        """The free grasp of the highest priority, of these the most upright; no good where none
        is."""
        poses = [part @ grasp.pose for grasp in self.tooling.grasps]
        upright = [float(-pose[:3, 2] @ self.up) for pose in poses]
        order = sorted(
            range(len(poses)), key=lambda one: (-self.tooling.grasps[one].priority, -upright[one])
        )
        for one in order:
            grasp = self.tooling.grasps[one]
            if upright[one] < np.cos(np.radians(self.config.max_tilt_deg)):
                continue
            body = self.tooling.body or self._plain_body(grasp)
            if (pose := self._free(label, poses[one], body, (0.0,))) is not None:
                free_m = min(self._walls(pose[:3, 3]), self.around_m)
                return _Held(pose, free_m, 0.0, True, grasp.opening_m, grasp=grasp.name)
        best = order[int(np.argmax([upright[one] for one in order]))]
        grasp = self.tooling.grasps[best]
        return _Held(
            poses[best], 0.0, 0.0, False, grasp.opening_m, False, Blocked.NO_GRASP, grasp.name
        )

    def _plain_body(self, grasp: Grasp) -> Body:
        """What the configuration says of the gripper, where no file says more."""
        config = self.config
        if config.gripper == 'suction':
            return suction_body(config.cup_radius_m, config.tool_radius_m)
        return finger_body(grasp.opening_m or config.opening_m, config.finger_m)

    def _points(
        self, mask: np.ndarray, corner: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns (in the box) and points (M, 3) of a mask's readings, or of as many of them
        as tell its shape."""
        box = tuple(slice(start, start + side) for start, side in zip(corner, mask.shape))
        rows, columns = np.nonzero(mask & self.read[box])
        step = max(len(rows) // MAX_POINTS, 1)
        rows, columns = rows[::step], columns[::step]
        depth, rays = self.depth[box][rows, columns], self.rays[box][rows, columns]
        return rows, columns, (rays * depth[:, None]).astype(float)

    def _under_cup(
        self, mask: np.ndarray, corner: np.ndarray, place: tuple[int, int], cup: float
    ) -> np.ndarray:
        """Points (M, 3) of a mask's readings that lie within a cup's radius in px of a place (row,
        column) of the box."""
        reach = int(cup)
        first = np.maximum(np.array(place) - reach, 0)
        own = mask[first[0] : place[0] + reach + 1, first[1] : place[1] + reach + 1]
        down, across = np.ogrid[: own.shape[0], : own.shape[1]]
        away = (down + first[0] - place[0]) ** 2 + (across + first[1] - place[1]) ** 2
        return self._points(own & (away <= cup**2), corner + first)[2]

    def _walls(self, point: np.ndarray) -> float:
        """Distance in m of a point (3,) to the nearest of the bin's walls, infinite where nobody
        says where they are."""
        if self.workspace.bounds is None:
            return np.inf
        return float(self.workspace.wall_distance(point))

    def _suction(
        self, mask: np.ndarray, height: np.ndarray, corner: np.ndarray, distance: float
    ) -> _Held:
        config = self.config
        rows, columns, points = self._points(mask, corner)
        # The cup must lie on the part alone: so far from the mask's border.
        room = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1][
            rows, columns
        ]
        cup = config.cup_radius_m / distance * self.fx
        middle = np.median(np.stack([rows, columns], 1), axis=0)
        far = np.hypot(rows - middle[0], columns - middle[1])
        allowed = np.flatnonzero(room >= cup)
        fits = len(allowed) > 0
        if not fits:
            allowed = np.flatnonzero(room >= 0.9 * room.max())
        # From the middle outwards: a part held at its middle turns least.
        tried = allowed[np.argsort(far[allowed], kind='stable')]
        tried = tried[np.unique(np.linspace(0, len(tried) - 1, PLACES).astype(int))]
        best: tuple[float, np.ndarray, np.ndarray, float] | None = None
        place = int(np.argmin(far))
        for index in tried:
            own = self._under_cup(mask, corner, (rows[index], columns[index]), max(cup, 2.0))
            if len(own) < 6:
                continue
            centre, values, vectors = principal_axes(own)
            roughness, normal = float(np.sqrt(max(values[0], 0))), vectors[:, 0]
            normal = normal if normal[2] < 0 else -normal
            tilt = 1 - float(normal @ self.up)
            cost = roughness / config.max_roughness_m + tilt + 0.5 * far[index] / (far.max() + 1)
            if best is None or cost < best[0]:
                best, place = (cost, centre, normal, roughness), int(index)
        if best is None:
            centre, normal, roughness, fits = points.mean(0), self.up, FARTHEST_M, False
        else:
            _, centre, normal, roughness = best
        pose = _grasp_frame(centre, normal, points)
        contact = float(self.workspace.height_of(centre))
        others_y, others_x = np.nonzero(~mask & (height > contact + STEP_M))
        clearance = min(self._walls(centre) - config.wall_m, self.around_m)
        if len(others_y):
            row, column = rows[place], columns[place]
            clearance = min(
                float(np.sqrt(((others_y - row) ** 2 + (others_x - column) ** 2).min()))
                * distance
                / self.fx,
                clearance,
            )
        return _Held(
            pose,
            clearance,
            roughness,
            fits and roughness <= config.max_roughness_m and clearance >= config.tool_radius_m,
        )

    def _parallel(
        self, mask: np.ndarray, height: np.ndarray, corner: np.ndarray, distance: float
    ) -> _Held:
        config = self.config
        rows, columns, points = self._points(mask, corner)
        heights = self.workspace.height_of(points)
        top = float(np.quantile(heights, 0.9))
        middle = np.array([rows.mean(), columns.mean()])
        metres = distance / self.fx
        finger, tips = config.finger_m / metres, top - config.reach_m
        # What stands in the fingers' way: everything but the part.
        others = np.where(mask, 0, height)
        best: tuple[float, float, bool] | None = None
        opening, span = 0.0, (0.0, 0.0)
        along = _main_direction(rows, columns)
        for turn in np.arange(TURNS) * np.pi / TURNS:
            angle = along + np.pi / 2 + turn
            close = np.array([np.sin(angle), np.cos(angle)])
            beside = np.array([close[1], -close[0]])
            offset = np.stack([rows, columns], 1) - middle
            between = np.abs(offset @ beside) <= finger / 2
            if not between.any():
                continue
            reach = offset[between] @ close
            low, high = reach.min(), reach.max()
            wide = (high - low) * metres + 2 * STEP_M
            free = min(
                _room(
                    others, middle + close * (end + sign * finger / 2), close, beside, finger, tips
                )
                for end, sign in ((low, -1), (high, 1))
            )
            ends = [
                self._at(middle + close * (end + sign * finger), corner, distance)
                for end, sign in ((low, -1), (high, 1))
            ]
            good = (
                wide <= config.opening_m
                and free >= 0
                and min(self._walls(end) for end in ends) >= config.wall_m
                and tips > 0
            )
            # Across the part's length comes first, then room.
            cost = (not good) * 10 - min(free, 0.02) / 0.02 + np.sin(turn) * 0.5
            if best is None or cost < best[0]:
                best = float(cost), float(angle), bool(good)
                clearance, opening, span = float(free), float(wide), (float(low), float(high))
        if best is None:
            return _Held(_grasp_frame(points.mean(0), self.up, points), 0.0, 0.0, False)
        close = np.array([np.cos(best[1]), np.sin(best[1]), 0.0])
        z = -self.up
        y = close - (close @ z) * z
        y /= np.linalg.norm(y)
        pose = np.eye(4)
        centre = points.mean(0)
        # Fingertips meet below the top.
        centre = centre + self.up * (tips - float(self.workspace.height_of(centre)))
        pose[:3, :3], pose[:3, 3] = np.stack([np.cross(y, z), y, z], 1), centre
        tall = np.where(mask | (self._crop(mask, corner) == 0), 0, height)
        both = _between(tall, middle, best[1], span, finger, tips)
        return _Held(pose, clearance, float(np.std(heights)), best[2], opening, both)

    def _crop(self, mask: np.ndarray, corner: np.ndarray) -> np.ndarray:
        """The labels of a mask's box."""
        rows, columns = (slice(first, first + side) for first, side in zip(corner, mask.shape))
        return self.labels[rows, columns]

    def _at(self, place: np.ndarray, corner: np.ndarray, distance: float) -> np.ndarray:
        """The point (3,) at a distance through a place (row, column) of the box, which may lie
        beyond the image."""
        row, column = place + corner
        first = self.rays[0, 0]
        return np.array([first[0] + column / self.fx, first[1] + row / self.fy, 1.0]) * distance


def _between(
    others: np.ndarray,
    middle: np.ndarray,
    angle: float,
    span: tuple[float, float],
    finger: float,
    tips: float,
) -> bool:
    """Whether something of the heights (h, w) of other parts stands higher than the fingertips
    between fingers that close along an angle over a span of px from the middle (row, column)."""
    rows, columns = np.nonzero(others > tips)
    close = np.array([np.sin(angle), np.cos(angle)])
    offset = np.stack([rows, columns], 1) - middle
    along, across = offset @ close, offset @ np.array([close[1], -close[0]])
    inside = (along > span[0]) & (along < span[1]) & (np.abs(across) < finger / 2)
    return int(inside.sum()) > NOISE_PX


def _room(
    others: np.ndarray,
    middle: np.ndarray,
    close: np.ndarray,
    beside: np.ndarray,
    finger: float,
    tips: float,
) -> float:
    """Metres between a fingertip at height `tips` and the highest thing in its footprint, a square
    of `finger` px."""
    side = max(int(np.ceil(finger)), 3)
    # A row of the footprint follows `beside`, a column `close`; OpenCV takes (x, y).
    across, down = beside[::-1] * finger / side, close[::-1] * finger / side
    start = middle[::-1] - (across + down) * (side - 1) / 2
    under = cv2.warpAffine(
        others,
        np.stack([across, down, start], 1),
        (side, side),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=BEYOND_M,
    )
    # A few pixels are noise.
    return tips - float(
        np.partition(under.ravel(), -(side * side // 20) - 1)[-(side * side // 20) - 1]
    )


def seen_share(instances: Instances, label: int) -> float:
    """The visible mask against the whole one, where the method knows hidden parts; 1 where it does
    not."""
    if instances.amodal is None:
        return 1.0
    return float((instances.labels == label).sum() / max(int(instances.amodal[label - 1].sum()), 1))


def uncovered_share(mask: np.ndarray, height: np.ndarray) -> float:
    """Share of the border of a mask (H, W) on which no neighbour stands higher, by heights (H, W)
    in m: what lies on a part hides it, what lies below does not."""
    kernel = np.ones((5, 5), np.uint8)
    around = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask
    own = cv2.dilate(np.where(mask, height, 0).astype(np.float32), kernel)
    higher = around & (height > own + STEP_M)
    return 1 - float(higher.sum()) / max(int(around.sum()), 1)


def _main_direction(rows: np.ndarray, columns: np.ndarray) -> float:
    """The angle of a mask's longest axis in the image, in radians from +x towards +y."""
    _, _, vectors = principal_axes(np.stack([columns, rows], 1).astype(float))
    return float(np.arctan2(vectors[1, 1], vectors[0, 1]))


def _grasp_frame(origin: np.ndarray, normal: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The frame (4, 4) at a contact: z into the part, x along the part's longest axis across z."""
    z = -normal / np.linalg.norm(normal)
    _, _, vectors = principal_axes(points)
    x = next(axis for axis in (vectors[:, 2], vectors[:, 1]) if abs(axis @ z) < 0.95)
    x = x - (x @ z) * z
    x /= np.linalg.norm(x)
    x = x if x[np.abs(x).argmax()] > 0 else -x
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([x, np.cross(z, x), z], 1), origin
    return pose
