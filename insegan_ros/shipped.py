"""Files that ship beside the code: checkpoints, presets, profiles. In the source tree, or in an
installation's share folder."""

from __future__ import annotations

import sys
from pathlib import Path

# The checkpoint for pictures of heaps.
HEAP_MODEL = 'hoc-nut'


def shipped_folders(name: str) -> list[Path]:
    """The folders of this name (checkpoints, config) that exist, nearest first."""
    here = Path(__file__).resolve()
    candidates = [here.parents[1] / name, Path(sys.prefix) / 'share/insegan_ros' / name]
    candidates += [parent / 'share/insegan_ros' / name for parent in here.parents[:6]]
    return [folder for folder in candidates if folder.is_dir()]


def shipped_file(folder: str, name: str) -> Path | None:
    """The first shipped file of this name, or None."""
    return next(
        (path for parent in shipped_folders(folder) if (path := parent / name).is_file()), None
    )
