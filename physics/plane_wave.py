"""How fast a plane wave travels on a lattice of voxels, at any angle, from a cable of one dimension."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.activation import RecordActivation, until_activated
from physics.cell_model import CellModel, Cells, Scalar
from physics.tissue_stimulus import TissueStimulus, box_fraction
from solvers import BlendedMass, Lie, OnComponents, Operator, Stepper, VoxelGrid
from solvers.linear.transforms import basis, product_along

Symbol = Callable[[np.ndarray], np.ndarray]

LENGTH, START, FROM, TO = 60.0, 6.0, 28.0, 52.0  # of the cable, its stimulus and where speed is measured, in widths
FINENESS = 0.16  # of the cable, in widths: cosines resolve a front with this, half of it changes no velocity by 0.01 %
LIMIT, PATIENCE = 400.0, 40.0  # ms: of a run, and without a newly activated point before a wave counts as blocked


def lattice_symbol(operator: Operator, grid: VoxelGrid, direction: np.ndarray, mass: BlendedMass | None = None) -> Symbol:
    r"""$\lambda(\nu)$ with $L e^{i\nu n\cdot x} = -\lambda\,e^{i\nu n\cdot x}$ for constant coefficients, 1/ms at wave numbers in 1/mm.

    Args:
        operator: $L$, built on ``grid``; its answer to a single voxel in the middle is what the lattice does anywhere.
        grid: A full box, larger than twice the reach of the operator along each axis that has more than one voxel.
        direction: Unit vector $n$ in the axes of the grid.
        mass: $M$ of $M u' = L u$, or None.

    Raises:
        ValueError: The answer reaches the walls.
    """
    kernels = [_kernel(operator.apply, grid)] + ([] if mass is None else [_kernel(mass.apply, grid)])
    offsets = np.stack(np.meshgrid(*[(np.arange(n) - n // 2) * h for n, h in zip(grid.shape, grid.spacing)], indexing="ij"), axis=-1)
    along = offsets.reshape(-1, 3) @ np.asarray(direction, float)

    def symbol(waves: np.ndarray) -> np.ndarray:
        sums = [np.cos(np.multiply.outer(waves, along[kernel != 0])) @ kernel[kernel != 0] for kernel in kernels]
        return -sums[0] / (sums[1] if mass is not None else 1.0)

    return symbol


def continuum_symbol(diffusivity: float) -> Symbol:
    r"""$\lambda = D_n\nu^2$, no lattice."""
    return lambda waves: diffusivity * waves**2


def plane_wave_speed(
    cell: CellModel, symbol: Symbol, diffusivity: float, longest: float = 0.01, front_time: float = 1.0, level: float = 0.0
) -> float:
    """:func:`plane_wave_speeds` of one lattice.

    Raises:
        ArithmeticError: The wave did not arrive: it is blocked on the lattice.
    """
    speed = float(plane_wave_speeds(cell, [symbol], [diffusivity], longest, front_time, level)[0])
    if not np.isfinite(speed):
        raise ArithmeticError(f"got no wave within {LIMIT:g} ms; expected one; do: use finer voxels or a stronger coupling")
    return speed


def plane_wave_speeds(
    cell: CellModel,
    symbols: Sequence[Symbol],
    diffusivities: Sequence[float],
    longest: float = 0.01,
    front_time: float = 1.0,
    level: float = 0.0,
) -> np.ndarray:
    r"""Conduction velocities in m/s of waves whose profiles obey $\dot\varphi = -\lambda(-i\partial_\xi)\varphi + R(\varphi)$.

    A plane wave on a lattice is $u_j(t) = \varphi(n\cdot x_j, t)$ with a function of one continuous variable, which is discretised here so
    finely that only the lattice's $\lambda$ matters. No direction is special, and nothing of a voxel grid has to be filled. What a
    wave does across its direction (bending, breaking along it) is not seen.

    Lengths are in units of $\sqrt{D_n}$, so that all cables are alike but for $\lambda$ and run together. A step is one of the cells and
    one of diffusion: the velocity is that of Strang's splitting, whose steps these are but for half a step of diffusion at either end.

    Args:
        cell: Cells at rest.
        symbols: $\lambda(\nu)$ of each lattice, 1/ms.
        diffusivities: $D_n$ of each, mm²/ms: sets the length of the cable.
        longest: Step, ms.
        front_time: Of the cell model, ms: scales the cable.
        level: Of activation, mV.

    Returns:
        NaN where the wave is blocked on the lattice.
    """
    width = float(front_time) ** 0.25  # fronts that resist voxels better are not longer by as much
    count, spacing, roots = round(LENGTH / FINENESS), FINENESS * width, np.sqrt(np.asarray(diffusivities, float))
    grid = VoxelGrid(np.ones((len(symbols), count, 1), bool), (1.0, spacing, 1.0))
    waves = np.pi * np.arange(count) / (count * spacing)
    modes = ModalFlow(jnp.asarray(np.stack([-symbol(waves / root) for symbol, root in zip(symbols, roots, strict=True)])), count)
    pulse = TissueStimulus(grid, box_fraction(grid, (0, 0, 0), (len(symbols), START * width, 1)), 100.0, 1.0)
    recorder = RecordActivation(Lie((cell.paced(pulse), OnComponents(modes, 0, 1))), cell, level)
    rest = cell.initial_state()
    state = recorder.start(jnp.broadcast_to(rest.reshape(-1, 1), (rest.shape[0], grid.size)))
    x = (np.arange(count) + 0.5) * spacing
    inside = (x > FROM * width) & (x < TO * width)
    wanted = np.tile(inside, len(symbols))
    state, _ = until_activated(recorder, state, longest, LIMIT, wanted, pulse.edges(), patience=PATIENCE)
    times = np.asarray(state.record.activation_times(), float).reshape(len(symbols), count)[:, inside]
    arrived = np.isfinite(times).all(axis=1)
    slopes = [np.polyfit(line, x[inside], 1)[0] if there else np.nan for line, there in zip(times, arrived, strict=True)]
    return np.asarray(slopes) * roots


class ModalFlow(Stepper):
    r"""$u^+ = Q^T e^{hL}Q\,u$ along lines without flux at their ends, for any eigenvalues of the cosines $Q$; exact in time.

    Args:
        eigenvalues: Of $L$ by line and mode, 1/time; not positive.
        count: How many points a line has; lines stand one behind the other.
    """

    eigenvalues: Float[Array, "lines modes"]
    count: int = eqx.field(static=True)

    @property
    def order(self) -> int:
        """Exact; reported as a large number."""
        return 99

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.Stepper`."""
        del time
        matrix = basis(self.count, "no flux")[0]
        factor = jnp.expm1(length.astype(state.dtype) * self.eigenvalues.astype(state.dtype))
        lines = state.reshape(*state.shape[:-1], 1, -1, self.count)
        modes = product_along(lines, 2, matrix)
        change = product_along(modes * jnp.broadcast_to(factor, modes.shape), 2, matrix.T)
        return state + change.reshape(state.shape)


def _kernel(apply: Callable[[Array], Array], grid: VoxelGrid) -> np.ndarray:
    """What a map makes of one voxel in the middle, flat."""
    middle = tuple(n // 2 for n in grid.shape)
    field = np.zeros(grid.shape)
    field[middle] = 1.0
    answer = np.asarray(apply(jnp.asarray(field.reshape(-1))), float).reshape(grid.shape)
    for axis, n in enumerate(grid.shape):
        if n > 1 and (np.take(answer, [0, n - 1], axis=axis) != 0).any():
            raise ValueError(f"got a stencil that reaches the walls of a box of {n} voxels; expected a larger box; do: give more voxels")
    return answer.reshape(-1)
