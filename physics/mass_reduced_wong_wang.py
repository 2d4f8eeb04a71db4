"""Synaptic gating of a cortical area, reduced to one variable (Wong and Wang 2006; Deco et al. 2013)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

_PAPER = "Deco et al. 2013, J Neurosci 33, 11239"

REDUCED_WONG_WANG_2013 = ParameterSet(
    "ReducedWongWang2013",
    current_gain=Parameter(0.27, "1/(ms nA)", (0.0, 1.0), f"{_PAPER}, a = 270 per s and nA"),
    current_offset=Parameter(0.108, "1/ms", (0.0, 1.0), f"{_PAPER}, b = 108 Hz"),
    curvature=Parameter(154.0, "ms", (0.0, 300.0), f"{_PAPER}, d = 0.154 s"),
    kinetic=Parameter(0.641, "1", (0.0, 2.0), f"{_PAPER}, gamma = 0.641/1000 per ms and Hz"),
    gating_time=Parameter(100.0, "ms", (10.0, 500.0), f"{_PAPER}, tau_s"),
    recurrence=Parameter(0.9, "1", (0.0, 1.5), f"{_PAPER}, w"),
    synaptic_current=Parameter(0.2609, "nA", (0.0, 1.0), f"{_PAPER}, J_N"),
    input=Parameter(0.3, "nA", (0.0, 1.0), f"{_PAPER}, I_0"),
)


class ReducedWongWang(NeuralMass):
    r"""Share $S$ of open NMDA synapses:

    $$\dot S = -\frac{S}{\tau_s} + (1-S)\,\gamma H(x),\quad H = \frac{ax-b}{1-e^{-d(ax-b)}},\quad x = wJ_NS + J_Nc + I_0 ,$$

    $H$ in 1/ms, $x$ in nA, $c$ the sum over other areas' $S$. Good values: :data:`REDUCED_WONG_WANG_2013`. Near $ax=b$ the quotient is
    taken by
    its series. Source: the paper's equations 1 to 3.
    """

    current_gain: PerRegion
    current_offset: PerRegion
    curvature: PerRegion
    kinetic: PerRegion
    gating_time: PerRegion
    recurrence: PerRegion
    synaptic_current: PerRegion
    input: PerRegion

    @classmethod
    def published(cls) -> "ReducedWongWang":
        """With the values of the paper."""
        return cls(**arrays_of(REDUCED_WONG_WANG_2013))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("open_share",)

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1",)

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("open_share",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Few open synapses."""
        return jnp.asarray([0.1], self.input.dtype)

    def firing(self, current: Float[Array, "..."]) -> Float[Array, "..."]:
        """$H(x)$, 1/ms."""
        above = self.current_gain * current - self.current_offset
        scaled = self.curvature * above
        small = jnp.abs(scaled) < 1e-4
        safe = jnp.where(small, 1.0, scaled)
        return jnp.where(small, (1 + scaled / 2) / self.curvature, above / -jnp.expm1(-safe))

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        (share,) = state
        current = self.synaptic_current * (self.recurrence * share + coupling[0]) + self.input
        return (-share / self.gating_time + (1 - share) * self.kinetic * self.firing(current))[None]

    def clipped(self, state: Variables) -> Variables:
        """A share."""
        return jnp.clip(state, 0.0, 1.0)
