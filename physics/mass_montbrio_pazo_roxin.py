"""The exact mean field of quadratic integrate-and-fire neurons (Montbrió, Pazó and Roxin 2015)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.neural_mass import Coupled, NeuralMass, PerRegion, Variables
from physics.parameters import Parameter, ParameterSet, arrays_of

_PAPER = "Montbrió, Pazó and Roxin 2015, Phys Rev X 5, 021028"

MONTBRIO_PAZO_ROXIN_2015 = ParameterSet(
    "MontbrioPazoRoxin2015",
    membrane_time=Parameter(1.0, "ms", (0.1, 100.0), f"{_PAPER}, tau_m; time is counted in it"),
    excitability_width=Parameter(1.0, "1", (1e-3, 10.0), f"{_PAPER}, Delta, figure 1"),
    mean_excitability=Parameter(-5.0, "1", (-50.0, 50.0), f"{_PAPER}, eta-bar, figure 1"),
    synaptic_weight=Parameter(15.0, "1", (-100.0, 100.0), f"{_PAPER}, J, figure 1"),
    input=Parameter(0.0, "1", (-100.0, 100.0), f"{_PAPER}, I"),
)


class MontbrioPazoRoxin(NeuralMass):
    r"""Firing rate $r$ and mean membrane potential $v$ of all-to-all coupled quadratic integrate-and-fire neurons, Lorentzian $\eta$:

    $$\tau\dot r = \frac{\Delta}{\pi\tau} + 2rv,\qquad \tau\dot v = v^2 + \bar\eta + J\tau r + I + c - (\pi\tau r)^2 .$$

    $r$ in 1/ms, $v$ and $\eta$ without a unit, $c$ the effect of other regions' rates. Good values: :data:`MONTBRIO_PAZO_ROXIN_2015`,
    bistable for
    $-5.7435 < \bar\eta < -3.1361$ (folds of $v^2+\bar\eta+Jr-\pi^2r^2$ with $v=-\Delta/2\pi r$). Exact for infinitely many neurons
    with Lorentzian currents; it fails as $r\to0$ with noise, where rates must be clipped. Source: equations 12 of the paper.
    """

    membrane_time: PerRegion
    excitability_width: PerRegion
    mean_excitability: PerRegion
    synaptic_weight: PerRegion
    input: PerRegion

    @classmethod
    def published(cls) -> "MontbrioPazoRoxin":
        """With the values of the paper's figure 1."""
        return cls(**arrays_of(MONTBRIO_PAZO_ROXIN_2015))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("firing_rate", "membrane_potential")

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("1/ms", "1")

    @property
    def coupled(self) -> tuple[str, ...]:
        """See :class:`physics.NeuralMass`."""
        return ("firing_rate",)

    def initial_state(self) -> Float[Array, " variables"]:
        """Low activity."""
        return jnp.asarray([0.1, -2.0], self.membrane_time.dtype)

    def rates(self, state: Variables, coupling: Coupled) -> Variables:
        """See :class:`physics.NeuralMass`."""
        r, v = state
        tau = self.membrane_time
        fast = jnp.pi * tau * r
        of_rate = self.excitability_width * (1 / (jnp.pi * tau)) + 2 * r * v
        of_potential = v * v + self.mean_excitability + self.synaptic_weight * tau * r + self.input + coupling[0] - fast * fast
        return jnp.stack([of_rate, of_potential]) * (1 / tau)

    def clipped(self, state: Variables) -> Variables:
        """Rates are not negative."""
        return state.at[0].max(0.0)

    def excitability_at(self, rate: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""$\bar\eta$ of the fixed point with this rate (1/ms), without coupling: $\pi^2\tau^2r^2 - J\tau r - I - (\Delta/2\pi\tau
        r)^2$."""
        tau = self.membrane_time
        v = -self.excitability_width / (2 * jnp.pi * tau * rate)
        return (jnp.pi * tau * rate) ** 2 - self.synaptic_weight * tau * rate - self.input - v * v
