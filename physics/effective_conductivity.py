"""What a piece of tissue with fibrosis conducts as a whole."""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import spsolve

from solvers import Diffusion, VoxelGrid


def effective_conductivity(operator: Diffusion, grid: VoxelGrid, axis: int = 0) -> float:
    r"""The diffusivity of uniform tissue filling the box that conducts as much between its two ends along ``axis``.

    Solves $\nabla\cdot D\nabla\phi = 0$ with $\phi = 1$ and $0$ in the first and last layer of voxels and no flux elsewhere; the current
    over the cross-section of the whole box, times the distance of these layers. Pieces that do not reach both ends carry nothing.

    Args:
        operator: Of second order, blocked faces and absent voxels included.
        grid: The voxels.
        axis: Direction of the current.

    Returns:
        In the unit of the operator's coefficient; zero where no path leads across (beyond the percolation threshold).

    Raises:
        ValueError: An operator of fourth order, with loss or walls; a box of fewer than two layers along ``axis``.

    On the host, by a sparse direct solve: up to some 10^5 voxels of a sheet, fewer in volumes. Closed limits on a square lattice, a share
    $p$ of independent faces or voxels blocked: $1 - 2p$ and $1 - \pi p$ as $p \to 0$; zero from $p = 1/2$ and $p = 0.407$ on. The slopes
    follow from the resistances between lattice points one and two apart, $1/2$ and $2 - 4/\pi$: a blocked voxel is a dipole of
    $2/(1 - R/2) = \pi$ of the current through a face. Source: Kirkpatrick (1973), Rev. Mod. Phys. 45, 574 (faces); voxels derived here.
    """
    if operator.correction is not None or operator.loss is not None or operator.wraps is not None:
        raise ValueError(
            "got an operator of fourth order, with loss or with walls; expected a plain one of second order; do: build it anew"
        )
    layers = grid.shape[axis]
    if layers < 2:
        raise ValueError(f"got {layers} layers along axis {axis}; expected at least two; do: choose an axis with more voxels")
    rows, columns, values = [], [], []
    for stride, face in zip(grid.strides, operator.faces, strict=True):
        conductance = float(operator.scale) * np.asarray(face, float)[stride:]
        (low,) = np.nonzero(conductance)
        rows.append(low)
        columns.append(low + stride)
        values.append(conductance[low])
    i, j, c = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
    size = grid.size
    links = sparse.coo_matrix((np.r_[c, c], (np.r_[i, j], np.r_[j, i])), (size, size)).tocsr()
    layer = np.arange(size).reshape(grid.shape).swapaxes(0, axis)
    first, last = layer[0].reshape(-1), layer[-1].reshape(-1)
    _, piece = csgraph.connected_components(links, directed=False)
    through = np.intersect1d(piece[first], piece[last])
    if not through.size:
        return 0.0
    held = np.zeros(size, bool)
    held[first] = held[last] = True
    potential = np.zeros(size)
    potential[first] = 1.0
    free = np.isin(piece, through) & ~held
    laplacian = (sparse.diags(np.asarray(links.sum(axis=1)).reshape(-1)) - links).tocsr()
    if free.any():
        potential[free] = spsolve(laplacian[free][:, free].tocsc(), links[free] @ potential)
    current = float((laplacian[first] @ potential).sum())  # per voxel, as a change per time
    return current / first.size * (layers - 1) * grid.spacing[axis] ** 2
