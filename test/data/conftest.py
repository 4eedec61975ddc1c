"""Sets that several tests of data read."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import photo


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """CUB-200-2011 in small: 24 pictures of 2 kinds."""
    root = tmp_path / 'CUB_200_2011'
    lines: dict[str, list[str]] = {
        name: [] for name in ('images', 'image_class_labels', 'bounding_boxes')
    }
    for number in range(1, 25):
        kind = 1 + number % 2
        name = f'00{kind}.Kind_{kind}/Kind_{number:04d}.jpg'
        photo(
            root / 'images' / name,
            (20 + number, 10, 50 + number, 40),
            mask=root / 'segmentations' / f'{name[:-4]}.png',
        )
        lines['images'].append(f'{number} {name}')
        lines['image_class_labels'].append(f'{number} {kind}')
        lines['bounding_boxes'].append(f'{number} {20 + number}.0 10.0 30.0 30.0')
    (root / 'classes.txt').write_text('1 001.Kind_1\n2 002.Kind_2\n')
    for name, rows in lines.items():
        (root / f'{name}.txt').write_text('\n'.join(rows) + '\n')
    return root
