"""The human ventricular cell of ten Tusscher and Panfilov (2006): epicardial, mid-myocardial and endocardial."""

import math
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.boltzmann import Boltzmann
from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.exponential_ratio import over_expm1
from physics.parameters import arrays_of
from physics.quotient import Quotient, divided
from physics.sodium_inactivation import sodium_inactivation
from physics.ten_tusscher_parameters import (
    RESTING_STATES,
    STATE_NAMES,
    TEN_TUSSCHER_2006_ENDO,
    TEN_TUSSCHER_2006_EPI,
    TEN_TUSSCHER_2006_MID,
)
from solvers import rows_of, stack_rows
from solvers.elementary import exp, log

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
        v, calcium, _, subspace, sodium, potassium, m, h, j, xr1, xr2, xs, r, s, d, f, f2, fcass, _ = rows_of(state)
        thermal = GAS * self.temperature / FARADAY  # mV
        per_thermal = 1 / thermal
        reduced = v * per_thermal
        share = self.slow_potassium_sodium_share
        e_sodium = thermal * (jnp.log(self.outer_sodium) - log(sodium))
        e_potassium = thermal * (jnp.log(self.outer_potassium) - log(potassium))
        e_calcium = 0.5 * thermal * (jnp.log(self.outer_calcium) - log(calcium))
        e_slow = thermal * (jnp.log(self.outer_potassium + share * self.outer_sodium) - log(potassium + share * sodium))
        above = v - e_potassium
        root = jnp.sqrt(self.outer_potassium / 5.4)
        # alpha/(alpha + beta) with alpha = 0.1/(1 + e^{0.06 (a - 200)}), beta = (3 e^{0.0002 (a+100)} + e^{0.1 (a-10)})/(1 + e^{-0.5 a}),
        # all of it times e^{-0.1 a}.
        falling = exp(-0.1 * above)
        opening = 0.1 * falling * (1 + falling**5)
        closing = (3 * exp(0.0002 * (above + 100)) * falling + math.exp(-1)) * (1 + exp(0.06 * (above - 200)))
        # The factor g_CaL 4 (V - 15) F^2/(RT) / (e^x - 1) is g_CaL 2 F x / (e^x - 1), which is smooth.
        x = 2 * (v - 15) * per_thermal
        quotient = over_expm1(x)  # x / (e^x - 1), and x e^x / (e^x - 1) is x more
        influx = 2 * FARADAY * (0.25 * subspace * (quotient + x) - self.outer_calcium * quotient)
        tenth = exp(-0.1 * reduced)
        whole = tenth**10
        inward = exp(self.exchanger_voltage_share * reduced)
        backward = inward * whole
        exchanged = inward * sodium**3 * self.outer_calcium - backward * self.outer_sodium**3 * calcium * self.exchanger_asymmetry
        bound = (self.exchanger_sodium_constant**3 + self.outer_sodium**3) * (self.exchanger_calcium_constant + self.outer_calcium)
        outer = self.sodium_potassium_pump * self.outer_potassium / (self.outer_potassium + self.pump_potassium_constant)
        rectified, sodium_pumped, exchange, calcium_pumped, plateau = divided(
            [
                Quotient(opening, opening + closing),
                Quotient(sodium, (sodium + self.pump_sodium_constant) * (1 + 0.1245 * tenth + 0.0353 * whole)),
                Quotient(exchanged, 1 + self.exchanger_saturation * backward),
                Quotient(calcium, calcium + self.calcium_pump_constant),
                Boltzmann(v, 5.98).rise(25),
            ]
        )
        return {
            "INa": self.sodium_conductance * m**3 * h * j * (v - e_sodium),
            "ICaL": self.calcium_permeability * d * f * f2 * fcass * influx,
            "Ito": self.transient_outward_conductance * r * s * above,
            "IKr": self.rapid_potassium_conductance * root * xr1 * xr2 * above,
            "IKs": self.slow_potassium_conductance * xs**2 * (v - e_slow),
            "IK1": self.inward_rectifier_conductance * root * rectified * above,
            "INaCa": self.exchanger * (1 / bound) * exchange,
            "INaK": outer * sodium_pumped,
            "IpCa": self.calcium_pump * calcium_pumped,
            "IpK": self.plateau_potassium_conductance * above * plateau,
            "IbCa": self.background_calcium_conductance * (v - e_calcium),
            "IbNa": self.background_sodium_conductance * (v - e_sodium),
        }

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        i = self.currents(state)
        _, calcium, store, subspace, *_, available = rows_of(state)
        opening = self.release_opening * subspace**2
        release, kept, of_cytosol, of_store, of_subspace = divided(
            [
                opening * available * (opening + self.release_closing * self._store_factor(store)).inverse,
                Quotient(calcium**2, calcium**2 + self.uptake_constant**2),
                _free(calcium, self.cytosol_buffer, self.cytosol_buffer_constant),
                _free(store, self.store_buffer, self.store_buffer_constant),
                _free(subspace, self.subspace_buffer, self.subspace_buffer_constant),
            ]
        )
        release = self.release_rate * release * (store - subspace)
        leak = self.leak_rate * (store - calcium)
        uptake = self.uptake * kept
        transfer = self.transfer_rate * (subspace - calcium)
        # pA/pF to mmol/L/ms in the cytosol, for one charge.
        per_charge = self.capacitance / (self.cytosol_volume * FARADAY)
        stores, spaces = self.store_volume / self.cytosol_volume, self.subspace_volume / self.cytosol_volume
        to_cytosol = -(i["IbCa"] + i["IpCa"] - 2 * i["INaCa"]) * per_charge / 2 + (leak - uptake) * stores + transfer
        to_subspace = (-i["ICaL"] * per_charge / 2 + release * stores - transfer) * (1 / spaces)
        sodium = i["INa"] + i["IbNa"] + 3 * (i["INaK"] + i["INaCa"])
        potassium = i["IK1"] + i["Ito"] + i["IKr"] + i["IKs"] + i["IpK"] - 2 * i["INaK"] - stimulus
        return stack_rows(
            [
                stimulus - sum(i.values()),
                to_cytosol * of_cytosol,
                (uptake - release - leak) * of_store,
                to_subspace * of_subspace,
                -sodium * per_charge,
                -potassium * per_charge,
            ]
        )

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`; the last two depend on calcium, the others on the voltage. Time constants as in the paper."""
        v, _, store, subspace, *_ = rows_of(state)
        by_20, by_14, by_15, by_24 = (Boltzmann(v, width) for width in (20, 14, 15, 24))
        m_steady, h_steady = Boltzmann(v, 9.03).rise(-56.86), Boltzmann(v, 7.43).fall(-71.55)
        h_speed, j_speed = sodium_inactivation(v, by_20.rise(-32, 10))
        crowded = 1 + 400 * subspace**2
        closing = Quotient(self.release_inactivation * subspace) * self._store_factor(store)
        recovering = closing + self.release_recovery
        s_steady, s_constant = self._transient_outward_inactivation(v, by_20)
        down_30, bell_27 = by_20.fall(-30, 10), (v + 27) ** 2
        root = jnp.sqrt(by_24.rise(5, 6).under)
        steady = [
            m_steady * m_steady,
            h_steady * h_steady,
            by_14.rise(-26, 7),
            by_24.fall(-88),
            by_14.rise(-5),
            by_24.rise(20, 6),
            s_steady,
            by_15.rise(-8, 7.5),
            by_14.fall(-20, 7),
            0.67 * by_14.fall(-35, 7) + 0.33,
            Quotient(0.6, crowded) + 0.4,
            self.release_recovery * recovering.inverse,
        ]
        constant = [
            by_20.rise(-60, 5) * 0.1 * (by_20.fall(-35, 5) + Boltzmann(v, 200).fall(50)),
            h_speed.inverse,
            j_speed.inverse,
            450 * by_20.rise(-45, 10) * 6 * Boltzmann(v, 11.5).fall(-30),
            3 * by_20.rise(-60) * 1.12 * by_20.fall(60),
            Quotient(1400.0, root) * by_15.fall(35) + 80,
            Quotient(9.5 * exp(-((v + 40) ** 2) * (1 / 1800)) + 0.8),
            s_constant,
            (1.4 * Boltzmann(v, 13).rise(-35) + 0.25) * 1.4 * by_20.fall(-5, 5) + by_20.rise(50),
            1102.5 * exp(-bell_27 * (1 / 225)) + 200 * by_20.rise(13, 10) + 180 * down_30 + 20,
            562 * exp(-bell_27 * (1 / 240)) + 31 * by_20.rise(25, 10) + 80 * down_30,
            Quotient(80.0, crowded) + 2,
            recovering.inverse,
        ]
        found = divided([*steady, *(each.inverse for each in constant)])
        found.insert(2, found[1])  # h and j have one steady state
        return stack_rows(found[:GATES]), stack_rows(found[GATES:])

    def _transient_outward_inactivation(self, v: Cells, by_20: Boltzmann) -> tuple[Quotient, Quotient]:
        if self.layer == "endo":
            return by_20.fall(-28, 5), Quotient(1000 * exp(-((v + 67) ** 2) * (1 / 1000)) + 8)
        return by_20.fall(-20, 5), 85 * exp(-((v + 45) ** 2) * (1 / 320)) + 5 * by_20.fall(20, 5) + 3

    def _store_factor(self, store: Cells) -> Quotient:
        """How much the calcium of the store slows the opening and speeds the inactivation of its release."""
        squared, half = store**2, self.release_half_store**2
        high, low = self.release_largest_factor, self.release_smallest_factor
        return Quotient(high * half + low * squared, half + squared)


def _free(calcium: Cells, buffer: Scalar, constant: Scalar) -> Quotient:
    """Share of a change of total calcium that stays free, with a buffer in equilibrium: 1/(1 + B K/(Ca + K)^2)."""
    squared = (calcium + constant) ** 2
    return Quotient(squared, squared + buffer * constant)
