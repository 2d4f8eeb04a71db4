"""Excitatory and inhibitory populations (Wilson and Cowan 1972)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

_PAPER = "Wilson and Cowan 1972, Biophys J 12, 1, figure 11"

WILSON_COWAN_1972 = ParameterSet(
    "WilsonCowan1972",
    excitatory_to_excitatory=Parameter(16.0, "1", (0.0, 100.0), f"{_PAPER}, c1"),
    inhibitory_to_excitatory=Parameter(12.0, "1", (0.0, 100.0), f"{_PAPER}, c2"),
    excitatory_to_inhibitory=Parameter(15.0, "1", (0.0, 100.0), f"{_PAPER}, c3"),
    inhibitory_to_inhibitory=Parameter(3.0, "1", (0.0, 100.0), f"{_PAPER}, c4"),
    excitatory_steepness=Parameter(1.3, "1", (0.01, 20.0), f"{_PAPER}, a_e"),
    excitatory_threshold=Parameter(4.0, "1", (0.0, 60.0), f"{_PAPER}, theta_e"),
    inhibitory_steepness=Parameter(2.0, "1", (0.01, 20.0), f"{_PAPER}, a_i"),
    inhibitory_threshold=Parameter(3.7, "1", (0.0, 60.0), f"{_PAPER}, theta_i"),
    refractory=Parameter(1.0, "1", (0.0, 5.0), f"{_PAPER}, r_e = r_i"),
    excitatory_time=Parameter(8.0, "ms", (0.1, 150.0), "tau_e of the paper's simulations with tau = 8 ms"),
    inhibitory_time=Parameter(8.0, "ms", (0.1, 150.0), "tau_i, the same"),
    excitatory_input=Parameter(1.25, "1", (-20.0, 20.0), f"{_PAPER}, P"),
    inhibitory_input=Parameter(0.0, "1", (-20.0, 20.0), f"{_PAPER}, Q"),
)


class WilsonCowan(NeuralMass):
    r"""Shares $E$ and $I$ of cells that fire:

    $$\tau_e\dot E = -E + (k_e - r E)\,S_e(c_1E - c_2I + P + c),\qquad \tau_i\dot I = -I + (k_i - rI)\,S_i(c_3E - c_4I + Q),$$

    $S(x) = \left(1+e^{-a(x-\theta)}\right)^{-1} - \left(1+e^{a\theta}\right)^{-1}$ and $k = S(\infty)$. $c$: excitatory shares of
    other regions. Good
    values: :data:`WILSON_COWAN_1972`, a limit cycle at $P=1.25$. Source: the paper's equations 11, 12, 15.
    """

    excitatory_to_excitatory: PerRegion
    inhibitory_to_excitatory: PerRegion
    excitatory_to_inhibitory: PerRegion
    inhibitory_to_inhibitory: PerRegion
    excitatory_steepness: PerRegion
    excitatory_threshold: PerRegion
    inhibitory_steepness: PerRegion
    inhibitory_threshold: PerRegion
    refractory: PerRegion
    excitatory_time: PerRegion
    inhibitory_time: PerRegion
    excitatory_input: PerRegion
    inhibitory_input: PerRegion

    @classmethod
    def published(cls) -> "WilsonCowan":
        """With the values of the paper's limit cycle."""
        return cls(**arrays_of(WILSON_COWAN_1972))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("excitatory_share", "inhibitory_share")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1", "1")

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("excitatory_share",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Little activity."""
        return jnp.asarray([0.1, 0.05], self.refractory.dtype)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        e, i = state
        excited, most_e = _response(
            self.excitatory_to_excitatory * e - self.inhibitory_to_excitatory * i + self.excitatory_input + coupling[0],
            self.excitatory_steepness,
            self.excitatory_threshold,
        )
        inhibited, most_i = _response(
            self.excitatory_to_inhibitory * e - self.inhibitory_to_inhibitory * i + self.inhibitory_input,
            self.inhibitory_steepness,
            self.inhibitory_threshold,
        )
        of_e = (-e + (most_e - self.refractory * e) * excited) / self.excitatory_time
        return jnp.stack([of_e, (-i + (most_i - self.refractory * i) * inhibited) / self.inhibitory_time])


def _response(x: Array, steepness: Array, threshold: Array) -> tuple[Array, Array]:
    """$S(x)$ and its largest value."""
    least = jax.nn.sigmoid(-steepness * threshold)
    return jax.nn.sigmoid(steepness * (x - threshold)) - least, 1 - least
