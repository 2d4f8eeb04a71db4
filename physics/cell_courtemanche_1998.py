"""The human atrial cell of Courtemanche, Ramirez and Nattel (1998)."""

import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float

from physics.calcium_buffer import buffered
from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.courtemanche_parameters import COURTEMANCHE_1998, COURTEMANCHE_NAMES, COURTEMANCHE_REST
from physics.exponential_ratio import over_expm1
from physics.parameters import arrays_of
from solvers import stack_rows

FARADAY, GAS = 96.4867, 8.3143  # C/mmol and J/mol/K, as the model has them
GATES = 15
CYTOSOL, UPTAKE, RELEASE = 0.68, 0.0552, 0.0048  # shares of the cell's volume


class Courtemanche1998(CellModel):
    r"""Twenty-one components: voltage, five concentrations, twelve gates of channels and three of calcium release.

    $$\dot V = I_{st} - (I_{Na} + I_{K1} + I_{to} + I_{Kur} + I_{Kr} + I_{Ks} + I_{CaL} + I_{pCa} + I_{NaK} + I_{NaCa}
    + I_{bNa} + I_{bCa})$$

    with $I_{Na} = g_{Na}m^3hj(V-E_{Na})$, $I_{K1} = g_{K1}(V-E_K)/(1+e^{0.07(V+80)})$, $I_{to} = g_{to}o_a^3o_i(V-E_K)$,
    $I_{Kur} = g_{Kur}(1+10/(1+e^{-(V-15)/13}))u_a^3u_i(V-E_K)$, $I_{Kr} = g_{Kr}x_r(V-E_K)/(1+e^{(V+15)/22.4})$,
    $I_{Ks} = g_{Ks}x_s^2(V-E_K)$ and $I_{CaL} = g_{CaL}\,d f f_{Ca}(V-65\,mV)$. Calcium is released at $k_{rel}u^2vw(Ca_{rel}-Ca_i)$,
    whose gates follow the flux $F_n$ of calcium into the cell and out of the store, as steeply as a switch.

    State: ``(21, *cells)`` in the order of :attr:`names`; V in mV, concentrations in mmol/L, gates from 0 to 1. Currents in A/F (pA/pF),
    time in ms. Free calcium follows the rapid-buffer approximation. Rates of gates of the form $x/(e^x-1)$ are evaluated by their
    series near $x=0$. The stimulus counts as potassium, which the paper leaves open.

    Good values: :data:`physics.COURTEMANCHE_1998`, by :meth:`published`. It fails outside of about -120 to 80 mV; inner sodium and
    potassium take thousands of beats to settle; the release switches on within one step, which costs order there.

    Source: Courtemanche, Ramirez, Nattel (1998), *Am J Physiol Heart Circ Physiol* 275, H301, with the sign in the rate of $u_i$ that the
    CellML version corrected (its figure shows it).
    """

    sodium_conductance: Scalar
    inward_rectifier_conductance: Scalar
    transient_outward_conductance: Scalar
    ultrarapid_potassium_conductance: Scalar
    rapid_potassium_conductance: Scalar
    slow_potassium_conductance: Scalar
    calcium_conductance: Scalar
    calcium_reversal: Scalar
    background_calcium_conductance: Scalar
    background_sodium_conductance: Scalar
    sodium_potassium_pump: Scalar
    pump_sodium_constant: Scalar
    pump_potassium_constant: Scalar
    exchanger: Scalar
    exchanger_sodium_constant: Scalar
    exchanger_calcium_constant: Scalar
    exchanger_saturation: Scalar
    exchanger_voltage_share: Scalar
    calcium_pump: Scalar
    calcium_pump_constant: Scalar
    release_rate: Scalar
    transfer_constant: Scalar
    uptake: Scalar
    uptake_constant: Scalar
    uptake_store_capacity: Scalar
    calmodulin: Scalar
    calmodulin_constant: Scalar
    troponin: Scalar
    troponin_constant: Scalar
    calsequestrin: Scalar
    calsequestrin_constant: Scalar
    outer_sodium: Scalar
    outer_potassium: Scalar
    outer_calcium: Scalar
    cell_volume: Scalar
    capacitance: Scalar
    temperature: Scalar
    acceleration: Scalar

    @classmethod
    def published(cls) -> "Courtemanche1998":
        """The cell with the values of the paper."""
        return cls(**arrays_of(COURTEMANCHE_1998))

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return COURTEMANCHE_NAMES

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("mV", *["mmol/L"] * 5, *["1"] * GATES)

    def initial_state(self) -> Float[Array, " components"]:
        """At rest, as the public version starts."""
        return jnp.asarray(COURTEMANCHE_REST, dtype=self.capacitance.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """The first component."""
        return state[0]

    def front_time(self) -> Scalar:
        """See :class:`physics.CellModel`; measured on cables at spacings of 0.45, 0.9 and 1.2 sqrt(D ms), which gave 1.15, 0.96, 0.88."""
        return jnp.full_like(self.capacitance, 0.95)

    def currents(self, state: Stacked) -> dict[str, Cells]:
        """Every membrane current by its name in the paper, A/F; positive is outward."""
        v, sodium, potassium, calcium = state[:4]
        m, h, j, oa, oi, ua, ui, xr, xs, d, f, fca = state[6:18]
        thermal = GAS * self.temperature / FARADAY  # mV
        reduced = v / thermal
        e_sodium = thermal * jnp.log(self.outer_sodium / sodium)
        e_calcium = 0.5 * thermal * jnp.log(self.outer_calcium / calcium)
        above = v - thermal * jnp.log(self.outer_potassium / potassium)
        ultrarapid = self.ultrarapid_potassium_conductance * (1 + 10 * sigmoid((v - 15) / 13))
        sigma = jnp.expm1(self.outer_sodium / 67.3) / 7
        blocked = 1 + 0.1245 * jnp.exp(-0.1 * reduced) + 0.0365 * sigma * jnp.exp(-reduced)
        pumped = self.outer_potassium / (self.outer_potassium + self.pump_potassium_constant)
        pumped = pumped / (1 + (self.pump_sodium_constant / sodium) ** 1.5)
        backward = jnp.exp((self.exchanger_voltage_share - 1) * reduced)
        forward = jnp.exp(self.exchanger_voltage_share * reduced) * sodium**3 * self.outer_calcium
        bound = (self.exchanger_sodium_constant**3 + self.outer_sodium**3) * (self.exchanger_calcium_constant + self.outer_calcium)
        exchanged = (forward - backward * self.outer_sodium**3 * calcium) / (bound * (1 + self.exchanger_saturation * backward))
        return {
            "INa": self.sodium_conductance * m**3 * h * j * (v - e_sodium),
            "IK1": self.inward_rectifier_conductance * above * sigmoid(-0.07 * (v + 80)),
            "Ito": self.transient_outward_conductance * oa**3 * oi * above,
            "IKur": ultrarapid * ua**3 * ui * above,
            "IKr": self.rapid_potassium_conductance * xr * above * sigmoid(-(v + 15) / 22.4),
            "IKs": self.slow_potassium_conductance * xs**2 * above,
            "ICaL": self.calcium_conductance * d * f * fca * (v - self.calcium_reversal),
            "IpCa": self.calcium_pump * calcium / (self.calcium_pump_constant + calcium),
            "INaK": self.sodium_potassium_pump * pumped / blocked,
            "INaCa": self.exchanger * exchanged,
            "IbNa": self.background_sodium_conductance * (v - e_sodium),
            "IbCa": self.background_calcium_conductance * (v - e_calcium),
        }

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        i = self.currents(state)
        calcium, uptake_store, release_store = state[3:6]
        per_charge = self.capacitance / (CYTOSOL * self.cell_volume * FARADAY)  # pA/pF to mmol/L/ms, for one charge
        release = self._release(state)
        leak = self.uptake * uptake_store / self.uptake_store_capacity
        taken = self.uptake / (1 + self.uptake_constant / calcium)
        transfer = (uptake_store - release_store) / self.transfer_constant
        entering = (2 * i["INaCa"] - i["IpCa"] - i["ICaL"] - i["IbCa"]) * per_charge / 2
        entering = entering + (UPTAKE * (leak - taken) + RELEASE * release) / CYTOSOL
        bound = buffered(calcium, self.troponin, self.troponin_constant) + buffered(calcium, self.calmodulin, self.calmodulin_constant)
        sodium = 3 * (i["INaK"] + i["INaCa"]) + i["IbNa"] + i["INa"]
        potassium = i["IK1"] + i["Ito"] + i["IKur"] + i["IKr"] + i["IKs"] - 2 * i["INaK"] - stimulus
        return stack_rows(
            [
                stimulus - sum(i.values()),
                -sodium * per_charge,
                -potassium * per_charge,
                entering / (1 + bound),
                taken - leak - transfer * RELEASE / UPTAKE,
                (transfer - release) / (1 + buffered(release_store, self.calsequestrin, self.calsequestrin_constant)),
            ]
        )

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`; fca depends on calcium, u and v on fluxes of calcium, the others on the voltage."""
        v, calcium = state[0], state[3]
        one = jnp.ones_like(v)
        m_open, m_close = 3.2 * over_expm1(-0.1 * (v + 47.13)), 0.08 * jnp.exp(-v / 11)
        h_open, h_close, j_open, j_close = _sodium_inactivation(v)
        activation = 0.65 / (jnp.exp(-(v + 10) / 8.5) + jnp.exp(-(v - 30) / 59)) + 0.65 / (2.5 + jnp.exp((v + 82) / 17))
        oi_rate = 1 / (18.53 + jnp.exp((v + 113.7) / 10.95)) + 1 / (35.56 + jnp.exp(-(v + 1.26) / 7.44))
        ui_rate = 1 / (21 + jnp.exp(-(v - 185) / 28)) + jnp.exp((v - 158) / 16)
        xr_rate = 0.0015 * over_expm1(-(v + 14.1) / 5) + 7.3898e-5 * 5.1237 * over_expm1((v - 3.3328) / 5.1237)
        xs_rate = 4e-5 * 17 * over_expm1(-(v - 19.9) / 17) + 3.5e-5 * 9 * over_expm1((v - 19.9) / 9)
        d_reduced, w_reduced = -(v + 10) / 6.24, -(v - 7.9) / 5
        flux = self._flux(state)
        steady = [
            m_open / (m_open + m_close),
            h_open / (h_open + h_close),
            j_open / (j_open + j_close),
            sigmoid((v + 20.47) / 17.54),
            sigmoid(-(v + 43.1) / 5.3),
            sigmoid((v + 30.3) / 9.6),
            sigmoid(-(v - 99.45) / 27.48),
            sigmoid((v + 14.1) / 6.5),
            jnp.sqrt(sigmoid((v - 19.9) / 12.7)),
            sigmoid((v + 10) / 8),
            sigmoid(-(v + 28) / 6.9),
            1 / (1 + calcium / 0.00035),
            sigmoid((flux - 341.75) / 1.367),
            sigmoid(-(flux - 68.35) / 1.367),
            sigmoid(-(v - 40) / 17),
        ]
        speed = [
            m_open + m_close,
            h_open + h_close,
            j_open + j_close,
            activation * self.acceleration,
            oi_rate * self.acceleration,
            activation * self.acceleration,
            ui_rate * self.acceleration,
            xr_rate,
            2 * xs_rate,
            0.035 * 6.24 * over_expm1(d_reduced) * (1 + jnp.exp(d_reduced)),
            (0.0197 * jnp.exp(-((0.0337 * (v + 10)) ** 2)) + 0.02) / 9,
            0.5 * one,
            0.125 * one,
            1 / (1.91 + 2.09 * sigmoid((flux - 341.75) / 1.367)),
            5 / 6 * over_expm1(w_reduced) * (1 + 0.3 * jnp.exp(w_reduced)),
        ]
        return stack_rows(steady), stack_rows(speed)

    def _release(self, state: Stacked) -> Cells:
        """Calcium that leaves its store, mmol/L of the store per ms."""
        calcium, store, u, v, w = state[3], state[5], state[18], state[19], state[20]
        return self.release_rate * u**2 * v * w * (store - calcium)

    def _flux(self, state: Stacked) -> Cells:
        """F_n of the paper in units of 1e-15: its own unit underflows where numbers are short."""
        i = self.currents(state)
        released = 1e3 * RELEASE * self.cell_volume * self._release(state)
        return released - 500 * self.capacitance / FARADAY * (0.5 * i["ICaL"] - 0.2 * i["INaCa"])


def _sodium_inactivation(v: Cells) -> tuple[Cells, Cells, Cells, Cells]:
    """Opening and closing rates of h and of j, 1/ms, which have one formula below -40 mV and another above."""
    # Each branch sees only voltages of its own: the other's exponentials would overflow, and spoil the gradient of the branch taken.
    low, high, below = jnp.minimum(v, -40.0), jnp.maximum(v, -40.0), v < -40
    h_open = 0.135 * jnp.exp(-(low + 80) / 6.8)
    h_low = 3.56 * jnp.exp(0.079 * low) + 3.1e5 * jnp.exp(0.35 * low)
    h_high = sigmoid((high + 10.66) / 11.1) / 0.13
    j_open = (-127140 * jnp.exp(0.2444 * low) - 3.474e-5 * jnp.exp(-0.04391 * low)) * (low + 37.78) * sigmoid(-0.311 * (low + 79.23))
    j_low = 0.1212 * jnp.exp(-0.01052 * low) * sigmoid(0.1378 * (low + 40.14))
    j_high = 0.3 * jnp.exp(-2.535e-7 * high) * sigmoid(0.1 * (high + 32))
    return jnp.where(below, h_open, 0.0), jnp.where(below, h_low, h_high), jnp.where(below, j_open, 0.0), jnp.where(below, j_low, j_high)
