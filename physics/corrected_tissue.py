"""Excitable tissue on voxels too coarse for its front: cells, and diffusion whose conductances a closure corrects."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.corrected_diffusion import CorrectedDiffusion
from solvers import OnComponents, RungeKuttaChebyshev2, Stepper, Strang, Substeps
from solvers.shapes import Flag, Scalar

Stacked = Float[Array, "components cells"]


class CorrectedTissue(Stepper):
    r"""The monodomain $V'=\nabla\cdot(m D\nabla V)-I(V,w)$, $w'=g(V,w)$ with multipliers $m$ held over a few splitting steps.

    Each of ``steps`` equal parts of a step is Strang's: half of the cells, the diffusion, half of the cells. The multipliers are made once,
    at the beginning, from $u=(V-V_0)/\Delta V$, so that the closure costs $1/n$ of what it does when asked before every part. What
    :class:`CorrectedDiffusion` promises holds of every part: the sum of $V$ is kept by the diffusion, which runs downhill only.

    Args:
        cells: Of the cells alone, with the voltage in the first row of its state.
        fluxes: The diffusion with its closure; ``stages`` for a part of a step.
        rest: $V_0$ at rest, in the unit of the voltage.
        swing: $\Delta V$ from rest to the top of an action potential.
        steps: $n$, parts of a step.

    Good values: parts of 0.1 ms and $n=3$ for ventricular cells, whose front moves by a quarter of a voxel meanwhile; where it moves by
    more than a half, the multipliers belong to faces that it has left. Order one in time, as :class:`CorrectedDiffusion` is.

    Raises:
        ValueError: No part.

    Source: see :class:`CorrectedDiffusion`; Strang (1968), SIAM J. Numer. Anal. 5, 506, for the splitting.
    """

    cells: Stepper
    fluxes: CorrectedDiffusion
    rest: Scalar
    swing: Scalar
    steps: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"got {self.steps} parts of a step; expected at least 1; do: give 1 to ask the closure before every part")

    @property
    def order(self) -> int:
        """One in time, see :class:`CorrectedDiffusion`."""
        return 1

    def advance(self, state: Stacked, time: Scalar, length: Scalar) -> Stacked:
        """See :class:`solvers.Stepper`."""
        operator = self.fluxes.corrected((state[0] - self.rest) / self.swing, length)
        diffused = OnComponents(RungeKuttaChebyshev2(operator, self.fluxes.stages), 0, 1)
        return Substeps(Strang(_Recomputed(self.cells), diffused), self.steps).advance(state, time, length)

    def stable(self, length: Scalar) -> Flag:
        """Both halves of a part are, for every multiplier that there can be."""
        part = length / self.steps
        return jnp.logical_and(self.cells.stable(part / 2), self.fluxes.stable(part))


class _Recomputed(Stepper):
    """The same steps, recomputed in reverse mode behind a barrier: one program of all cells' steps compiles for ten times as long."""

    inner: Stepper

    @property
    def order(self) -> int:
        return self.inner.order

    def advance(self, state: Stacked, time: Scalar, length: Scalar) -> Stacked:
        return jax.checkpoint(lambda inner, *rest: inner.advance(*rest))(self.inner, state, time, length)

    def stable(self, length: Scalar) -> Flag:
        return self.inner.stable(length)
