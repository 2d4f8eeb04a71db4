"""Sets of discrete velocities on the cubic lattice, and sums over them without multiplications."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Array

Rows = tuple[Array, ...]
"""One array per velocity, all of one shape."""


@dataclass(frozen=True)
class Lattice:
    """Velocities, weights and the speed of sound of a lattice; velocity 0 is rest, and 2k + 1 and 2k + 2 are opposite.

    Attributes:
        name: As in the literature, D3Q19.
        velocities: Steps ``(populations, 3)`` in voxels.
        weights: Of the equilibrium at rest.
        sound_squared: Square of the speed of sound, voxel²/step².

    Source: Qian, d'Humières, Lallemand 1992 (Europhys Lett 17:479), eq 5; Krüger et al 2017 (The Lattice Boltzmann Method), table 3.1.
    """

    name: str
    velocities: tuple[tuple[int, int, int], ...]
    weights: tuple[float, ...]
    sound_squared: float

    @property
    def size(self) -> int:
        """Number of populations."""
        return len(self.velocities)

    @cached_property
    def opposite(self) -> np.ndarray:
        """Index of the opposite velocity."""
        return np.array([0] + [i + 1 if i % 2 else i - 1 for i in range(1, self.size)])

    @cached_property
    def steps(self) -> np.ndarray:
        """Velocities as an integer array ``(populations, 3)``."""
        return np.array(self.velocities)

    @property
    def pairs(self) -> range:
        """First index of each pair of opposite velocities."""
        return range(1, self.size, 2)


def total(rows: Rows) -> Array:
    """Sum over populations: the deviation of the density from one where rows are deviations from the weights."""
    return _tree_sum(list(rows))


def momentum(lattice: Lattice, rows: Rows) -> tuple[Array, Array, Array]:
    """First moments; opposite populations are subtracted first, as their difference is small."""
    odd = [rows[i] - rows[i + 1] for i in lattice.pairs]
    x, y, z = (_signed([(lattice.velocities[i][axis], part) for i, part in zip(lattice.pairs, odd)]) for axis in range(3))
    return x, y, z


def second_moments(lattice: Lattice, rows: Rows) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Second moments xx, yy, zz, xy, xz, yz."""
    even = [rows[i] + rows[i + 1] for i in lattice.pairs]
    found = []
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        found.append(_signed([(lattice.velocities[i][a] * lattice.velocities[i][b], part) for i, part in zip(lattice.pairs, even)]))
    xx, yy, zz, xy, xz, yz = found
    return xx, yy, zz, xy, xz, yz


def along(step: Sequence[int], vector: tuple[Array, Array, Array]) -> Array:
    """Scalar product with a lattice velocity, which is not zero."""
    return _signed(list(zip(step, vector)))


def _signed(terms: list[tuple[int, Array]]) -> Array:
    plus, minus = [part for sign, part in terms if sign > 0], [part for sign, part in terms if sign < 0]
    if not plus:
        return -_tree_sum(minus)
    return _tree_sum(plus) - _tree_sum(minus) if minus else _tree_sum(plus)


def _tree_sum(parts: list[Array]) -> Array:
    """By halves: less round-off than one after another, and fewer operations that wait for each other."""
    while len(parts) > 1:
        parts = [a + b for a, b in zip(parts[::2], parts[1::2])] + ([parts[-1]] if len(parts) % 2 else [])
    return parts[0]


def _lattice(name: str, weight_of_length: dict[int, float], sound_squared: float) -> Lattice:
    every = product((-1, 0, 1), (-1, 0, 1), (-1, 0, 1))
    steps: list[tuple[int, int, int]] = [c for c in every if sum(map(abs, c)) in weight_of_length and any(c)]
    halves = [c for c in steps if c > (0, 0, 0)]
    halves.sort(key=lambda c: (sum(map(abs, c)), tuple(-abs(x) for x in c), c))
    ordered: list[tuple[int, int, int]] = [(0, 0, 0)] + [one for c in halves for one in (c, (-c[0], -c[1], -c[2]))]
    return Lattice(name, tuple(ordered), tuple(weight_of_length[sum(map(abs, c))] for c in ordered), sound_squared)


D3Q7 = _lattice("D3Q7", {0: 1 / 4, 1: 1 / 8}, 1 / 4)
"""For scalars only: no stress of a flow."""
D3Q19 = _lattice("D3Q19", {0: 1 / 3, 1: 1 / 18, 2: 1 / 36}, 1 / 3)
D3Q27 = _lattice("D3Q27", {0: 8 / 27, 1: 2 / 27, 2: 1 / 54, 3: 1 / 216}, 1 / 3)
