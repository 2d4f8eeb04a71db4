"""Waves of excitation in human ventricular tissue on coarse voxels."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from experiments.learning._coarse_problem import block_means, centres
from experiments.learning._coarse_tissue import CoarseTissue
from physics import CorrectedDiffusion, CorrectedTissue
from solvers import OnComponents, Stepper, Strang, Substeps

TOP = 35.0  # mV, of an action potential


class CoarseVentricle(CoarseTissue):
    """The monodomain of ten Tusscher's and Panfilov's cells in voxels of 0.5 mm, 1.2 to 2.8 front widths.

    Steps are 0.1 ms on every grid, however fine, and closures are asked before every third.
    """

    spacing: float = eqx.field(static=True, default=0.5)
    interval: float = eqx.field(static=True, default=0.3)
    level: float = eqx.field(static=True, default=-30.0)
    parts: int = eqx.field(static=True, default=3)

    horizons: ClassVar[tuple[int, ...]] = (5, 20)
    iterations: ClassVar[tuple[int, ...]] = (300, 100)
    learning_rates: ClassVar[tuple[float, ...]] = (1e-2, 3e-3)
    hidden: ClassVar[tuple[int, ...]] = (8, 8)
    activation: ClassVar[str] = "rational_tanh"  # half the time of tanh
    members: ClassVar[int] = 16
    tests: ClassVar[int] = 6
    voxels: ClassVar[int] = 10
    test_voxels: ClassVar[int] = 14
    timing_voxels: ClassVar[int] = 14

    @property
    def rest(self) -> Array:
        """mV."""
        return self.cell.initial_state()[0]

    @property
    def swing(self) -> Array:
        """mV."""
        return TOP - self.rest

    def steps(self, voxels: int) -> int:
        """4 ms per mm of the edge."""
        return round(4.0 * voxels * self.spacing / self.interval)

    def substeps(self, refined: int) -> int:
        """One, made of equal parts on all grids."""
        del refined
        return 1

    def step(self, refined: int) -> float:
        """The same on all grids."""
        del refined
        return self.interval / self.parts

    def start(self, member: dict[str, Array], refined: int) -> Array:
        """An excited ball with a soft edge in tissue at rest; what is no tissue rests as well."""
        shape, grid = member["mask"].shape, self.grid(member, refined)
        squares = sum((x - c) ** 2 for x, c in zip(centres(shape, self.spacing, 12), member["centre"], strict=True))
        ball = 0.9 * jax.nn.sigmoid((member["width"] - jnp.sqrt(squares) / self.spacing) / 0.5)
        ball = grid.cells(block_means(ball.reshape(-1), grid.shape, 12 // refined).reshape(grid.shape))
        state = jnp.broadcast_to(self.cell.initial_state()[:, None], (len(self.cell.names), ball.size))
        return state.at[0].add(self.swing * ball)

    def split(self, cells: Stepper, diffused: Stepper) -> Stepper:
        """Equal parts, with one question to the closure where there is one."""
        if isinstance(diffused, CorrectedDiffusion):
            return CorrectedTissue(cells, diffused, self.rest, self.swing, self.parts)
        return Substeps(Strang(cells, OnComponents(diffused, 0, 1)), self.parts)

    def corrected(self, stepper: Any) -> CorrectedDiffusion:
        """See :class:`CoarseProblem`."""
        return stepper.fluxes

    def field(self, state: Array) -> Array:
        """The potential from 0 at rest to 1."""
        return (state[0] - self.rest) / self.swing

    def compare(self, state: Array) -> Array:
        """The potential."""
        return self.field(state)
