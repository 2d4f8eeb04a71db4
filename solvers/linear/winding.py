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
    for axis in np.flatnonzero(np.asarray(cell) == 2):  # so that a neighbour tells which of its two faces leads there
        given = np.concatenate([given, given], axis=axis + 1)
    cell = given.shape[1:]
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
    links, reach = (links + links.T).tocsr(), np.flatnonzero(sizes >= min(cell))  # shorter pieces cannot reach around
    corner, shape = np.stack(np.unravel_index(np.arange(size), cell), axis=-1), np.asarray(cell)
    parent = np.arange(size)
    for label in reach:
        _, before = breadth_first_order(links, int(np.argmax(piece == label)), directed=False)
        parent = np.where(before >= 0, before, parent)
    moved = corner - corner[parent]  # one step, also where it leads around an end
    place = np.where(moved > 1, moved - shape, np.where(moved < -1, moved + shape, moved)).astype(float)
    while (parent[parent] != parent).any():  # sums along the branches, of twice the length each time
        place, parent = place + place[parent], parent[parent]
    beyond = place[start] + step - place[end]
    found = beyond[np.isin(piece[start], reach)]
    if not np.abs(found).any():
        return np.zeros((axes, axes))
    _, values, basis = np.linalg.svd(found.T @ found)
    kept = basis[values > 1e-9 * values[0]]
    return kept.T @ kept
