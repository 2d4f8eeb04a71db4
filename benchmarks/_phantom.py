"""A brain-shaped set of voxels, made by code: the irregular mask that benchmarks run on."""

from typing import NamedTuple

import numpy as np

from twinsim.errors import InputError


class Phantom(NamedTuple):
    """Tissue per voxel ``(x, y, z)``.

    Attributes:
        mask: Voxels that can carry tumour cells.
        white: Fraction of white matter, 0 to 1.
        grey: Fraction of grey matter, 0 to 1.
        inside: Index of a voxel deep in white matter, for a seed.
    """

    mask: np.ndarray
    white: np.ndarray
    grey: np.ndarray
    inside: tuple[int, int, int]


def brain_phantom(shape: tuple[int, int, int], active: int) -> Phantom:
    """A rounded box with two ventricles, a fissure and one-voxel sulci cut out, cropped by the grid, of exactly ``active`` voxels.

    Raises:
        InputError: So many voxels do not fit beside the cavities.
    """
    x, y, z = np.meshgrid(*(2 * (np.arange(n) + 0.5) / n - 1 for n in shape), indexing="ij")
    angle = np.arctan2(y, x)
    radius = (np.abs(x) ** 2.6 + np.abs(y) ** 2.6 + np.abs(z) ** 2.6) ** (1 / 2.6)
    ventricles = sum(((x - side) / 0.1) ** 2 + ((y - 0.05) / 0.35) ** 2 + ((z - 0.1) / 0.22) ** 2 < 1 for side in (-0.2, 0.2)) > 0
    fissure = (np.arange(shape[0]) == shape[0] // 2)[:, None, None] & (z > 0) & (radius > 0.35)
    # Distance to the nearest zero of the sine, in units of half the box: narrower than a voxel, so a slit is one voxel wide.
    sulci = (np.abs(np.sin(9 * angle + 3 * z)) * radius / 9 < 0.6 / shape[0]) & (radius > 0.8)
    free = ~(ventricles | fissure | sulci)
    if not 0 < active <= free.sum():
        raise InputError(got=f"{active} active voxels", expected=f"1 to {free.sum()} on a grid of {shape}", do="change one of them")
    bumpy = np.where(free, radius * (1 + 0.02 * np.sin(5 * angle) * np.cos(7 * z)), np.inf)
    mask = np.zeros(bumpy.size, dtype=bool)
    mask[np.argsort(bumpy, axis=None, kind="stable")[:active]] = True
    mask = mask.reshape(shape)
    white = np.where(mask, np.clip((0.85 - radius) / 0.15, 0, 1), 0)
    goal = (x - 0.45) ** 2 + (y - 0.1) ** 2 + (z - 0.1) ** 2
    inside = np.unravel_index(np.argmin(np.where(mask, goal, np.inf)), shape)
    return Phantom(mask, white, np.where(mask, 1 - white, 0), (int(inside[0]), int(inside[1]), int(inside[2])))
