"""One frame and all that is known of it: what every output is made from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from std_msgs.msg import Header

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances
from insegan_ros.picking.carrier import LoadCarrier, Place, find_carrier
from insegan_ros.picking.picks import BinState, Pick, PickConfig, Surface, bin_state, rank_picks
from insegan_ros.picking.tool import NO_TOOLING, Tooling
from insegan_ros.picking.tracks import Tracker
from insegan_ros.segmenters.base import MeshFile
from insegan_ros.workspace import Workspace


class Target(Protocol):
    """A frame that poses are asked for in."""

    frame: str

    def matrix(self, header: Header) -> np.ndarray:
        """The pose (4, 4) of a message's frame in it, in m. Raises InputError where nobody says
        it."""
        ...


@dataclass(frozen=True)
class Result:
    """One frame and what was found in it; what only some outputs need is made when the first of
    them asks.

    workspace: None where the frame has no reading at all. part: the class's name. part_area_m2:
    what one whole part covers, 0 if unknown. mesh: what poses are of, if it is one. tooling: the
    gripper's body and taught grasps. target: the frame of poses and picks, None for the
    camera's own. tracker: knows the frames before. kinds: the names of all classes that the method
    tells apart, empty where all is `part`.
    """

    frame: Frame
    instances: Instances
    workspace: Workspace | None
    header: Header
    part: str
    picking: PickConfig = PickConfig()
    part_area_m2: float = 0.0
    mesh: MeshFile | None = None
    tooling: Tooling = NO_TOOLING
    target: Target | None = None
    tracker: Tracker | None = None
    kinds: tuple[str, ...] = ()

    @property
    def placed(self) -> tuple[np.ndarray | None, Header]:
        """The pose (4, 4) of the camera in the frame that is asked for, None where it is the
        camera's own, and the header of what is in that frame. Raises InputError where it is not
        known."""
        if self.target is None:
            return None, self.header
        if isinstance(self._place, InputError):
            raise self._place
        return self._place, Header(stamp=self.header.stamp, frame_id=self.target.frame)

    @cached_property
    def _place(self) -> np.ndarray | InputError | None:
        # Asked once a frame, also where nobody answers: that takes its time.
        try:
            return self.target.matrix(self.header) if self.target is not None else None
        except InputError as error:
            return error

    @cached_property
    def class_numbers(self) -> list[int]:
        """Every instance's class, as label_info numbers them."""
        kinds = self.kinds or (self.part,)
        return [kinds.index(name) + 1 for name in classes_of(self)]

    @property
    def summary(self) -> str:
        """What was found, in words; also why what cannot be taken cannot."""
        why = Counter(pick.blocked.value for pick in self.picks if not pick.possible)
        doubtful = sum(pick.double and pick.possible for pick in self.picks)
        said = [f'{count} {reason}' for reason, count in why.most_common()]
        said += [f'{doubtful} may take two parts'] if doubtful else []
        moved = self.carrier is not None and self.carrier.place == Place.MOVED
        return (
            f'{len(self.instances)} instances, bin {self.state.value}'
            f'{": " + ", ".join(said) if said else ""}'
            f'{"; the bin is " + self.carrier.said if self.carrier and moved else ""}'
        )

    @cached_property
    def surface(self) -> Surface:
        """The bin's surface. Raises InputError where there is no workspace."""
        if self.workspace is None:
            raise InputError('the frame has no depth readings: expected some, to know its surface')
        return Surface(self.frame, self.workspace)

    @cached_property
    def picks(self) -> list[Pick]:
        """Every instance's best pick, the best first."""
        return (
            rank_picks(self.surface, self.instances, self.picking, self.part_area_m2, self.tooling)
            if self.workspace
            else []
        )

    @cached_property
    def state(self) -> BinState:
        """The bin in one word."""
        if self.workspace is None:
            return BinState.NO_READING
        return bin_state(self.surface, self.picks, self.picking, overfilled=self._above_walls)

    @property
    def _above_walls(self) -> bool:
        # How high the walls are must have been said: that a bin is full to its brim may be wanted.
        known = self.picking.wall_height_m and not self.picking.full_height_m
        return bool(known and self.carrier is not None and self.carrier.overfilled)

    @cached_property
    def carrier(self) -> LoadCarrier | None:
        """The bin: where it stands and how full it is; None where nobody said where it is, or the
        frame has no reading."""
        if self.workspace is None or self.workspace.bounds is None:
            return None
        return find_carrier(self.frame, self.workspace, self.picking.wall_height_m)

    @cached_property
    def tracks(self) -> np.ndarray:
        """The numbers (N,) that the instances keep from frame to frame; asked for once a frame."""
        if self.tracker is None:
            return np.arange(1, len(self.instances) + 1)
        return self.tracker.update(self.instances.labels, len(self.instances))


def classes_of(result: Result) -> tuple[str, ...]:
    """The instances' class names; methods that know one kind of part name it after the part."""
    return result.instances.classes or (result.part,) * len(result.instances)
