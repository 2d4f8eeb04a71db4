"""The human ventricular cell of ten Tusscher and Panfilov (2006): epicardial, mid-myocardial and endocardial."""

import math
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.boltzmann import Boltzmann
from physics.calcium_buffer import buffered
from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked, arrays_of
from physics.exponential_ratio import over_expm1
from physics.sodium_inactivation import sodium_inactivation
from physics.ten_tusscher_parameters import (
    RESTING_STATES,
    STATE_NAMES,
    TEN_TUSSCHER_2006_ENDO,
    TEN_TUSSCHER_2006_EPI,
    TEN_TUSSCHER_2006_MID,
)
from solvers import stack_rows

FARADAY, GAS = 96.485, 8.314  # C/mmol and J/mol/K, rounded as in the CellML version, so that both agree to round-off
GATES = 13
UNITS = ("mV", *["mmol/L"] * 5, *["1"] * GATES)


class TenTusscher2006(CellModel):
    r"""Nineteen components: voltage, five concentrations, twelve gates of channels and one of the ryanodine receptor.

    $$\dot V = I_{st} - (I_{Na} + I_{CaL} + I_{to} + I_{Kr} + I_{Ks} + I_{K1} + I_{NaCa} + I_{NaK} + I_{pCa} + I_{pK} + I_{bCa} + I_{bNa})$$

    with $I_{Na} = g_{Na} m^3 h j (V - E_{Na})$, $I_{Kr} = g_{Kr}\sqrt{K_o/5.4}\,x_{r1}x_{r2}(V - E_K)$,
    $I_{Ks} = g_{Ks} x_s^2 (V - E_{Ks})$, $I_{to} = g_{to}\, r s (V - E_K)$, $I_{K1} = g_{K1}\sqrt{K_o/5.4}\,x_{K1\infty}(V - E_K)$,

    $$I_{CaL} = g_{CaL}\,d f f_2 f_{cass}\; 2F\,\frac{x}{e^x - 1}\,\bigl(\tfrac14 Ca_{ss}\,e^{x} - Ca_o\bigr), \; x = 2 (V - 15) F/(RT),$$

    which is 0/0 at 15 mV and is evaluated by its series there. Free calcium follows the rapid-buffer approximation: the change of total
    calcium times $1/(1 + B K/(Ca + K)^2)$ in cytosol, store and subspace. The stimulus counts as potassium.

    State: ``(19, *cells)`` in the order of :attr:`names`; V in mV, concentrations in mmol/L, gates from 0 to 1. Currents in A/F (pA/pF),
    time in ms. Good values: :data:`physics.TEN_TUSSCHER_2006_EPI` and its siblings, by :meth:`published`. Endocardial cells also have
    another kinetics of the gate s, which is no parameter but ``layer``.

    Two formulas go round for the time constant of f2. This is the one of the paper and of CellML (562 ms, 27 mV, 240 mV^2, 80 ms); the
    authors' own program has 600, 25, 170 and 16 instead.

    It fails outside of about -120 to 80 mV and 35 to 39 degrees Celsius; inner sodium and potassium take thousands of beats to settle;
    there are no late sodium current, no beta-adrenergic response, no contraction. Explicit steps of calcium are stable up to some 0.1 ms.

    Source: ten Tusscher, Panfilov (2006), *Am J Physiol Heart Circ Physiol* 291, H1088, appendix; currents unchanged since ten Tusscher,
    Noble, Noble, Panfilov (2004), the same journal 286, H1573.
    """

    sodium_conductance: Scalar
    inward_rectifier_conductance: Scalar
    rapid_potassium_conductance: Scalar
    slow_potassium_conductance: Scalar
    transient_outward_conductance: Scalar
    calcium_permeability: Scalar
    sodium_potassium_pump: Scalar
    pump_potassium_constant: Scalar
    pump_sodium_constant: Scalar
    exchanger: Scalar
    exchanger_sodium_constant: Scalar
    exchanger_calcium_constant: Scalar
    exchanger_saturation: Scalar
    exchanger_asymmetry: Scalar
    exchanger_voltage_share: Scalar
    calcium_pump: Scalar
    calcium_pump_constant: Scalar
    plateau_potassium_conductance: Scalar
    background_calcium_conductance: Scalar
    background_sodium_conductance: Scalar
    slow_potassium_sodium_share: Scalar
    outer_calcium: Scalar
    outer_sodium: Scalar
    outer_potassium: Scalar
    release_rate: Scalar
    release_opening: Scalar
    release_inactivation: Scalar
    release_closing: Scalar
    release_recovery: Scalar
    release_largest_factor: Scalar
    release_smallest_factor: Scalar
    release_half_store: Scalar
    leak_rate: Scalar
    uptake: Scalar
    uptake_constant: Scalar
    transfer_rate: Scalar
    cytosol_buffer: Scalar
    cytosol_buffer_constant: Scalar
    store_buffer: Scalar
    store_buffer_constant: Scalar
    subspace_buffer: Scalar
    subspace_buffer_constant: Scalar
    cytosol_volume: Scalar
    store_volume: Scalar
    subspace_volume: Scalar
    capacitance: Scalar
    temperature: Scalar
    layer: Literal["epi", "mid", "endo"] = eqx.field(static=True, default="epi")

    @classmethod
    def published(cls, layer: Literal["epi", "mid", "endo"] = "epi") -> "TenTusscher2006":
        """The cell of one layer of the wall with the values of the paper."""
        sets = {"epi": TEN_TUSSCHER_2006_EPI, "mid": TEN_TUSSCHER_2006_MID, "endo": TEN_TUSSCHER_2006_ENDO}
        return cls(**arrays_of(sets[layer]), layer=layer)

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return STATE_NAMES

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return UNITS

    def initial_state(self) -> Float[Array, " components"]:
        """The state from which the authors start, not a periodic one of any pacing."""
        return jnp.asarray(RESTING_STATES[self.layer], dtype=self.capacitance.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """The first component."""
        return state[0]

    def front_time(self) -> Scalar:
        """1 ms, by definition."""
        return jnp.ones_like(self.capacitance)

    def currents(self, state: Stacked) -> dict[str, Cells]:
        """Every membrane current by its name in the paper, A/F; positive is outward."""
        v, calcium, _, subspace, sodium, potassium, m, h, j, xr1, xr2, xs, r, s, d, f, f2, fcass, _ = state
        thermal = GAS * self.temperature / FARADAY  # mV
        reduced = v / thermal
        e_sodium = thermal * jnp.log(self.outer_sodium / sodium)
        e_potassium = thermal * jnp.log(self.outer_potassium / potassium)
        e_calcium = 0.5 * thermal * jnp.log(self.outer_calcium / calcium)
        share = self.slow_potassium_sodium_share
        e_slow = thermal * jnp.log((self.outer_potassium + share * self.outer_sodium) / (potassium + share * sodium))
        above = v - e_potassium
        root = jnp.sqrt(self.outer_potassium / 5.4)
        # alpha/(alpha + beta) with alpha = 0.1/(1 + e^{0.06 (a - 200)}), beta = (3 e^{0.0002 (a+100)} + e^{0.1 (a-10)})/(1 + e^{-0.5 a}).
        rising = jnp.exp(0.1 * above)
        closing = 3 * jnp.exp(0.0002 * (above + 100)) + math.exp(-1) * rising
        rectified = 0.1 / (0.1 + closing * (1 + jnp.exp(0.06 * (above - 200))) / (1 + 1 / rising**5))
        # The factor g_CaL 4 (V - 15) F^2/(RT) / (e^x - 1) is g_CaL 2 F x / (e^x - 1), which is smooth.
        x = 2 * (v - 15) / thermal
        quotient = over_expm1(x)  # x / (e^x - 1), and x e^x / (e^x - 1) is x more
        influx = 2 * FARADAY * (0.25 * subspace * (quotient + x) - self.outer_calcium * quotient)
        pumped = (
            self.outer_potassium / (self.outer_potassium + self.pump_potassium_constant) * sodium / (sodium + self.pump_sodium_constant)
        )
        tenth = jnp.exp(-0.1 * reduced)
        whole = tenth**10
        blocked = 1 + 0.1245 * tenth + 0.0353 * whole
        inward = jnp.exp(self.exchanger_voltage_share * reduced)
        backward = inward * whole
        exchanged = inward * sodium**3 * self.outer_calcium - backward * self.outer_sodium**3 * calcium * self.exchanger_asymmetry
        bound = (self.exchanger_sodium_constant**3 + self.outer_sodium**3) * (self.exchanger_calcium_constant + self.outer_calcium)
        return {
            "INa": self.sodium_conductance * m**3 * h * j * (v - e_sodium),
            "ICaL": self.calcium_permeability * d * f * f2 * fcass * influx,
            "Ito": self.transient_outward_conductance * r * s * above,
            "IKr": self.rapid_potassium_conductance * root * xr1 * xr2 * above,
            "IKs": self.slow_potassium_conductance * xs**2 * (v - e_slow),
            "IK1": self.inward_rectifier_conductance * root * rectified * above,
            "INaCa": self.exchanger * exchanged / (bound * (1 + self.exchanger_saturation * backward)),
            "INaK": self.sodium_potassium_pump * pumped / blocked,
            "IpCa": self.calcium_pump * calcium / (calcium + self.calcium_pump_constant),
            "IpK": self.plateau_potassium_conductance * above * Boltzmann(v, 5.98).rise(25),
            "IbCa": self.background_calcium_conductance * (v - e_calcium),
            "IbNa": self.background_sodium_conductance * (v - e_sodium),
        }

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        i = self.currents(state)
        calcium, store, subspace, available = state[1], state[2], state[3], state[18]
        factor = self.release_largest_factor - (self.release_largest_factor - self.release_smallest_factor) / (
            1 + (self.release_half_store / store) ** 2
        )
        opening = self.release_opening / factor * subspace**2
        release = self.release_rate * opening * available / (self.release_closing + opening) * (store - subspace)
        leak = self.leak_rate * (store - calcium)
        uptake = self.uptake / (1 + self.uptake_constant**2 / calcium**2)
        transfer = self.transfer_rate * (subspace - calcium)
        # pA/pF to mmol/L/ms in the cytosol, for one charge.
        per_charge = self.capacitance / (self.cytosol_volume * FARADAY)
        stores, spaces = self.store_volume / self.cytosol_volume, self.subspace_volume / self.cytosol_volume
        to_cytosol = -(i["IbCa"] + i["IpCa"] - 2 * i["INaCa"]) * per_charge / 2 + (leak - uptake) * stores + transfer
        to_subspace = (-i["ICaL"] * per_charge / 2 + release * stores - transfer) / spaces
        sodium = i["INa"] + i["IbNa"] + 3 * (i["INaK"] + i["INaCa"])
        potassium = i["IK1"] + i["Ito"] + i["IKr"] + i["IKs"] + i["IpK"] - 2 * i["INaK"] - stimulus
        return stack_rows(
            [
                stimulus - sum(i.values()),
                to_cytosol * _free(calcium, self.cytosol_buffer, self.cytosol_buffer_constant),
                (uptake - release - leak) * _free(store, self.store_buffer, self.store_buffer_constant),
                to_subspace * _free(subspace, self.subspace_buffer, self.subspace_buffer_constant),
                -sodium * per_charge,
                -potassium * per_charge,
            ]
        )

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`; the last two depend on calcium, the others on the voltage."""
        v, store, subspace = state[0], state[2], state[3]
        by_20, by_14, by_15, by_24 = (Boltzmann(v, width) for width in (20, 14, 15, 24))
        h_steady = Boltzmann(v, 7.43).fall(-71.55) ** 2
        h_constant, j_constant = sodium_inactivation(v, by_20.rise(-32, 10))
        crowding = (subspace / 0.05) ** 2
        factor = self.release_largest_factor - (self.release_largest_factor - self.release_smallest_factor) / (
            1 + (self.release_half_store / store) ** 2
        )
        closing = self.release_inactivation * factor * subspace
        s_steady, s_constant = self._transient_outward_inactivation(v, by_20)
        steady = [
            Boltzmann(v, 9.03).rise(-56.86) ** 2,
            h_steady,
            h_steady,
            by_14.rise(-26, 7),
            by_24.fall(-88),
            by_14.rise(-5),
            by_24.rise(20, 6),
            s_steady,
            by_15.rise(-8, 7.5),
            by_14.fall(-20, 7),
            0.67 * by_14.fall(-35, 7) + 0.33,
            0.6 / (1 + crowding) + 0.4,
            self.release_recovery / (self.release_recovery + closing),
        ]
        down_30, bell_27 = by_20.fall(-30, 10), (v + 27) ** 2
        constant = [
            by_20.rise(-60, 5) * 0.1 * (by_20.fall(-35, 5) + Boltzmann(v, 200).fall(50)),
            h_constant,
            j_constant,
            450 * by_20.rise(-45, 10) * 6 * Boltzmann(v, 11.5).fall(-30),
            3 * by_20.rise(-60) * 1.12 * by_20.fall(60),
            1400 * jnp.sqrt(by_24.rise(5, 6)) * by_15.fall(35) + 80,
            9.5 * jnp.exp(-((v + 40) ** 2) / 1800) + 0.8,
            s_constant,
            (1.4 * Boltzmann(v, 13).rise(-35) + 0.25) * 1.4 * by_20.fall(-5, 5) + by_20.rise(50),
            1102.5 * jnp.exp(-bell_27 / 225) + 200 * by_20.rise(13, 10) + 180 * down_30 + 20,
            562 * jnp.exp(-bell_27 / 240) + 31 * by_20.rise(25, 10) + 80 * down_30,
            80 / (1 + crowding) + 2,
            1 / (self.release_recovery + closing),
        ]
        return stack_rows(steady), stack_rows(constant)

    def _transient_outward_inactivation(self, v: Cells, by_20: Boltzmann) -> tuple[Cells, Cells]:
        if self.layer == "endo":
            return by_20.fall(-28, 5), 1000 * jnp.exp(-((v + 67) ** 2) / 1000) + 8
        return by_20.fall(-20, 5), 85 * jnp.exp(-((v + 45) ** 2) / 320) + 5 * by_20.fall(20, 5) + 3


def _free(calcium: Cells, buffer: Scalar, constant: Scalar) -> Cells:
    """Share of a change of total calcium that stays free, with a buffer in equilibrium."""
    return 1 / (1 + buffered(calcium, buffer, constant))
