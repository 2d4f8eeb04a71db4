"""The human ventricular cell of O'Hara, Virag, Varro and Rudy (2011): endocardial, epicardial and mid-myocardial."""

from dataclasses import replace
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float

from physics.calcium_buffer import buffered
from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.exponential_ratio import constant_field
from physics.ohara_rudy_exchange import exchanged, pumped
from physics.ohara_rudy_gates import calcium_gates, outward_gates, potassium_gates, rapid_potassium_gates, sodium_gates
from physics.ohara_rudy_parameters import (
    OHARA_RUDY_2011_ENDO,
    OHARA_RUDY_2011_EPI,
    OHARA_RUDY_2011_MID,
    OHARA_RUDY_NAMES,
    OHARA_RUDY_START,
)
from physics.parameters import arrays_of
from solvers import stack_rows

FARADAY, GAS = 96.485, 8.314  # C/mmol and J/mol/K, as the model has them
CYTOSOL, NETWORK, JUNCTION, SUBSPACE = 0.68, 0.0552, 0.0048, 0.02  # shares of the cell's volume
UNITS = ("mV", *["mmol/L"] * 8, "1")
CONDUCTANCES = {
    "INa": "sodium_conductance",
    "INaL": "late_sodium_conductance",
    "ICaL": "calcium_permeability",
    "IKr": "rapid_potassium_conductance",
    "IKs": "slow_potassium_conductance",
    "IK1": "inward_rectifier_conductance",
    "Ito": "transient_outward_conductance",
}
Layer = Literal["epi", "mid", "endo"]


class OHaraRudy2011(CellModel):
    r"""Forty-one components: voltage, eight concentrations, trapped CaM kinase, 29 gates of channels and two fluxes of release.

    $$\dot V = I_{st} - (I_{Na} + I_{NaL} + I_{to} + I_{CaL} + I_{CaNa} + I_{CaK} + I_{Kr} + I_{Ks} + I_{K1} + I_{NaCa,i} + I_{NaCa,ss}
    + I_{NaK} + I_{Nab} + I_{Cab} + I_{Kb} + I_{pCa})$$

    with $I_{Na} = g_{Na}m^3((1-\phi)hj + \phi h_pj_p)(V-E_{Na})$, $I_{NaL} = g_{NaL}m_L((1-\phi)h_L + \phi h_{Lp})(V-E_{Na})$,
    $I_{to} = g_{to}((1-\phi)ai + \phi a_pi_p)(V-E_K)$, $I_{Kr} = g_{Kr}\sqrt{K_o/5.4}\,x_rR_{Kr}(V-E_K)$,
    $I_{Ks} = g_{Ks}(1 + 0.6/(1+(3.8\cdot10^{-5}/Ca_i)^{1.4}))x_{s1}x_{s2}(V-E_{Ks})$, $I_{K1} = g_{K1}\sqrt{K_o}\,x_{K1}R_{K1}(V-E_K)$,
    and for calcium, sodium and potassium through the L-type channel a permeability times the constant-field flux

    $$\Psi_S = zF\frac{x}{e^x-1}(\gamma_{in}S_{ss}e^x - \gamma_{out}S_o),\qquad x = zVF/(RT),$$

    which is 0/0 at 0 mV and is evaluated by its series there, as are the background currents of sodium and calcium. $\phi$ is the share of
    channels that CaM kinase has phosphorylated; its activity is the one equation beside voltage and concentrations that is not linear in
    its own component. The binding of calcium (nca) and the fluxes of release relax linearly, so they are integrated as gates.

    State: ``(41, *cells)`` in the order of :attr:`names`; V in mV, concentrations in mmol/L, release in mmol/L/ms, the rest from 0 to 1.
    Currents in A/F, time in ms. Good values: :data:`physics.OHARA_RUDY_2011_ENDO` and its siblings, by :meth:`published`. Epicardial cells
    also have faster inactivation of Ito, which is no parameter but ``layer``. The stimulus counts as potassium.

    It fails outside of about -120 to 80 mV. The authors start from no steady state: hundreds of beats to settle, thousands for sodium and
    potassium. Its fast sodium current conducts poorly in tissue (a comment on the paper says so). For the pump see
    :func:`physics.ohara_rudy_exchange.pumped`. Explicit steps of calcium are stable up to some 0.1 ms.

    Source: O'Hara, Virag, Varro, Rudy (2011), *PLoS Comput Biol* 7, e1002061, text S1, whose pages the helpers name.
    """

    sodium_conductance: Scalar
    late_sodium_conductance: Scalar
    transient_outward_conductance: Scalar
    calcium_permeability: Scalar
    rapid_potassium_conductance: Scalar
    slow_potassium_conductance: Scalar
    inward_rectifier_conductance: Scalar
    exchanger: Scalar
    sodium_potassium_pump: Scalar
    background_potassium_conductance: Scalar
    background_sodium_permeability: Scalar
    background_calcium_permeability: Scalar
    calcium_pump: Scalar
    calcium_pump_constant: Scalar
    release_time: Scalar
    release_gain: Scalar
    uptake: Scalar
    uptake_constant: Scalar
    leak_rate: Scalar
    transfer_time: Scalar
    sodium_diffusion_time: Scalar
    potassium_diffusion_time: Scalar
    calcium_diffusion_time: Scalar
    late_sodium_inactivation_time: Scalar
    calmodulin: Scalar
    calmodulin_constant: Scalar
    troponin: Scalar
    troponin_constant: Scalar
    store_site: Scalar
    store_site_constant: Scalar
    membrane_site: Scalar
    membrane_site_constant: Scalar
    calsequestrin: Scalar
    calsequestrin_constant: Scalar
    kinase_binding: Scalar
    kinase_release: Scalar
    kinase_share: Scalar
    kinase_calcium_constant: Scalar
    kinase_half_phosphorylation: Scalar
    outer_sodium: Scalar
    outer_potassium: Scalar
    outer_calcium: Scalar
    cell_length: Scalar
    cell_radius: Scalar
    temperature: Scalar
    layer: Layer = eqx.field(static=True, default="endo")

    @classmethod
    def published(cls, layer: Layer = "endo") -> "OHaraRudy2011":
        """The cell of one layer of the wall with the values of the paper."""
        sets = {"epi": OHARA_RUDY_2011_EPI, "mid": OHARA_RUDY_2011_MID, "endo": OHARA_RUDY_2011_ENDO}
        return cls(**arrays_of(sets[layer]), layer=layer)

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return OHARA_RUDY_NAMES

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return (*UNITS, *["1"] * 29, *["mmol/L/ms"] * 2)

    def initial_state(self) -> Float[Array, " components"]:
        """The state from which the authors start, far from a steady one."""
        return jnp.asarray(OHARA_RUDY_START, dtype=self.temperature.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """The first component."""
        return state[0]

    def front_time(self) -> Scalar:
        """See :class:`physics.CellModel`; measured on cables at spacings of 0.45, 0.9 and 1.2 sqrt(D ms), which gave 0.52, 0.38, 0.32."""
        return jnp.full_like(self.temperature, 0.4)

    def currents(self, state: Stacked) -> dict[str, Cells]:
        """Every membrane current by its name in the paper, A/F; positive is outward."""
        v, fast, slow = state[0], state[10], state[11]
        share = sigmoid(-(v + 54.81) / 38.21)
        rectified = sigmoid(-(v + 55) / 75) * sigmoid(-(v - 10) / 30)
        return self.membrane(state[:10], state[12:], (share * fast + (1 - share) * slow) * rectified)

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        return self.pools(state[:10], state[12:], self.currents(state), stimulus)

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`; the release follows calcium, nca calcium and jca, the others the voltage."""
        steady, constant = rapid_potassium_gates(state[0])
        shared = self.kinetics(state[:10], state[12:], self.currents(state)["ICaL"])
        return stack_rows([*steady, *shared[0]]), 1 / stack_rows([*constant, *shared[1]])

    def blocked(self, shares: dict[str, Scalar]) -> "OHaraRudy2011":
        """The cell with less of some currents.

        Args:
            shares: Share of its channels that is left, by :data:`physics.CHANNELS`; that of calcium counts for all that it carries.
        """
        return replace(self, **{CONDUCTANCES[name]: share * getattr(self, CONDUCTANCES[name]) for name, share in shares.items()})

    def membrane(self, pools: Others, gates: Gates, rapid: Cells) -> dict[str, Cells]:
        """The currents from the pools, the shared gates and the open share of the channels of IKr."""
        v, sodium, subsodium, potassium, subpotassium, calcium, subcalcium = pools[:7]
        m, hf, hs, j, hsp, jp, m_late, h_late, h_late_p, a, i_f, i_s, ap, i_fp, i_sp = gates[:15]
        d, ff, fs, fcaf, fcas, jca, nca, ffp, fcafp, xs1, xs2, xk1 = gates[15:27]
        thermal = self._thermal()
        phi = self._phosphorylated(pools)
        above = v - thermal * jnp.log(self.outer_potassium / potassium)
        e_sodium = thermal * jnp.log(self.outer_sodium / sodium)
        mixed = self.outer_potassium + 0.01833 * self.outer_sodium
        e_slow = thermal * jnp.log(mixed / (potassium + 0.01833 * sodium))
        fast = (1 - phi) * (0.99 * hf + 0.01 * hs) * j + phi * (0.99 * hf + 0.01 * hsp) * jp
        quick = sigmoid(-(v - 213.6) / 151.2)
        outward = (1 - phi) * a * (quick * i_f + (1 - quick) * i_s) + phi * ap * (quick * i_fp + (1 - quick) * i_sp)
        quick = 0.3 + 0.6 * sigmoid(-(v - 10) / 10)
        free, bound = 0.6 * ff + 0.4 * fs, jca * (quick * fcaf + (1 - quick) * fcas)
        free_p, bound_p = 0.6 * ffp + 0.4 * fs, jca * (quick * fcafp + (1 - quick) * fcas)
        opened = (1 - phi) * (free * (1 - nca) + bound * nca) + 1.1 * phi * (free_p * (1 - nca) + bound_p * nca)
        permeable = self.calcium_permeability * d * opened
        rectified = sigmoid(-(v + 105.8 - 2.6 * self.outer_potassium) / 9.493)
        by_calcium = 1 + 0.6 / (1 + (3.8e-5 / calcium) ** 1.4)
        exchange = [exchanged(v, thermal, *pair, self.outer_sodium, self.outer_calcium) for pair in _both(pools)]
        cycles = pumped(v, thermal, sodium, potassium, self.outer_sodium, self.outer_potassium)
        reduced = v / thermal
        return {
            "INa": self.sodium_conductance * (v - e_sodium) * m**3 * fast,
            "INaL": self.late_sodium_conductance * (v - e_sodium) * m_late * ((1 - phi) * h_late + phi * h_late_p),
            "Ito": self.transient_outward_conductance * above * outward,
            "ICaL": permeable * constant_field(2 * reduced, 2, subcalcium, 0.341 * self.outer_calcium),
            "ICaNa": 0.00125 * permeable * constant_field(reduced, 1, 0.75 * subsodium, 0.75 * self.outer_sodium),
            "ICaK": 3.574e-4 * permeable * constant_field(reduced, 1, 0.75 * subpotassium, 0.75 * self.outer_potassium),
            "IKr": self.rapid_potassium_conductance * jnp.sqrt(self.outer_potassium / 5.4) * rapid * above,
            "IKs": self.slow_potassium_conductance * by_calcium * xs1 * xs2 * (v - e_slow),
            "IK1": self.inward_rectifier_conductance * jnp.sqrt(self.outer_potassium) * rectified * xk1 * above,
            "INaCa_i": 0.8 * self.exchanger * exchange[0],
            "INaCa_ss": 0.2 * self.exchanger * exchange[1],
            "INaK": self.sodium_potassium_pump * cycles,
            "INab": self.background_sodium_permeability * constant_field(reduced, 1, sodium, self.outer_sodium),
            "ICab": self.background_calcium_permeability * constant_field(2 * reduced, 2, calcium, 0.341 * self.outer_calcium),
            "IKb": self.background_potassium_conductance * sigmoid((v - 14.48) / 18.34) * above,
            "IpCa": self.calcium_pump * calcium / (self.calcium_pump_constant + calcium),
        }

    def pools(self, pools: Others, gates: Gates, i: dict[str, Cells], stimulus: Float[Array, "#*cells"]) -> Others:
        """Change per ms of the pools (pages 16 to 18)."""
        _, sodium, subsodium, potassium, subpotassium, calcium, subcalcium, network, junction, trapped = pools
        phi = self._phosphorylated(pools)
        area = 4 * 3.14 * self.cell_radius * (self.cell_radius + self.cell_length)  # cm^2, twice the geometric one
        # A/F to mmol/L/ms in the whole cell, for one charge: 1 uF/cm^2, volumes in uL.
        per_charge = area / (1e6 * 3.14 * self.cell_radius**2 * self.cell_length * FARADAY)
        sodium_flow = (subsodium - sodium) / self.sodium_diffusion_time
        potassium_flow = (subpotassium - potassium) / self.potassium_diffusion_time
        calcium_flow = (subcalcium - calcium) / self.calcium_diffusion_time
        release = (1 - phi) * gates[27] + phi * gates[28]
        faster = (1 - phi) / (calcium + self.uptake_constant) + 2.75 * phi / (calcium + self.uptake_constant - 0.00017)
        taken = self.uptake * calcium * faster - self.leak_rate * network
        transfer = (network - junction) / self.transfer_time
        in_sodium = i["INa"] + i["INaL"] + i["INab"] + 3 * (i["INaCa_i"] + i["INaK"])
        in_potassium = i["Ito"] + i["IKr"] + i["IKs"] + i["IK1"] + i["IKb"] - 2 * i["INaK"] - stimulus
        in_calcium = i["IpCa"] + i["ICab"] - 2 * i["INaCa_i"]
        to_cytosol = -in_calcium * per_charge / 2 - taken * NETWORK + calcium_flow * SUBSPACE
        to_subspace = -(i["ICaL"] - 2 * i["INaCa_ss"]) * per_charge / (2 * SUBSPACE) + release * JUNCTION / SUBSPACE - calcium_flow
        held = buffered(calcium, self.calmodulin, self.calmodulin_constant) + buffered(calcium, self.troponin, self.troponin_constant)
        sites = buffered(subcalcium, self.store_site, self.store_site_constant)
        sites = sites + buffered(subcalcium, self.membrane_site, self.membrane_site_constant)
        active = self._kinase(pools)
        return stack_rows(
            [
                stimulus - sum(i.values()),
                (sodium_flow * SUBSPACE - in_sodium * per_charge) / CYTOSOL,
                -(i["ICaNa"] + 3 * i["INaCa_ss"]) * per_charge / SUBSPACE - sodium_flow,
                (potassium_flow * SUBSPACE - in_potassium * per_charge) / CYTOSOL,
                -i["ICaK"] * per_charge / SUBSPACE - potassium_flow,
                to_cytosol / CYTOSOL / (1 + held),
                to_subspace / (1 + sites),
                taken - transfer * JUNCTION / NETWORK,
                (transfer - release) / (1 + buffered(junction, self.calsequestrin, self.calsequestrin_constant)),
                self.kinase_binding * (active - trapped) * active - self.kinase_release * trapped,
            ]
        )

    def kinetics(self, pools: Others, gates: Gates, calcium_current: Cells) -> tuple[list[Cells], list[Cells]]:
        """Steady states and time constants (ms) of the shared gates."""
        v, subcalcium, junction = pools[0], pools[6], pools[8]
        parts = [
            sodium_gates(v, self.late_sodium_inactivation_time),
            outward_gates(v, self.layer == "epi"),
            calcium_gates(v, gates[20], subcalcium),
            potassium_gates(v, self.outer_potassium),
        ]
        released = -0.5 * self.release_time * self.release_gain * calcium_current / (1 + (1.5 / junction) ** 8)
        lasting = jnp.maximum(self.release_time / (1 + 0.0123 / junction), 0.001)
        lasting_p = jnp.maximum(1.25 * self.release_time / (1 + 0.0123 / junction), 0.001)
        steady = [one for part in parts for one in part[0]]
        constant = [one for part in parts for one in part[1]]
        return [*steady, released, 1.25 * released], [*constant, lasting, lasting_p]

    def _thermal(self) -> Scalar:
        return GAS * self.temperature / FARADAY

    def _kinase(self, pools: Others) -> Cells:
        """Active share of CaM kinase: bound to calmodulin, or trapped."""
        return self.kinase_share * (1 - pools[9]) / (1 + self.kinase_calcium_constant / pools[6]) + pools[9]

    def _phosphorylated(self, pools: Others) -> Cells:
        active = self._kinase(pools)
        return active / (active + self.kinase_half_phosphorylation)


def _both(pools: Others) -> tuple[tuple[Cells, Cells], tuple[Cells, Cells]]:
    """Sodium and calcium in the cytosol and in the subspace."""
    return (pools[1], pools[5]), (pools[2], pools[6])
