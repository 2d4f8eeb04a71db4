"""The node of Ranvier of a mammal at body temperature (Sweeney, Mortimer and Durand 1987)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.membrane import Compartments, Gates, Membrane, PerCompartment
from physics.parameters import Parameter, ParameterSet, arrays_of
from solvers import rows_of, stack_rows
from solvers.elementary import exp, reciprocal

_PAPER = "Sweeney, Mortimer and Durand 1987, Proc 9th IEEE EMBS, 1577, as used in the literature; not read in print"

SWEENEY_1987 = ParameterSet(
    "Sweeney1987",
    membrane_capacity=Parameter(2.5, "uF/cm^2", (0.1, 10.0), _PAPER),
    sodium_conductance=Parameter(1445.0, "mS/cm^2", (0.0, 1e4), _PAPER),
    leak_conductance=Parameter(128.0, "mS/cm^2", (0.0, 1e3), _PAPER),
    sodium_potential=Parameter(35.64, "mV", (0.0, 150.0), _PAPER),
    leak_potential=Parameter(-80.01, "mV", (-150.0, 0.0), _PAPER),
)
NODE_UM = Parameter(1.5, "um", (0.1, 10.0), f"{_PAPER}, length of a node")
NODE_OHM_CM = Parameter(54.7, "ohm cm", (10.0, 500.0), f"{_PAPER}, axoplasm")


class Sweeney1987(Membrane):
    r"""$I = g_{Na}m^2h\,(V - E_{Na}) + g_l(V - E_l)$; the cells of rabbits at 37 degrees, which repolarise through the leak alone.

    $$\alpha_m = \frac{126+0.363V}{1+e^{-(V+49)/5.3}},\; \beta_m = \alpha_me^{-(V+56.2)/4.17},\qquad
    \beta_h = \frac{15.6}{1+e^{-(V+56)/10}},\; \alpha_h = \beta_he^{-(V+74.5)/5}.$$

    Good values: :data:`SWEENEY_1987` in nodes of :func:`physics.ranvier_axon`. It fails after the spike: no potassium, no
    afterpotentials, no accommodation, and below -340 mV, where the fitted rate turns negative.
    """

    membrane_capacity: PerCompartment
    sodium_conductance: PerCompartment
    leak_conductance: PerCompartment
    sodium_potential: PerCompartment
    leak_potential: PerCompartment

    @classmethod
    def published(cls) -> "Sweeney1987":
        """With :data:`SWEENEY_1987`."""
        return cls(**arrays_of(SWEENEY_1987))

    @property
    def gate_names(self) -> tuple[str, ...]:
        """See :class:`physics.Membrane`."""
        return ("m", "h")

    def capacity(self) -> PerCompartment:
        """See :class:`physics.Membrane`."""
        return self.membrane_capacity

    def resting_potential(self) -> Float[Array, ""]:
        """See :class:`physics.Membrane`."""
        return jnp.asarray(-79.9993, self.membrane_capacity.dtype)

    def gates(self, potential: Compartments) -> tuple[Gates, Gates]:
        """See :class:`physics.Membrane`."""
        opening = 1 + exp((potential + 56.2) * (-1 / 4.17))
        rising = 1 + exp((potential + 74.5) * (1 / 5))
        alpha = (126 + 0.363 * potential) * reciprocal(1 + exp((potential + 49) * (-1 / 5.3)))
        closing = 15.6 * reciprocal(1 + exp((potential + 56) * -0.1))
        falling = 1 + exp((potential + 74.5) * (-1 / 5))
        return stack_rows([reciprocal(opening), reciprocal(rising)]), stack_rows([alpha * opening, closing * falling])

    def conductance(self, gates: Gates) -> tuple[PerCompartment, PerCompartment]:
        """See :class:`physics.Membrane`."""
        m, h = rows_of(gates)
        sodium = self.sodium_conductance * (m * m * h)
        return sodium + self.leak_conductance, sodium * self.sodium_potential + self.leak_conductance * self.leak_potential
