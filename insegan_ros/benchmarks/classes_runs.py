"""The data and the trainings of `insegan benchmark weak` in a folder, each made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from insegan_ros.benchmarks.classes_rows import TRAINED, ClassesBudget
from insegan_ros.data.image_set_reader import read_image_set
from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import MaskSet, truth_of
from insegan_ros.methods.image_level.run import ImageRun, share
from insegan_ros.methods.registry import METHODS
from insegan_ros.tasks.classes import TEST, TRAINING, make_mixed
from insegan_sim.camera import Jitter

# What other bins differ in from those that taught: a tote, fuller by half, with more parts, seen by
# a camera that is less steady.
OTHERS = {
    'container': 'tote',
    'instances': '4-9',
    'fill': 0.6,
    'jitter': Jitter(position_m=0.03, tilt_deg=10.0, focal_share=0.05, centre_px=6.0),
}
# Bins that need multiple instances: three kinds in each, two or more of most, close together.
CROWDED = {'kinds': 3, 'instances': '6-8', 'fill': 0.7}
Kept = TypeVar('Kept')


@dataclass
class ClassesRuns:
    """`data` and `runs` in a folder. bins: what they differ in from the shipped preset; seed: of
    the training pictures and of all trainings."""

    folder: Path
    budget: ClassesBudget
    device: torch.device
    threads: int = 0
    bins: dict[str, Any] = field(default_factory=dict)
    seed: int = TRAINING
    kept: dict[str, Any] = field(default_factory=dict)

    def crowded(self, seed: int) -> ClassesRuns:
        """The same on crowded bins, in a folder of their own."""
        return self.once(
            f'crowded {seed}',
            lambda: replace(
                self,
                folder=self.folder / f'crowded-{seed}',
                bins={**self.bins, **CROWDED},
                seed=seed,
                kept={},
            ),
        )

    def once(self, name: str, make: Callable[[], Kept]) -> Kept:
        """What `make` makes the first time, kept by its name."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def data(self, name: str) -> Path:
        """The training, the test or the others' set, or what is missing of it."""
        budget = self.budget
        count, seed, changes = {
            'training': (budget.training, self.seed, {}),
            'test': (budget.test, TEST, {}),
            'others': (max(budget.test // 2, 2), TEST, OTHERS),
        }[name]
        parts = {'part': budget.parts} if budget.parts else {}
        folder = self.folder / 'data' / name
        return make_mixed(folder, count, seed, {**parts, **self.bins, **changes})

    def config(self, run: str) -> Any:
        """The configuration of one of TRAINED here. CCGR and the ceiling stand on IRNet's
        classifier."""
        training, changes = TRAINED[run].training, dict(TRAINED[run].changes)
        if run == 'ccgr-network':
            changes['proposals.network'] = str(self.train('supervised'))
        config = self.budget.config(training, changes)
        return replace(
            config,
            data=str(self.data('training')),
            out=str(self.folder / 'runs' / run),
            seed=self.seed,
            begin='' if training == 'irnet' else str(self.folder / 'runs/irnet'),
            loop=replace(config.loop, device=self.device.type, threads=self.threads),
        )

    def train(self, run: str) -> Path:
        """The checkpoint of one of TRAINED, trained once."""
        out = self.folder / 'runs' / run / 'checkpoint'
        if not out.is_dir():
            self._begin(run, whole=True)
            METHODS[TRAINED[run].training].run(self.config(run))
        return out

    def reach(self, run: str, stage: str) -> ImageRun:
        """The run of one of TRAINED, which has come to the end of a stage or is done."""

        def come() -> ImageRun:
            self._begin(run)
            config = self.config(run)
            if not (Path(config.out) / 'checkpoint').is_dir():
                METHODS[TRAINED[run].training].run(replace(config, stop_after=stage))
            return self._claimed(config)

        return self.once(f'{run} to {stage}', come)

    def _begin(self, run: str, whole: bool = False) -> None:
        """Make what a run stands on, and give it what it takes over from that. whole: all of it;
        otherwise the stages alone that come before pseudo-labels."""
        trained = TRAINED[run]
        if not trained.begun:
            return
        if whole and (run == 'deeplab' or 'labels-1.json' in trained.shared):
            self.train(trained.begun)
        else:
            self.reach(trained.begun, 'relations' if trained.begun == 'irnet' else 'proposals')
        if trained.training != 'supervised-masks':
            out = self._claimed(self.config(run)).out
            share(self.folder / 'runs' / trained.begun, out, trained.shared)

    def _claimed(self, config: Any) -> ImageRun:
        """A training of these pictures, in its folder."""
        run = ImageRun(config)
        run.claim_folder()
        return run

    def read(self, name: str) -> tuple[ImageSet, MaskSet]:
        """The pictures of a set, as the methods see them, and their truth."""

        def read() -> tuple[ImageSet, MaskSet]:
            config = self.budget.config('irnet')
            images = read_image_set(self.data(name), config.size, config.modality)
            return images, truth_of(images, progress=False)

        return self.once(f'pictures of {name}', read)

    def judged(self) -> tuple[ImageRun, MaskSet]:
        """IRNet's run with its attention maps, and the truth of its first pictures."""

        def read() -> tuple[ImageRun, MaskSet]:
            run = self.reach('irnet', 'relations')
            return run, truth_of(run.images.first(self.budget.judged), progress=False)

        return self.once('judged', read)
