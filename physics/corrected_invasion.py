"""Proliferation and invasion on voxels too coarse for the front, with closures for the fluxes and for the growth inside of a voxel."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.closure import Closure, Variable, check_closure
from physics.corrected_diffusion import CorrectedDiffusion
from physics.equation import Equation
from physics.growth_features import GROWTH_INPUTS, growth_features
from physics.logistic_log_kill import bernoulli
from solvers import RungeKuttaChebyshev2, Stepper
from solvers.shapes import Cells, Flag, Scalar

GROWTH_OUTPUTS = (Variable("log_multiplier", "1"),)


class CorrectedInvasion(Equation):
    r"""$\partial_t u = \nabla\cdot(m\,D\nabla u) + q\,\rho\,u(1-u)$ for voxel means $u$, with $m$ and $q$ by closures.

    The mean of $u(1-u)$ over a voxel is not that of its mean: it lacks the variance inside, which no flux can bring. So the rate has
    a multiplier too, $q = \exp(\ln M\,g \tanh N_q)$ of :func:`physics.growth_features`, bounded and near one where the grid resolves the
    front, as $m$ of :class:`physics.CorrectedDiffusion`. $u$ from 0 to 1 stays there in the growth whatever $q$ is, and 0 and 1 rest.

    Args:
        fluxes: The diffusion with its closure; its ``reaction_time`` is $1/\rho$.
        growth: $N_q$, from ``GROWTH_INPUTS`` to ``GROWTH_OUTPUTS``.

    Good values: steps of $\rho\,\Delta t\le 0.4$, voxels of one to four $\sqrt{D/\rho}$. Fails: no therapy; outside of what the
    closures were trained on. Source: see :class:`physics.CorrectedDiffusion` and :class:`physics.ProliferationInvasion`.

    Raises:
        ValueError: A closure for something else.
    """

    fluxes: CorrectedDiffusion
    growth: Closure

    def __check_init__(self) -> None:
        check_closure(self.growth, GROWTH_INPUTS, GROWTH_OUTPUTS)

    def stepper(self) -> "CorrectedSplitting":
        """Strang's splitting with multipliers that are frozen at the beginning of each step."""
        return CorrectedSplitting(self)


class CorrectedSplitting(Stepper):
    """Half a step of growth, exact; a step of diffusion; half a step of growth. The closures are asked once a step."""

    equation: CorrectedInvasion

    @property
    def order(self) -> int:
        """As :class:`physics.CorrectedDiffusion`: one in what the multipliers differ from one, two in the rest."""
        return 1

    def features(self, state: Cells, length: Scalar) -> Float[Array, "features cells"]:
        """What the closure of the growth gets."""
        fluxes = self.equation.fluxes
        return growth_features(fluxes.diffusion, fluxes.coefficient, state, fluxes.reaction_time, length)

    def growth_multipliers(self, state: Cells, length: Scalar) -> Cells:
        """$q$ in every cell."""
        features = self.features(state, length)
        return jnp.exp(jnp.log(self.equation.fluxes.largest) * features[-2] * jnp.tanh(self.equation.growth(features)[0]))

    def advance(self, state: Cells, time: Scalar, length: Scalar) -> Cells:
        """See :class:`solvers.Stepper`."""
        fluxes = self.equation.fluxes
        rate = self.growth_multipliers(state, length) * (length / 2 / fluxes.reaction_time)
        factor, integral = jnp.exp(rate), jnp.expm1(rate)
        diffusion = RungeKuttaChebyshev2(fluxes.corrected(state, length), fluxes.stages)
        state = diffusion.advance(bernoulli(state, factor, integral), time, length)
        return bernoulli(state, factor, integral)

    def stable(self, length: Scalar) -> Flag:
        """The diffusion is."""
        return self.equation.fluxes.stable(length)
