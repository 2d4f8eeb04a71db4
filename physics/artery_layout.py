"""Where the cells, faces and ends of a network's vessels lie in one long vector."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

STATIONS = 5


SPARE = 2
"""Spare cells that a stencil needs before and after the vector."""


class NetworkLayout(NamedTuple):
    """Indices, all NumPy: they are constants of the compiled program.

    One vector holds the cells of all vessels, with one spare cell between two of them, so that every face belongs to one vessel and
    stencils are slices of the vector with :data:`SPARE` more cells at both ends; unlike rows padded to the longest vessel it grows with the
    cells that there are.

    Attributes:
        cell_vessel: Vessel of each cell; of a spare cell the one before.
        cell_place: Position of its centre, 0 to 1 along the vessel.
        real: Cells that are not spare.
        face_vessel: Vessel of each face, one more than there are cells.
        face_place: Its position, 0 to 1.
        first: Of the cells and one more at both ends: those that start a vessel.
        last: Those that end one.
        nodes: Names of the nodes, in order.
        branch_vessel: Vessel of each branch of each node, ``(nodes, branches)``; 0 where there is none.
        branch_face: Its end face; one beyond the faces where there is none.
        branch_sign: 1 where the vessel flows into the node, -1 where it starts there, 0 for none.
        stations: Cells where openBF records: first, quarter, half, three quarters, last, ``(vessels, 5)``.
    """

    cell_vessel: np.ndarray
    cell_place: np.ndarray
    real: np.ndarray
    face_vessel: np.ndarray
    face_place: np.ndarray
    first: np.ndarray
    last: np.ndarray
    nodes: tuple[int, ...]
    branch_vessel: np.ndarray
    branch_face: np.ndarray
    branch_sign: np.ndarray
    stations: np.ndarray


@lru_cache(maxsize=32)
def network_layout(cells: tuple[int, ...], source: tuple[int, ...], target: tuple[int, ...]) -> NetworkLayout:
    """The layout of vessels of so many cells each, from node ``source`` to node ``target``."""
    counts = np.array(cells)
    offsets = np.concatenate([[0], np.cumsum(counts + 1)[:-1]])  # first cell, and first face, of each vessel
    total = int(counts.sum() + counts.size - 1)
    cell_vessel = np.repeat(np.arange(counts.size), counts + 1)[:total]
    within = np.arange(total) - offsets[cell_vessel]
    real = within < counts[cell_vessel]
    cell_place = np.minimum((within + 0.5) / counts[cell_vessel], 1.0)
    face_vessel = np.repeat(np.arange(counts.size), counts + 1)
    face_place = (np.arange(total + 1) - offsets[face_vessel]) / counts[face_vessel]
    first, last = np.zeros(total + 2, bool), np.zeros(total + 2, bool)
    first[offsets + 1], last[offsets + counts] = True, True
    nodes = tuple(sorted({*source, *target}))
    branches = {node: [*_ends(target, node, offsets + counts, 1), *_ends(source, node, offsets, -1)] for node in nodes}
    width = max(len(found) for found in branches.values())
    table = np.zeros((len(nodes), width, 3), int)
    table[..., 1] = total + 1
    for row, node in enumerate(nodes):
        table[row, : len(branches[node])] = branches[node]
    at = np.array([[1, *(max(1, round(int(count) * part)) for part in (0.25, 0.5, 0.75)), count] for count in counts]) - 1
    return NetworkLayout(
        cell_vessel, cell_place, real, face_vessel, face_place, first, last, nodes,
        table[..., 0], table[..., 1], table[..., 2].astype(float), offsets[:, None] + at,
    )  # fmt: skip


def _ends(nodes: tuple[int, ...], node: int, faces: np.ndarray, sign: int) -> Iterable[tuple[int, int, int]]:
    return ((vessel, int(faces[vessel]), sign) for vessel, other in enumerate(nodes) if other == node)


def before_faces(part: Float[Array, " cells"]) -> Float[Array, " faces"]:
    """The cell before each face; the first one before the first."""
    return jnp.concatenate([part[:1], part])


def after_faces(part: Float[Array, " cells"]) -> Float[Array, " faces"]:
    """The cell after each face; the last one after the last."""
    return jnp.concatenate([part, part[-1:]])
