"""Excitatory and inhibitory populations whose excitation tires: Wilson and Cowan's with spike-frequency adaptation."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.mass_wilson_cowan import WILSON_COWAN_1972, WilsonCowan
from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

_MATTIA = "Mattia and Sanchez-Vives 2012, Cogn Neurodyn 6, 239"

ADAPTATION_2012 = ParameterSet(
    "Adaptation2012",
    adaptation=Parameter(0.0, "1", (0.0, 50.0), f"{_MATTIA}, g; 0 is awake, how much is sleep depends on the network"),
    adaptation_time=Parameter(200.0, "ms", (10.0, 5000.0), f"{_MATTIA}, tau_c: hundreds of ms"),
)


class AdaptingWilsonCowan(NeuralMass):
    r"""Wilson and Cowan's shares $E$, $I$ (:class:`physics.WilsonCowan`), and an adaptation current $a$ that takes from the input of $E$:

    $$\tau_e\dot E = -E + (k_e - rE)\,S_e(c_1E - c_2I + P + c - a),\qquad \tau_a\dot a = -a + g E,$$

    $I$ as there. The more adaptation $g$, the longer cells stay silent after they have fired: off-periods, as in sleep and anaesthesia,
    where potassium currents that acetylcholine and noradrenaline hold back in waking come into play. Fixed points are those of
    :class:`physics.WilsonCowan` with $c_1-g$ for $c_1$. Good values: :data:`ADAPTATION_2012`.

    Sources: Wilson and Cowan 1972, Biophys J 12, 1; Mattia and Sanchez-Vives 2012, Cogn Neurodyn 6, 239; what it does to responses,
    Goldman et al. 2021, Front Syst Neurosci 15.
    """

    populations: WilsonCowan
    adaptation: PerRegion
    adaptation_time: PerRegion

    @classmethod
    def published(cls) -> "AdaptingWilsonCowan":
        """With the values of the papers."""
        return cls(WilsonCowan(**arrays_of(WILSON_COWAN_1972)), **arrays_of(ADAPTATION_2012))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("excitatory_share", "inhibitory_share", "adaptation")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1", "1", "1")

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("excitatory_share",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Little activity."""
        return jnp.append(self.populations.initial_state(), 0.0)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        tired = state[2:]
        fast = self.populations.rates(state[:2], coupling - tired)
        return jnp.concatenate([fast, (self.adaptation * state[:1] - tired) / self.adaptation_time])
