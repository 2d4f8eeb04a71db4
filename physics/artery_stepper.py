"""One time step of blood in arteries, and where a vessel collapsed first."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from physics.artery_flow import ArteryFlow, FlowState
from solvers import HEUN, ExplicitRungeKutta, StateLimited
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
    """Heun's method (strong stability preserving, order two), and a record of the first collapse.

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
        flow = ExplicitRungeKutta(self.rate, HEUN).advance(state.flow, time, length)
        area, resting = lax.stop_gradient(flow[0]), self.rate.cells.reference_area
        seen = state.collapse[0] >= 0
        fell = ~seen & ~(jnp.min(area - COLLAPSED * resting) > 0)  # also where it is no number

        def record() -> Float[Array, "2"]:
            return jnp.stack([jnp.argmin(area / resting).astype(area.dtype), time + length])

        return ArteryState(flow, lax.cond(fell, record, lambda: state.collapse))

    def longest_step(self, state: ArteryState) -> Scalar:
        """See :class:`solvers.StateLimited`."""
        return self.courant / self.rate.fastest(*state.flow[:2])

    def stable(self, length: Scalar) -> Flag:
        """Inside the limit of waves at rest; those under pressure are faster, and the state tells."""
        cells = self.rate.cells
        return length * jnp.max(cells.resting_speed * self.rate.per_length) <= 1
