"""One time step of blood in arteries, and where a vessel collapsed first."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from physics.artery_flow import ArteryFlow, FlowState
from solvers import StateLimited
from solvers.shapes import Flag, Scalar

COLLAPSED = 0.1
"""Part of the area at rest below which a vessel counts as collapsed: the tube law of a round vessel has no meaning there."""


class ArteryState(eqx.Module):
    """State of a network.

    Attributes:
        flow: Cells and windkessels.
        collapse: Cell that collapsed first and when, s; -1 where none did.
    """

    flow: FlowState
    collapse: Float[Array, "2"]


class ArteryStepper(StateLimited):
    r"""Heun's method (strong stability preserving, order two) for the cells, its exponential form for the windkessels, and a record of the
    first collapse.

    A small compliance behind a small resistance relaxes faster than a step. With its rate $\lambda$ and $x = \lambda h$ the two stages are
    $s_1 = s + h\varphi_1 k_1$ and $s^+ = s_1 + h\varphi_2\,(k_2 - k_1 + \lambda(s_1 - s))$, $\varphi_1 = (1-e^{-x})/x$,
    $\varphi_2 = (x-1+e^{-x})/x^2$: Heun's method for $x\to0$, and stable however stiff. Source: Cox, Matthews (2002), J. Comput. Phys. 176,
    430, equations 20 to 22.

    Args:
        rate: The right-hand side.
        courant: Cells that the fastest wave crosses per step.
    """

    rate: ArteryFlow
    courant: float = eqx.field(static=True, default=0.9)

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def advance(self, state: ArteryState, time: Scalar, length: Scalar) -> ArteryState:
        """See :class:`solvers.stepper.Stepper`."""
        first = lax.optimization_barrier(self.rate.evaluate(state.flow, time))
        stage = self.predicted(state.flow, first, length)
        second = lax.optimization_barrier(self.rate.evaluate(stage, time + length))
        return self.corrected(state, first, stage, second, time, length)

    def predicted(self, flow: FlowState, first: FlowState, length: Scalar) -> FlowState:
        """The first stage, at the end of the step to order one."""
        one, _ = _weights(self.rate.relaxation() * length)
        return flow[0] + length * first[0], flow[1] + length * first[1], flow[2] + length * one * first[2]

    def corrected(
        self, state: ArteryState, first: FlowState, stage: FlowState, second: FlowState, time: Scalar, length: Scalar
    ) -> ArteryState:
        """The end of the step from the rates at its start and at the first stage."""
        area, velocity, stored = state.flow
        relaxation, half = self.rate.relaxation(), 0.5 * length
        _, two = _weights(relaxation * length)
        flow = (
            area + half * (first[0] + second[0]),
            velocity + half * (first[1] + second[1]),
            stage[2] + length * two * (second[2] - first[2] + relaxation * (stage[2] - stored)),
        )
        return ArteryState(flow, first_collapse(self.rate, state.collapse, flow[0], time + length))

    def longest_step(self, state: ArteryState) -> Scalar:
        """See :class:`solvers.StateLimited`."""
        return self.courant / self.rate.fastest(*state.flow[:2])

    def stable(self, length: Scalar) -> Flag:
        """Inside the limit of waves at rest; those under pressure are faster, and the state tells."""
        cells = self.rate.cells
        return length * jnp.max(cells.resting_speed * self.rate.per_length) <= 1


def first_collapse(rate: ArteryFlow, found: Float[Array, "2"], area: Float[Array, " cells"], time: Scalar) -> Float[Array, "2"]:
    """The cell that collapsed first and when, given what was found before; also where an area is no number."""
    area, resting = lax.stop_gradient(area), rate.cells.reference_area
    seen = found[0] >= 0
    fell = ~seen & ~(jnp.min(area - COLLAPSED * resting) > 0)

    def record() -> Float[Array, "2"]:
        return jnp.stack([jnp.argmin(area / resting).astype(area.dtype), time])

    return lax.cond(fell, record, lambda: found)


def _weights(x: Float[Array, " nodes"]) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """phi_1 and phi_2; by their series where the differences would cancel."""
    small = x < 1e-2
    safe = jnp.where(small, 1, x)
    decay = jnp.expm1(-safe)
    one, two = 1 - x / 2 + x**2 / 6 - x**3 / 24 + x**4 / 120, 1 / 2 - x / 6 + x**2 / 24 - x**3 / 120 + x**4 / 720
    return jnp.where(small, one, -decay / safe), jnp.where(small, two, (safe + decay) / (safe * safe))
