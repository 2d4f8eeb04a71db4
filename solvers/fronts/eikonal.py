"""Arrival times of a front that starts somewhere and runs at a given speed, isotropic or not."""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.fronts.eikonal_local import Symmetric, inverse
from solvers.fronts.eikonal_order import solve_in_order, solve_in_reverse_order
from solvers.fronts.eikonal_sweeps import PAIRS, fixed_point, links, round_of_all_cells, round_of_sweeps
from solvers.fronts.eikonal_tiles import Tiles, round_of_tiles, tiles_of
from solvers.grid import VoxelGrid
from solvers.shapes import Cells, Index, Mask
from solvers.space.tensor_diffusion import tensor_extremes
from solvers.status import Status, raise_for_status

WORDS = {
    Status.NOT_CONVERGED: "the rounds ended while arrival times still fell; do: allow more rounds, mazes and thin walls need many",
    Status.NOT_FINITE: "a start time, a speed or a tensor is NaN or not positive, or there is no source; do: check them where made",
}


class Arrival(eqx.Module):
    """What :func:`eikonal` gives.

    Attributes:
        times: Arrival time per cell, flat; infinite outside of the mask and where the front never comes.
        status: NOT_CONVERGED if ``rounds`` were not enough.
        rounds: Rounds of updates that were made.
    """

    times: Cells
    status: Index
    rounds: Index

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when this, or any member of a batch of these, failed."""
        raise_for_status(self.status, lambda status, _: WORDS.get(status))


def eikonal(
    grid: VoxelGrid,
    start: Cells,
    *,
    speed: ArrayLike | None = None,
    squared_speed: ArrayLike | None = None,
    neighbours: int | None = None,
    rounds: int = 200,
) -> Arrival:
    r"""$\sqrt{\nabla T\cdot V\,\nabla T} = 1$ on the active voxels, $T\le$ ``start``; differentiable in both modes.

    Two schemes. On 6 neighbours, for a speed without direction: Godunov, all cells at once until nothing falls. On 26, for tensors or
    by choice: $T_i = \min_p\,(T(p) + |p|_{V^{-1}})$ over the surface of the cube of neighbours (Hopf-Lax), in sweeps of planes along the
    axes. Cells that touch only over an edge or a corner do not see each other, as in the diffusion operators.

    The derivative is that of the fixed point: $(I-P)\,\delta T = \delta F$, where $P$ holds the weights of the neighbours that a
    cell's ray passes, solved in the order of arrival; reverse mode solves the transpose in reverse order. One solve each,
    nothing is stored from the iteration.

    Args:
        grid: The voxels.
        start: Time at which each cell starts by itself, infinite in all others; see :func:`start_at` and :func:`start_ball`. A source
            that the front reaches before is not a source.
        speed: Length per time and voxel, one number or ``(x, y, z)``; positive.
        squared_speed: In its place the tensor $V$, ``(x, y, z, 3, 3)``, symmetric positive definite.
        neighbours: 6 or 26; by default 6 for a speed and 26 for a tensor, which needs them. 26 for a speed errs less (a fifth
            of the mean error from a point on 24³ voxels) and costs more.
        rounds: Most rounds; one is two sweeps along each axis, or 16 updates of all cells. Mazes need many.

    Good values: at least five voxels across anything that should be resolved. Fails: first order only, and at a point source
    $O(h\log 1/h)$, since the curvature there is not resolved; give the exact times in a ball of fixed radius (:func:`start_ball`)
    to have first order. Where fronts meet, the time has a kink and a derivative from one side. Second derivatives are not offered.

    Raises:
        ValueError: No source, a source outside of the mask, a speed that is not positive, a tensor that is not positive definite.

    Source: Godunov: Rouy, Tourin (1992), SIAM J. Numer. Anal. 29, 867; Hopf-Lax on simplices: Bornemann, Rasch (2006), Comput. Vis.
    Sci. 9, 57, section 2; sweeps of planes: Weber et al. (2008), ACM Trans. Graph. 27, 104, section 4.
    """
    if (speed is None) == (squared_speed is None):
        raise ValueError("got both or neither of speed and squared_speed; expected one of them; do: give the tensor where there is one")
    if neighbours is None:
        neighbours = 6 if squared_speed is None else 26
    if neighbours not in (6, 26) or (neighbours == 6 and squared_speed is not None):
        raise ValueError(f"got {neighbours} neighbours; expected 6 for a speed or 26 for either; do: leave the default")
    if rounds < 1:
        raise ValueError(f"got {rounds} rounds; expected at least one; do: leave the default")
    start = _checked_start(grid, start)
    entries = _entries_of_speed(grid, speed, start) if squared_speed is None else _entries_of_tensor(grid, squared_speed, start)
    few = None if neighbours == 6 or isinstance(grid.mask, Tracer) else tiles_of(np.asarray(grid.mask))
    times, count, converged = _arrival(entries, start.reshape(grid.shape), (grid.mask, few), neighbours, rounds)
    # Values that are traced can't be refused: what would have been is data here.
    active = grid.mask.reshape(-1)
    given = jnp.asarray(speed if squared_speed is None else squared_speed)
    usable = jnp.all(jnp.where(grid.mask, given > 0, True)) if squared_speed is None else jnp.asarray(True)
    usable &= ~jnp.isnan(entries).any() & ~jnp.isnan(start).any() & ~jnp.isnan(jnp.where(active, times.reshape(-1), 0)).any()
    usable &= jnp.isfinite(start).any()
    status = jnp.where(converged, Status.SUCCESS, Status.NOT_CONVERGED)
    status = jnp.where(usable, status, Status.NOT_FINITE).astype(int)
    return Arrival(times.reshape(-1), status, count)


def start_at(grid: VoxelGrid, voxels: ArrayLike | Sequence[Sequence[int]], times: ArrayLike = 0.0) -> Cells:
    """Start times for :func:`eikonal`: these voxels, ``(sources, 3)`` indices, at these times (one, or one each)."""
    voxels = np.asarray(voxels)
    if voxels.ndim != 2 or voxels.shape[-1] != 3 or not len(voxels) or (voxels < 0).any() or (voxels >= np.array(grid.shape)).any():
        raise ValueError(f"got source voxels {voxels.tolist()}; expected (sources, 3) indices inside {grid.shape}; do: check the axes")
    if not isinstance(grid.mask, Tracer) and not np.asarray(grid.mask)[tuple(voxels.T)].all():
        outside = voxels[~np.asarray(grid.mask)[tuple(voxels.T)]][0].tolist()
        raise ValueError(f"got a source at {outside}, outside of the mask; expected active voxels; do: move it to the nearest one")
    times = jnp.broadcast_to(jnp.asarray(times, jnp.result_type(float)), (len(voxels),))
    index = np.ravel_multi_index(tuple(voxels.T), grid.shape)
    return jnp.full(grid.size, jnp.inf, times.dtype).at[index].min(times)


def start_ball(
    grid: VoxelGrid,
    voxel: tuple[int, int, int],
    radius: float,
    *,
    speed: ArrayLike | None = None,
    squared_speed: ArrayLike | None = None,
    time: ArrayLike = 0.0,
) -> Cells:
    r"""Exact start times $t + |x - x_s|_{V_s^{-1}}$ within ``radius`` of a voxel, for a medium that is uniform there.

    Args:
        grid: The voxels.
        voxel: The source's index.
        radius: Length; within it the source voxel's own speed or tensor is taken, and no wall must be in the way.
        speed: As for :func:`eikonal`.
        squared_speed: As for :func:`eikonal`.
        time: When the source starts.
    """
    start = start_at(grid, np.array([voxel]), time)
    axes = [jnp.arange(n) - i for n, i in zip(grid.shape, voxel, strict=True)]
    offsets = jnp.stack(jnp.meshgrid(*(h * a for h, a in zip(grid.spacing, axes, strict=True)), indexing="ij"), axis=-1).astype(start.dtype)
    if squared_speed is None:
        metric = [jnp.broadcast_to(jnp.asarray(speed, start.dtype), grid.shape)[voxel] ** -2] * 3
    else:
        tensor = jnp.asarray(squared_speed, start.dtype)[voxel]
        metric = jax.tree.leaves(inverse(Symmetric(*(tensor[a, b] for a, b in PAIRS))))
    squared = (
        sum((1 if a == b else 2) * entry * offsets[..., a] * offsets[..., b] for (a, b), entry in zip(PAIRS[1:], metric[1:], strict=False))
        + metric[0] * offsets[..., 0] ** 2
    )
    at_source = squared == 0
    arrival = time + jnp.where(at_source, 0, jnp.sqrt(jnp.where(at_source, 1, squared)))
    inside = (jnp.sum(offsets**2, axis=-1) <= radius**2) & grid.mask
    return jnp.where(inside, arrival, jnp.inf).astype(start.dtype).reshape(-1)


@partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _arrival(
    entries: Float[Array, "entries x y z"], start: Float[Array, "x y z"], cells: tuple[Mask, Tiles | None], neighbours: int, rounds: int
) -> tuple:
    mask, few = cells
    if neighbours == 6:
        return fixed_point(round_of_all_cells(entries, mask), start, rounds)
    return fixed_point(round_of_sweeps(entries, mask) if few is None else round_of_tiles(entries, mask, few), start, rounds)


@_arrival.defjvp
def _arrival_jvp(neighbours: int, rounds: int, primals: tuple, tangents: tuple) -> tuple:
    entries, start, cells = primals
    d_entries, d_start, _ = tangents
    mask, _ = cells
    times, count, converged = _arrival(entries, start, cells, neighbours, rounds)
    chain = links(entries, start, times, mask, neighbours)
    flat = times.reshape(-1)
    d_start = jnp.where(jnp.isfinite(start), d_start, 0).reshape(-1)
    change = jnp.sum(chain.by_tensor * d_entries.reshape(chain.by_tensor.shape), axis=0) + chain.by_start * d_start

    def without(x: Array) -> Array:
        return x - jnp.sum(chain.weight * x[chain.neighbour], axis=0)

    d_times = lax.custom_linear_solve(
        without,
        change,
        solve=lambda _, right: solve_in_order(chain, flat, right),
        transpose_solve=lambda _, right: solve_in_reverse_order(chain, flat, right),
    )
    zero = np.zeros((), jax.dtypes.float0)
    return (times, count, converged), (d_times.reshape(times.shape), zero, zero)


def _checked_start(grid: VoxelGrid, start: Cells) -> Cells:
    if start.shape != (grid.size,):
        raise ValueError(f"got start times of shape {start.shape}; expected ({grid.size},); do: use start_at")
    if not isinstance(start, Tracer):
        values = np.asarray(start)
        if np.isnan(values).any() or (values == -np.inf).any():
            raise ValueError(
                "got a start time that is NaN or minus infinity; expected times, infinite where no source is; do: use start_at"
            )
        if not np.isfinite(values).any():
            raise ValueError("got no source; expected at least one cell with a finite start time; do: use start_at")
        if not isinstance(grid.mask, Tracer) and np.isfinite(values[~np.asarray(grid.mask).reshape(-1)]).any():
            raise ValueError("got a source outside of the mask; expected active voxels; do: move it to the nearest one")
    return jnp.where(grid.mask.reshape(-1), start, jnp.inf)


def _entries_of_speed(grid: VoxelGrid, speed: ArrayLike | None, start: Cells) -> Float[Array, "3 x y z"]:
    values = jnp.asarray(speed, start.dtype)
    if values.shape not in ((), grid.shape):
        raise ValueError(f"got a speed of shape {values.shape}; expected {grid.shape}; do: resample it onto the grid")
    values = jnp.broadcast_to(values, grid.shape)
    if not isinstance(values, Tracer) and not isinstance(grid.mask, Tracer):
        active = np.asarray(values)[np.asarray(grid.mask)]
        if not (np.isfinite(active).all() and (active > 0).all()):
            raise ValueError(
                f"got a speed between {active.min():g} and {active.max():g}; expected positive finite ones; "
                "do: take what does not conduct out of the mask"
            )
    squared = jnp.where(grid.mask, values, 1) ** 2
    return jnp.stack([squared / h**2 for h in grid.spacing])


def _entries_of_tensor(grid: VoxelGrid, tensor: ArrayLike | None, start: Cells) -> Float[Array, "6 x y z"]:
    tensor = jnp.asarray(tensor, start.dtype)
    extremes = tensor_extremes(tensor, grid, "V")
    if extremes is not None and extremes[0] <= 1e-7 * extremes[1]:
        raise ValueError(
            f"got a tensor with an eigenvalue of {extremes[0]:g}; expected a positive definite one; do: give every direction some speed"
        )
    tensor = jnp.where(grid.mask[..., None, None], tensor, jnp.eye(3, dtype=tensor.dtype)[None, None, None])
    symmetric = (tensor + tensor.swapaxes(-1, -2)) / 2
    return jnp.stack([symmetric[..., a, b] / (grid.spacing[a] * grid.spacing[b]) for a, b in PAIRS])
