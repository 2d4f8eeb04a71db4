"""Which ways current can cross a periodic cell at all: the windings of its connected pieces."""

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components


def winding_directions(conductivities: Float[np.ndarray, "axes *cell"]) -> Float[np.ndarray, "axes axes"]:
    r"""The orthogonal projection onto the directions in which a periodic lattice conducts, exactly: the range of its effective tensor.

    A closed path along open faces that ends $w_a$ periods further along each axis winds by $w$. The effective tensor of
    :func:`solvers.homogenise` vanishes on every direction orthogonal to all windings and on no other: a plane with loops along x only
    conducts along x, one with loops that climb, (1, 1), along the diagonal. It is the percolation of the infinite tissue that repeats the
    cell, and no threshold is involved.

    Args:
        conductivities: As of :func:`solvers.homogenise`; a face is open where it is positive. Edges of a voxel are taken to be one.

    Returns:
        $P$, zero where nothing winds, the identity where all directions conduct.

    Raises:
        ValueError: The axes do not fit.

    On the host, in numbers of cells times their logarithm. Source: Machta et al. (1996), Phys. Rev. E 54, 1332 (windings as the criterion
    of percolation); the linear algebra is derived here.
    """
    given = np.asarray(conductivities)
    axes, cell = given.shape[0], given.shape[1:]
    if len(cell) != axes:
        raise ValueError(f"got conductivities of shape {given.shape}; expected (axes, *cell); do: stack those of the faces along each axis")
    number = np.arange(int(np.prod(cell))).reshape(cell)
    here, there, steps = [], [], []
    for axis in range(axes):
        open_ = given[axis] > 0
        here.append(number[open_])
        there.append(np.roll(number, -1, axis)[open_])
        step = np.zeros((open_.sum(), axes))
        step[:, axis] = 1
        steps.append(step)
    start, end, step = np.concatenate(here), np.concatenate(there), np.concatenate(steps)
    size = number.size
    links = coo_array((np.ones(start.size), (start, end)), (size, size)).tocsr()
    _, piece = connected_components(links, directed=False)
    sizes = np.bincount(piece)
    place, links = np.zeros((size, axes)), (links + links.T).tocsr()
    corner = np.stack(np.unravel_index(np.arange(size), cell), axis=-1)
    shape = np.asarray(cell)
    for label in np.flatnonzero(sizes >= min(cell)):  # shorter ones cannot reach around
        root = int(np.argmax(piece == label))
        order, before = breadth_first_order(links, root, directed=False)
        for cell_number in order[1:]:
            parent = before[cell_number]
            place[cell_number] = place[parent] + _short(corner[cell_number] - corner[parent], shape)
    beyond = place[start] + step - place[end]
    found = beyond[np.isin(piece[start], np.flatnonzero(sizes >= min(cell)))]
    found = found[np.abs(found).max(axis=1, initial=0) > 0.5] if found.size else found
    if not found.size:
        return np.zeros((axes, axes))
    _, values, basis = np.linalg.svd(found.T @ found)
    kept = basis[values > 1e-9 * values[0]]
    return kept.T @ kept


def _short(moved: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The step of length one between neighbours, around the ends too."""
    return np.where(moved > 1, moved - shape, np.where(moved < -1, moved + shape, moved))
