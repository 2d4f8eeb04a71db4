"""The human ventricular cell ToR-ORd of Tomek et al. (2019), with dynamic chloride: endocardial, epicardial and mid-myocardial."""

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
from physics.ohara_rudy_gates import outward_gates, potassium_gates
from physics.parameters import arrays_of
from physics.tor_ord_gates import tor_ord_calcium_gates, tor_ord_rapid_channel, tor_ord_sodium_gates
from physics.tor_ord_parameters import TOR_ORD_2019_ENDO, TOR_ORD_2019_EPI, TOR_ORD_2019_MID, TOR_ORD_NAMES, TOR_ORD_START
from solvers import MarkovChain, stack_rows

FARADAY, GAS = 96.485, 8.314  # C/mmol and J/mol/K, as the model has them
CYTOSOL, NETWORK, JUNCTION, SUBSPACE = 0.68, 0.0552, 0.0048, 0.02  # shares of the cell's volume
CONDUCTANCES = {
    "INa": "sodium_conductance",
    "INaL": "late_sodium_conductance",
    "ICaL": "calcium_permeability",
    "IKr": "rapid_potassium_conductance",
    "IKs": "slow_potassium_conductance",
    "IK1": "inward_rectifier_conductance",
    "Ito": "transient_outward_conductance",
}
OPEN, FIRST_GATE = 15, 17


class TorOrd2019(CellModel):
    r"""Forty-five components: voltage, ten concentrations, trapped CaM kinase, five states of the channel of IKr, 26 gates, two of release.

    O'Hara and Rudy's model (:class:`physics.OHaraRudy2011`) with another fast sodium current, an L-type current that is split between
    subspace and cytosol and driven by activities instead of concentrations,

    $$\gamma_S = \exp\Bigl(-Az^2\bigl(\tfrac{\sqrt I}{1+\sqrt I} - 0.3I\bigr)\Bigr),\qquad I = \tfrac12\sum_S z_S^2S,$$

    another activation of it, a Markov model of IKr, $I_{K1} = g_{K1}\sqrt{K_o/5}\,\frac{a}{a+b}(V-E_K)$, and two currents of chloride,
    $I_{ClCa} = g_{ClCa}(V-E_{Cl,ss})/(1+K_d/Ca_{ss})$ and $I_{Clb} = g_{Clb}(V-E_{Cl})$, whose concentrations change.

    State: ``(45, *cells)`` in the order of :attr:`names`; V in mV, concentrations in mmol/L, release in mmol/L/ms, the rest from 0 to 1.
    Currents in A/F, time in ms. Good values: :data:`physics.TOR_ORD_2019_ENDO` and its siblings, by :meth:`published`; ``layer`` is the
    inactivation of Ito. The stimulus counts as potassium. The current of ATP-sensitive channels is left out: its share is zero.

    Its start is that of pacing at 1 Hz, endocardial. It fails outside of about -120 to 80 mV; the activation of the L-type current jumps
    at -40 mV by less than 1e-11 and bends at 31.5 mV, where order 2 is lost for a step. For the pump see
    :func:`physics.ohara_rudy_exchange.pumped`.

    Source: Tomek et al. (2019), *eLife* 8, e48890; Tomek, Bueno-Orovio, Rodriguez (2020), bioRxiv 2020.06.01.127043.
    """

    sodium_conductance: Scalar
    late_sodium_conductance: Scalar
    transient_outward_conductance: Scalar
    calcium_permeability: Scalar
    calcium_subspace_share: Scalar
    rapid_potassium_conductance: Scalar
    slow_potassium_conductance: Scalar
    inward_rectifier_conductance: Scalar
    calcium_chloride_conductance: Scalar
    calcium_chloride_constant: Scalar
    background_chloride_conductance: Scalar
    exchanger: Scalar
    exchanger_subspace_share: Scalar
    sodium_potassium_pump: Scalar
    background_potassium_conductance: Scalar
    background_sodium_permeability: Scalar
    background_calcium_permeability: Scalar
    calcium_pump: Scalar
    calcium_pump_constant: Scalar
    release_time: Scalar
    release_gain: Scalar
    release_factor: Scalar
    release_half_store: Scalar
    uptake: Scalar
    uptake_constant: Scalar
    leak_rate: Scalar
    transfer_time: Scalar
    ion_diffusion_time: Scalar
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
    outer_chloride: Scalar
    cell_length: Scalar
    cell_radius: Scalar
    temperature: Scalar
    layer: Literal["epi", "mid", "endo"] = eqx.field(static=True, default="endo")

    @classmethod
    def published(cls, layer: Literal["epi", "mid", "endo"] = "endo") -> "TorOrd2019":
        """The cell of one layer of the wall with the values of the papers."""
        sets = {"epi": TOR_ORD_2019_EPI, "mid": TOR_ORD_2019_MID, "endo": TOR_ORD_2019_ENDO}
        return cls(**arrays_of(sets[layer]), layer=layer)

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return TOR_ORD_NAMES

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("mV", *["mmol/L"] * 8, "1", *["mmol/L"] * 2, *["1"] * 31, *["mmol/L/ms"] * 2)

    def initial_state(self) -> Float[Array, " components"]:
        """Before a beat at 1 Hz."""
        return jnp.asarray(TOR_ORD_START, dtype=self.temperature.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """The first component."""
        return state[0]

    def front_time(self) -> Scalar:
        """See :class:`physics.CellModel`; measured on cables at spacings of 0.45, 0.9 and 1.2 sqrt(D ms), which gave 0.87, 0.84, 0.84."""
        return jnp.full_like(self.temperature, 0.85)

    def blocked(self, shares: dict[str, Scalar]) -> "TorOrd2019":
        """The cell with less of some currents, see :meth:`physics.OHaraRudy2011.blocked`."""
        return replace(self, **{CONDUCTANCES[name]: share * getattr(self, CONDUCTANCES[name]) for name, share in shares.items()})

    def currents(self, state: Stacked) -> dict[str, Cells]:
        """Every membrane current by its name in the papers, A/F; positive is outward, what is split has _i and _ss."""
        v, sodium, subsodium, potassium, subpotassium, calcium, subcalcium = state[:7]
        chloride, subchloride = state[10:12]
        m, h, j, hp, jp, m_late, h_late, h_late_p, a, i_f, i_s, ap, i_fp, i_sp = state[FIRST_GATE : FIRST_GATE + 14]
        d, ff, fs, fcaf, fcas, jca, nca_i, nca_ss, ffp, fcafp, xs1, xs2 = state[31:43]
        thermal, phi = self._thermal(), self._phosphorylated(state)
        reduced = v / thermal
        above = v - thermal * jnp.log(self.outer_potassium / potassium)
        e_sodium = thermal * jnp.log(self.outer_sodium / sodium)
        mixed = self.outer_potassium + 0.01833 * self.outer_sodium
        e_slow = thermal * jnp.log(mixed / (potassium + 0.01833 * sodium))
        quick = sigmoid(-(v - 213.6) / 151.2)
        outward = (1 - phi) * a * (quick * i_f + (1 - quick) * i_s) + phi * ap * (quick * i_fp + (1 - quick) * i_sp)
        quick = 0.3 + 0.6 * sigmoid(-(v - 10) / 10)
        free, bound = 0.6 * ff + 0.4 * fs, jca * (quick * fcaf + (1 - quick) * fcas)
        free_p, bound_p = 0.6 * ffp + 0.4 * fs, jca * (quick * fcafp + (1 - quick) * fcas)
        share = self.calcium_subspace_share
        active = self._activity(sodium, potassium, chloride, calcium)
        outside = self._activity(self.outer_sodium, self.outer_potassium, self.outer_chloride, self.outer_calcium)
        found = {}
        for place, ions, nca, part, inside in (
            ("i", (calcium, sodium, potassium), nca_i, 1 - share, active),
            ("ss", (subcalcium, subsodium, subpotassium), nca_ss, share, self._activity(subsodium, subpotassium, subchloride, subcalcium)),
        ):
            opened = (1 - phi) * (free * (1 - nca) + bound * nca) + 1.1 * phi * (free_p * (1 - nca) + bound_p * nca)
            permeable = self.calcium_permeability * d * opened * part
            found[f"ICaL_{place}"] = permeable * constant_field(2 * reduced, 2, inside**4 * ions[0], outside**4 * self.outer_calcium)
            found[f"ICaNa_{place}"] = 0.00125 * permeable * constant_field(reduced, 1, inside * ions[1], outside * self.outer_sodium)
            found[f"ICaK_{place}"] = 3.574e-4 * permeable * constant_field(reduced, 1, inside * ions[2], outside * self.outer_potassium)
        opening = 4.094 * sigmoid(-0.1217 * (above - 49.934))
        closing = 15.72 * jnp.exp(0.0674 * (above - 3.257)) + jnp.exp(0.0618 * (above - 594.31))
        rectified = opening / (opening + closing * sigmoid(0.1629 * (above + 14.207)))
        by_calcium = 1 + 0.6 / (1 + (3.8e-5 / calcium) ** 1.4)
        outer = (self.outer_sodium, self.outer_calcium)
        beside = self.exchanger_subspace_share
        return found | {
            "INa": self.sodium_conductance * (v - e_sodium) * m**3 * ((1 - phi) * h * j + phi * hp * jp),
            "INaL": self.late_sodium_conductance * (v - e_sodium) * m_late * ((1 - phi) * h_late + phi * h_late_p),
            "Ito": self.transient_outward_conductance * above * outward,
            "IKr": self.rapid_potassium_conductance * jnp.sqrt(self.outer_potassium / 5) * state[OPEN] * above,
            "IKs": self.slow_potassium_conductance * by_calcium * xs1 * xs2 * (v - e_slow),
            "IK1": self.inward_rectifier_conductance * jnp.sqrt(self.outer_potassium / 5) * rectified * above,
            "INaCa_i": (1 - beside) * self.exchanger * exchanged(v, thermal, sodium, calcium, *outer),
            "INaCa_ss": beside * self.exchanger * exchanged(v, thermal, subsodium, subcalcium, *outer),
            "INaK": self.sodium_potassium_pump * pumped(v, thermal, sodium, potassium, self.outer_sodium, self.outer_potassium),
            "INab": self.background_sodium_permeability * constant_field(reduced, 1, sodium, self.outer_sodium),
            "ICab": self.background_calcium_permeability
            * constant_field(2 * reduced, 2, active**4 * calcium, outside**4 * self.outer_calcium),
            "IKb": self.background_potassium_conductance * sigmoid((v - 10.8968) / 23.9871) * above,
            "IpCa": self.calcium_pump * calcium / (self.calcium_pump_constant + calcium),
            "IClCa": self.calcium_chloride_conductance
            / (1 + self.calcium_chloride_constant / subcalcium)
            * (v + thermal * jnp.log(self.outer_chloride / subchloride)),
            "IClb": self.background_chloride_conductance * (v + thermal * jnp.log(self.outer_chloride / chloride)),
        }

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        i, phi = self.currents(state), self._phosphorylated(state)
        _, sodium, subsodium, potassium, subpotassium, calcium, subcalcium, network, junction, trapped, chloride, subchloride = state[:12]
        area = 4 * 3.14 * self.cell_radius * (self.cell_radius + self.cell_length)  # cm^2, twice the geometric one
        # A/F to mmol/L/ms in the whole cell, for one charge: 1 uF/cm^2, volumes in uL.
        per_charge = area / (1e6 * 3.14 * self.cell_radius**2 * self.cell_length * FARADAY)
        pairs = ((subsodium, sodium), (subpotassium, potassium), (subchloride, chloride))
        sodium_flow, potassium_flow, chloride_flow = ((beside - inside) / self.ion_diffusion_time for beside, inside in pairs)
        calcium_flow = (subcalcium - calcium) / self.calcium_diffusion_time
        release = self.release_factor * ((1 - phi) * state[43] + phi * state[44])
        faster = (1 - phi) / (calcium + self.uptake_constant) + 2.75 * phi / (calcium + self.uptake_constant - 0.00017)
        taken = self.uptake * calcium * faster - self.leak_rate * network
        transfer = (network - junction) / self.transfer_time
        in_sodium = i["INa"] + i["INaL"] + i["INab"] + i["ICaNa_i"] + 3 * (i["INaCa_i"] + i["INaK"])
        in_potassium = i["Ito"] + i["IKr"] + i["IKs"] + i["IK1"] + i["IKb"] + i["ICaK_i"] - 2 * i["INaK"] - stimulus
        in_calcium = i["ICaL_i"] + i["IpCa"] + i["ICab"] - 2 * i["INaCa_i"]
        to_cytosol = -in_calcium * per_charge / 2 - taken * NETWORK + calcium_flow * SUBSPACE
        to_subspace = -(i["ICaL_ss"] - 2 * i["INaCa_ss"]) * per_charge / (2 * SUBSPACE) + release * JUNCTION / SUBSPACE - calcium_flow
        held = buffered(calcium, self.calmodulin, self.calmodulin_constant) + buffered(calcium, self.troponin, self.troponin_constant)
        sites = buffered(subcalcium, self.store_site, self.store_site_constant)
        sites = sites + buffered(subcalcium, self.membrane_site, self.membrane_site_constant)
        active = self._kinase(state)
        return stack_rows(
            [
                stimulus - sum(i.values()),
                (sodium_flow * SUBSPACE - in_sodium * per_charge) / CYTOSOL,
                -(i["ICaNa_ss"] + 3 * i["INaCa_ss"]) * per_charge / SUBSPACE - sodium_flow,
                (potassium_flow * SUBSPACE - in_potassium * per_charge) / CYTOSOL,
                -i["ICaK_ss"] * per_charge / SUBSPACE - potassium_flow,
                to_cytosol / CYTOSOL / (1 + held),
                to_subspace / (1 + sites),
                taken - transfer * JUNCTION / NETWORK,
                (transfer - release) / (1 + buffered(junction, self.calsequestrin, self.calsequestrin_constant)),
                self.kinase_binding * (active - trapped) * active - self.kinase_release * trapped,
                (chloride_flow * SUBSPACE + i["IClb"] * per_charge) / CYTOSOL,
                i["IClCa"] * per_charge / SUBSPACE - chloride_flow,
            ]
        )

    def channels(self, state: Stacked) -> MarkovChain:
        """States of the channel of IKr."""
        return tor_ord_rapid_channel(state[0] / self._thermal())

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`; the release follows the L-type current of the subspace."""
        v, calcium, subcalcium, junction = state[0], state[5], state[6], state[8]
        parts = [
            tor_ord_sodium_gates(v, self.late_sodium_inactivation_time),
            outward_gates(v, self.layer == "epi"),
            tor_ord_calcium_gates(v, state[36], calcium, subcalcium),
            tuple(part[:2] for part in potassium_gates(v, self.outer_potassium)),
        ]
        released = -0.5 * self.release_time * self.release_gain * self.currents(state)["ICaL_ss"]
        released = released / (1 + (self.release_half_store / junction) ** 8)
        lasting = [jnp.maximum(longer * self.release_time / (1 + 0.0123 / junction), 0.001) for longer in (1.0, 1.25)]
        steady = [one for part in parts for one in part[0]]
        constant = [one for part in parts for one in part[1]]
        return stack_rows([*steady, released, 1.25 * released]), 1 / stack_rows([*constant, *lasting])

    def _thermal(self) -> Scalar:
        return GAS * self.temperature / FARADAY

    def _kinase(self, state: Stacked) -> Cells:
        """Active share of CaM kinase: bound to calmodulin, or trapped."""
        return self.kinase_share * (1 - state[9]) / (1 + self.kinase_calcium_constant / state[6]) + state[9]

    def _phosphorylated(self, state: Stacked) -> Cells:
        active = self._kinase(state)
        return active / (active + self.kinase_half_phosphorylation)

    def _activity(self, sodium: Cells, potassium: Cells, chloride: Cells, calcium: Cells) -> Cells:
        """Activity coefficient of an ion of one charge; that of two charges is its fourth power (Debye and Hueckel, Davies' form)."""
        root = jnp.sqrt((sodium + potassium + chloride + 4 * calcium) / 2000)
        factor = 1.82e6 * (74 * self.temperature) ** -1.5
        return jnp.exp(-factor * (root / (1 + root) - 0.3 * root**2))
