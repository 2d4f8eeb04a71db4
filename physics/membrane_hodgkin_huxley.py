"""The giant axon of the squid (Hodgkin and Huxley 1952)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.exponential_ratio import over_expm1
from physics.membrane import Compartments, Gates, Membrane, PerCompartment
from physics.parameters import Parameter, ParameterSet, arrays_of
from solvers import rows_of, stack_rows
from solvers.elementary import exp, reciprocal

_PAPER = "Hodgkin and Huxley 1952, J Physiol 117, 500"

HODGKIN_HUXLEY_1952 = ParameterSet(
    "HodgkinHuxley1952",
    membrane_capacity=Parameter(1.0, "uF/cm^2", (0.01, 10.0), f"{_PAPER}, table 3"),
    sodium_conductance=Parameter(120.0, "mS/cm^2", (0.0, 5000.0), f"{_PAPER}, table 3"),
    potassium_conductance=Parameter(36.0, "mS/cm^2", (0.0, 5000.0), f"{_PAPER}, table 3"),
    leak_conductance=Parameter(0.3, "mS/cm^2", (0.0, 100.0), f"{_PAPER}, table 3"),
    sodium_potential=Parameter(50.0, "mV", (0.0, 150.0), f"{_PAPER}, table 3: 115 mV above a rest that counts as -65 mV"),
    potassium_potential=Parameter(-77.0, "mV", (-150.0, 0.0), f"{_PAPER}, table 3: 12 mV below rest"),
    leak_potential=Parameter(-54.387, "mV", (-150.0, 0.0), f"{_PAPER}, table 3: 10.613 mV above rest, so that nothing flows there"),
    temperature_c=Parameter(6.3, "degC", (0.0, 40.0), f"{_PAPER}, of the fitted rates; 18.5 in its propagated action potential"),
)
AXOPLASM_OHM_CM = Parameter(35.4, "ohm cm", (10.0, 500.0), f"{_PAPER}, page 524, R_2 of the axon of figure 15")
AXON_RADIUS_UM = Parameter(238.0, "um", (0.05, 1000.0), f"{_PAPER}, page 524, a")
TEN_DEGREES = 3.0  # factor of all rates, page 522
FITTED_C = 6.3


class HodgkinHuxley1952(Membrane):
    r"""$I = g_{Na}m^3h(V - E_{Na}) + g_Kn^4(V - E_K) + g_l(V - E_l)$ with gates $m, h, n$ of rates $\varphi\,\alpha, \varphi\,\beta$:

    $$\alpha_m = f\bigl(\tfrac{-40-V}{10}\bigr),\; \beta_m = 4e^{-(V+65)/18},\quad
    \alpha_h = 0.07e^{-(V+65)/20},\; \beta_h = \frac1{1+e^{-(V+35)/10}},\quad
    \alpha_n = 0.1f\bigl(\tfrac{-55-V}{10}\bigr),\; \beta_n = 0.125e^{-(V+65)/80},$$

    $f(x) = x/(e^x-1)$, which is one at its 0/0 and is evaluated by its series there, and $\varphi = 3^{(T-6.3)/10}$. Today's signs: inside
    against outside, depolarisation upwards, rest at -65 mV. mS/cm², uA/cm², uF/cm², mV, ms, degrees Celsius.

    Good values: :data:`HODGKIN_HUXLEY_1952` by :meth:`published`, in an axon with :data:`AXOPLASM_OHM_CM` and :data:`AXON_RADIUS_UM`, where
    spikes travel at 18.7 m/s at 18.5 degrees. It fails above about 30 degrees, where no spike travels; conductances do not
    depend on temperature; no channel inactivates slowly. Source: the paper's equations 12 to 26.
    """

    membrane_capacity: PerCompartment
    sodium_conductance: PerCompartment
    potassium_conductance: PerCompartment
    leak_conductance: PerCompartment
    sodium_potential: PerCompartment
    potassium_potential: PerCompartment
    leak_potential: PerCompartment
    temperature_c: PerCompartment

    @classmethod
    def published(cls) -> "HodgkinHuxley1952":
        """With :data:`HODGKIN_HUXLEY_1952`."""
        return cls(**arrays_of(HODGKIN_HUXLEY_1952))

    @property
    def gate_names(self) -> tuple[str, ...]:
        """See :class:`physics.Membrane`."""
        return ("m", "h", "n")

    def capacity(self) -> PerCompartment:
        """See :class:`physics.Membrane`."""
        return self.membrane_capacity

    def resting_potential(self) -> Float[Array, ""]:
        """See :class:`physics.Membrane`."""
        return jnp.asarray(-65.0, self.membrane_capacity.dtype)

    def quickening(self) -> PerCompartment:
        r"""$\varphi$."""
        return jnp.power(TEN_DEGREES, (self.temperature_c - FITTED_C) / 10)

    def opening_and_closing(self, potential: Compartments) -> tuple[list[Compartments], list[Compartments]]:
        r"""$\alpha$ and $\beta$ of m, h and n at 6.3 degrees, 1/ms."""
        slow = exp((potential + 65) * (-1 / 80))  # the rates of h and n are powers of it
        fourth = (slow * slow) * (slow * slow)
        alpha = [over_expm1((potential + 40) * -0.1), 0.07 * fourth, 0.1 * over_expm1((potential + 55) * -0.1)]
        beta = [4 * exp((potential + 65) * (-1 / 18)), reciprocal(1 + 20.085536923187668 * (fourth * fourth)), 0.125 * slow]
        return alpha, beta

    def gates(self, potential: Compartments) -> tuple[Gates, Gates]:
        """See :class:`physics.Membrane`."""
        alpha, beta = (stack_rows(rates) for rates in self.opening_and_closing(potential))
        total = alpha + beta
        quicker = jnp.broadcast_to(self.quickening(), potential.shape)[None]
        return alpha * reciprocal(total), quicker * total

    def conductance(self, gates: Gates) -> tuple[PerCompartment, PerCompartment]:
        """See :class:`physics.Membrane`."""
        m, h, n = rows_of(gates)
        sodium = self.sodium_conductance * (m * m * m * h)
        potassium = self.potassium_conductance * ((n * n) * (n * n))
        leak = self.leak_conductance
        driven = sodium * self.sodium_potential + potassium * self.potassium_potential + leak * self.leak_potential
        return sodium + potassium + leak, driven
