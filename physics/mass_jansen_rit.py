"""A cortical column of pyramidal cells and two kinds of interneurons (Jansen and Rit 1995)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

_PAPER = "Jansen and Rit 1995, Biol Cybern 73, 357"

JANSEN_RIT_1995 = ParameterSet(
    "JansenRit1995",
    excitatory_gain=Parameter(3.25, "mV", (2.6, 9.75), f"{_PAPER}, A"),
    inhibitory_gain=Parameter(22.0, "mV", (17.6, 110.0), f"{_PAPER}, B"),
    excitatory_rate=Parameter(0.1, "1/ms", (0.05, 0.15), f"{_PAPER}, a"),
    inhibitory_rate=Parameter(0.05, "1/ms", (0.025, 0.075), f"{_PAPER}, b"),
    half_potential=Parameter(6.0, "mV", (3.12, 6.0), f"{_PAPER}, v0"),
    half_rate=Parameter(0.0025, "1/ms", (0.00125, 0.00375), f"{_PAPER}, e0"),
    steepness=Parameter(0.56, "1/mV", (0.28, 0.84), f"{_PAPER}, r"),
    synapses=Parameter(135.0, "1", (65.0, 1350.0), f"{_PAPER}, C; C1 = C, C2 = 0.8 C, C3 = C4 = 0.25 C"),
    input=Parameter(0.22, "1/ms", (0.0, 0.5), f"{_PAPER}, p between 0.12 and 0.32"),
)


class JansenRit(NeuralMass):
    r"""Postsynaptic potentials $y_0, y_1, y_2$ (mV) of pyramidal cells, of these by excitatory, and by inhibitory interneurons, and
    their rates:

    $$\ddot y_0 = AaS(y_1-y_2) - 2a\dot y_0 - a^2y_0,\quad \ddot y_1 = Aa\left(p + c + C_2S(C_1y_0)\right) - 2a\dot y_1 - a^2y_1,\quad
    \ddot y_2 = BbC_4S(C_3y_0) - 2b\dot y_2 - b^2y_2,$$

    $S(v) = 2e_0/(1+e^{r(v_0-v)})$. $y_1-y_2$ is the signal. $c$ (1/ms): firing of other columns, $S(y_1-y_2)$ there. Good values:
    :data:`JANSEN_RIT_1995`: alpha rhythm for $p$ from about 0.09 to 0.315 per ms. Source: the paper's equations 6.
    """

    excitatory_gain: PerRegion
    inhibitory_gain: PerRegion
    excitatory_rate: PerRegion
    inhibitory_rate: PerRegion
    half_potential: PerRegion
    half_rate: PerRegion
    steepness: PerRegion
    synapses: PerRegion
    input: PerRegion

    @classmethod
    def published(cls) -> "JansenRit":
        """With the values of the paper."""
        return cls(**arrays_of(JANSEN_RIT_1995))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        potentials = ("pyramidal", "excitatory", "inhibitory")
        return (*(f"{name}_potential" for name in potentials), *(f"{name}_potential_rate" for name in potentials))

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("mV",) * 3 + ("mV/ms",) * 3

    @property
    def coupled(self) -> tuple[str, ...]:
        """What others hear is the firing of pyramidal cells, which depends on these two."""
        return ("firing",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Silence."""
        return jnp.zeros(6, self.input.dtype)

    def firing(self, potential: Float[Array, "..."]) -> Float[Array, "..."]:
        """$S(v)$, 1/ms."""
        return 2 * self.half_rate / (1 + jnp.exp(self.steepness * (self.half_potential - potential)))

    def heard(self, state: Variables) -> Coupled:
        """Firing of the pyramidal cells, 1/ms."""
        return self.firing(state[1] - state[2])[None]

    def equilibrium(self, potential: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " variables"]]:
        r"""The input $p$ (1/ms) at which a column alone rests at $y_1-y_2=$ `potential` (mV), and its state.

        Three rests may share an input and never a potential, so that the potential parametrises all: $y_0=\tfrac AaS(v)$,
        $y_2=\tfrac BbC_4S(C_3y_0)$, $p=\tfrac aA(v+y_2)-C_2S(C_1y_0)$. Source: Grimbert and Faugeras 2006, Neural Comput 18, 3052.
        """
        c, excitatory = self.synapses, self.excitatory_gain / self.excitatory_rate
        pyramidal = excitatory * self.firing(potential)
        inhibited = self.inhibitory_gain / self.inhibitory_rate * 0.25 * c * self.firing(0.25 * c * pyramidal)
        excited = potential + inhibited
        still = jnp.zeros_like(pyramidal)
        drive = excited / excitatory - 0.8 * c * self.firing(c * pyramidal)
        return drive, jnp.stack([pyramidal, excited, inhibited, still, still, still])

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        y0, y1, y2, v0, v1, v2 = state
        a, b, c = self.excitatory_rate, self.inhibitory_rate, self.synapses
        excitatory, inhibitory = self.excitatory_gain * a, self.inhibitory_gain * b
        pyramidal = excitatory * self.firing(y1 - y2) - a * (2 * v0 + a * y0)
        excited = excitatory * (self.input + coupling[0] + 0.8 * c * self.firing(c * y0)) - a * (2 * v1 + a * y1)
        inhibited = inhibitory * 0.25 * c * self.firing(0.25 * c * y0) - b * (2 * v2 + b * y2)
        return jnp.stack([v0, v1, v2, pyramidal, excited, inhibited])
