"""The folder of a reconstruction: the mesh, what is known of it, and a picture to judge it by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh

from insegan_ros.errors import DatasetError
from insegan_ros.files import write_whole
from insegan_ros.reconstruction.pipeline import Reconstruction, unseen_share
from insegan_sim.camera import Caster
from insegan_sim.meshes import find_symmetries

MESH = 'part.ply'
# What an unfinished folder may hold: the mesh is written last.
STAGES = 'stages'
OWN = (STAGES, 'part.json', 'part.png')
TILE_PX = 180
# Colours (R, G, B, A) of surface that some view has seen, and of surface that none has.
SEEN_RGBA, UNSEEN_RGBA = (150, 170, 190, 255), (235, 120, 40, 255)
# A reconstructed surface is this exact, as a share of its size.
SYMMETRY_TOLERANCE = 0.025
# Turns (about x, about y in degrees) from which the mesh is drawn.
SIDES = ((0, 0), (90, 0), (180, 0), (270, 0), (0, 90), (0, 270))


def check_new_folder(folder: Path) -> None:
    """Raises DatasetError for a folder that holds a finished reconstruction or anything else than
    the stages of one, or cannot be made."""
    if (folder / MESH).exists():
        raise DatasetError(f'{folder / MESH} already exists: expected a new folder')
    held = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
    begun = STAGES in held and held <= set(OWN)
    if folder.exists() and (not folder.is_dir() or (held and not begun)):
        raise DatasetError(f'{folder} already exists: expected a new folder')


def write_reconstruction(found: Reconstruction, folder: Path) -> dict[str, Any]:
    """Write part.ply, part.json and part.png into a new folder; returns what part.json holds.
    Raises DatasetError where the folder holds something or cannot be written."""
    check_new_folder(folder)
    mesh = found.mesh.copy()
    colours = np.where(found.seen[:, None], SEEN_RGBA, UNSEEN_RGBA).astype(np.uint8)
    mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=colours)
    facts = facts_of(found)
    content = mesh.export(file_type='ply')
    assert isinstance(content, bytes), 'a binary PLY'
    write_whole(folder / 'part.json', (json.dumps(facts, indent=1) + '\n').encode())
    picture = cv2.imencode('.png', draw(found)[..., ::-1])[1]
    write_whole(folder / 'part.png', picture.tobytes())
    write_whole(folder / MESH, content)
    return facts


def facts_of(found: Reconstruction) -> dict[str, Any]:
    """What part.json holds; lengths in mm, shares between 0 and 1."""
    return {
        'views': len(found.placed),
        'resting_poses': list(found.poses),
        'diameter_mm': round(1000 * found.diameter_m, 2),
        'extents_mm': [round(1000 * float(side), 2) for side in found.mesh.extents],
        'volume_cm3': round(1e6 * float(found.mesh.volume), 3),
        'depth_noise_mm': round(1000 * found.noise_m, 3),
        'contradiction_mm': round(1000 * found.energy_m, 4),
        'margin_mm': round(1000 * found.margin_m, 4) if np.isfinite(found.margin_m) else None,
        'held_out': [
            {
                'overlap': round(one.overlap, 3),
                'depth_mm': round(1000 * one.depth_m, 2),
                'above_floor_mm': round(1000 * one.gap_m, 2),
            }
            for one in found.errors
        ],
        'held_out_explained': round(found.explained, 3),
        'surface_never_seen': round(unseen_share(found.mesh, found.seen), 3),
        'round_about': None if found.axis is None else [round(float(v), 4) for v in found.axis],
        'symmetries': [
            {'axis': [round(float(v), 4) for v in axis], 'fold': fold}
            for axis, fold in find_symmetries(found.mesh, SYMMETRY_TOLERANCE)
        ],
        'seconds': round(found.seconds, 1),
    }


def draw(found: Reconstruction) -> np.ndarray:
    """The mesh from six sides, never-seen surface in orange, and below six of the views that made
    it, (H, W, 3) uint8 RGB."""
    caster = Caster(found.mesh, found.mesh, keep=False)
    above = [_side(found, caster, *side) for side in SIDES]
    every = max(len(found.placed) // len(SIDES), 1)
    below = [_view_tile(one.view.mask, one.view.depth_m) for one in found.placed[::every]]
    below = (below + [np.zeros((TILE_PX, TILE_PX, 3), np.uint8)] * len(SIDES))[: len(SIDES)]
    return np.vstack([np.hstack(above), np.hstack(below)])


def _side(found: Reconstruction, caster: Caster, about_x: float, about_y: float) -> np.ndarray:
    """The mesh from one side, lit from the camera."""
    pose = trimesh.transformations.euler_matrix(np.radians(about_x), np.radians(about_y), 0)
    distance = 4 * found.diameter_m
    pose[2, 3] = distance
    axis = np.linspace(-0.14, 0.14, TILE_PX, dtype=np.float32)
    rays = np.stack([*np.meshgrid(axis, axis), np.ones((TILE_PX, TILE_PX), np.float32)], -1)
    depth, normals = caster.cast(rays, pose, normals=True)
    if normals is None:
        return np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    hit = np.isfinite(depth)
    points = (np.nan_to_num(depth)[..., None] * rays - pose[:3, 3]) @ pose[:3, :3]
    _, nearest = found.mesh.kdtree.query(points.reshape(-1, 3))
    seen = found.seen[nearest].reshape(hit.shape)
    light = 0.25 + 0.75 * np.abs(normals @ np.array([0.3, -0.4, -0.87]))
    colour = np.where(seen[..., None], SEEN_RGBA[:3], UNSEEN_RGBA[:3]) * light[..., None]
    return np.where(hit[..., None], colour, 255).clip(0, 255).astype(np.uint8)


def _view_tile(mask: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    """A view's depth, near is bright."""
    low, high = depth_m[mask].min(), depth_m[mask].max()
    shade = np.where(mask, 60 + 195 * (high - depth_m) / max(high - low, 1e-6), 0)
    side = max(mask.shape)
    square = np.zeros((side, side), np.uint8)
    square[: mask.shape[0], : mask.shape[1]] = shade.clip(0, 255)
    large = cv2.resize(square, (TILE_PX, TILE_PX), interpolation=cv2.INTER_NEAREST)
    return np.repeat(large[..., None], 3, 2)
