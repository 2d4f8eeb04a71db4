"""A law for the slow current of a reduced ventricular cell: one current inward, one outward."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.cell_reduced_ventricular import SLOW_CURRENT_INPUTS, SLOW_CURRENT_OUTPUTS
from physics.closure import AnalyticClosure
from physics.parameters import Parameter, ParameterSet, arrays_of
from solvers.elementary import rational_tanh

_CHOICE = "a choice: an action potential of some 300 ms, not fitted to any cell"

TWO_SLOW_CURRENTS = ParameterSet(
    "TwoSlowCurrents",
    inward_conductance=Parameter(0.012, "nS/pF", (0.0, 1.0), _CHOICE),
    inward_reversal=Parameter(60.0, "mV", (20.0, 120.0), _CHOICE),
    inward_centre=Parameter(-12.0, "mV", (-60.0, 0.0), _CHOICE),
    inward_width=Parameter(12.0, "mV", (2.0, 60.0), _CHOICE),
    outward_conductance=Parameter(0.005, "nS/pF", (0.0, 1.0), _CHOICE),
    outward_reversal=Parameter(-86.0, "mV", (-110.0, -60.0), _CHOICE),
    outward_centre=Parameter(-70.0, "mV", (-90.0, 20.0), _CHOICE),
    outward_width=Parameter(10.0, "mV", (2.0, 60.0), _CHOICE),
    rapid_part=Parameter(0.4, "1", (0.0, 1.0), _CHOICE),
)


def two_slow_currents() -> AnalyticClosure:
    r"""One current inward, which runs down with w, and one outward.

    $$J = g_o\,(1 - a + a\,s_{Kr})\,\varphi\bigl(\tfrac{V-V_o}{k_o}\bigr)(V-E_o)
      + g_i\,s_{CaL}\,w\,\varphi\bigl(\tfrac{V-V_i}{k_i}\bigr)(V-E_i)$$

    A/F, of the inputs :data:`physics.SLOW_CURRENT_INPUTS`; $\varphi$ as in :class:`physics.ReducedVentricular`, $a$ the part of the outward
    current that hERG channels carry. Good values: :data:`TWO_SLOW_CURRENTS`, which make an action potential and nothing more: it shows
    what the slot takes, and stands where no network is wanted. It has no memory and one shape at all rates.
    """
    return AnalyticClosure(law=_law, parameters=arrays_of(TWO_SLOW_CURRENTS), inputs=SLOW_CURRENT_INPUTS, outputs=SLOW_CURRENT_OUTPUTS)


def _law(p: dict[str, Array], values: Float[Array, "inputs *cells"]) -> Float[Array, "outputs *cells"]:
    v, w, _, rapid, calcium = values
    inward = p["inward_conductance"] * jnp.exp(calcium) * w * _rise(v, p["inward_centre"], p["inward_width"]) * (v - p["inward_reversal"])
    share = 1 - p["rapid_part"] + p["rapid_part"] * jnp.exp(rapid)
    outward = p["outward_conductance"] * share * _rise(v, p["outward_centre"], p["outward_width"]) * (v - p["outward_reversal"])
    return (inward + outward)[None]


def _rise(v: Array, centre: Array, width: Array) -> Array:
    return 0.5 + 0.5 * rational_tanh((v - centre) * (1 / width))
