"""Turn a stored volume so that its axes run to the patient's right, anterior and superior."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np


@dataclass(frozen=True)
class Turn:
    """A permutation of the array axes followed by flips."""

    order: np.ndarray
    flip: np.ndarray

    def volume(self, array: np.ndarray) -> np.ndarray:
        turned = array.transpose(self.order)
        return np.flip(turned, axis=tuple(np.flatnonzero(self.flip).tolist()))

    def index(self, at: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Where voxel ``at`` of the array before turning (``shape`` is that of the array before) ends up."""
        moved, size = at[self.order], np.array(shape)[self.order]
        return np.where(self.flip, size - 1 - moved, moved)


def canonical(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Array axis of each world axis, whether it runs backwards, and where the first voxel then lies (mm).

    An oblique grid has no single coordinate along a slice; its positions count from its first voxel instead.
    """
    direction = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    score = {order: sum(abs(direction[axis, order[axis]]) for axis in range(3)) for order in permutations(range(3))}
    order = np.array(max(score, key=score.__getitem__))
    along = np.array([direction[axis, order[axis]] for axis in range(3)])
    flip = along < 0
    if np.abs(along).min() < 0.9999:
        return order, flip, np.zeros(3)
    first = np.zeros(3)
    first[order] = np.where(flip, np.array(shape)[order] - 1, 0)
    return order, flip, affine[:3, :3] @ first + affine[:3, 3]
