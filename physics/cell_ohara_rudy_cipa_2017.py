"""The human ventricular cell of the CiPA initiative (2017): O'Hara and Rudy's, with a hERG channel that drugs bind to."""

from dataclasses import replace

import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float

from physics.cell_model import CellModel, Cells, Gates, Others, Scalar, Stacked
from physics.cell_ohara_rudy_2011 import Layer, OHaraRudy2011
from physics.drug_block import HergBinding
from physics.ohara_rudy_cipa_parameters import (
    CIPA_2017_FACTORS,
    CIPA_2017_NAMES,
    CIPA_2017_START,
    HERG_LI_2017,
    HERG_STATES,
)
from solvers import MarkovChain, stack_rows

NUMBER = {name: index for index, name in enumerate(HERG_STATES)}
POOLS, OPEN, FIRST_GATE = 10, 10 + NUMBER["O"], 10 + len(HERG_STATES)
BOUND = (("O", "Obound"), ("Obound", "O"), ("IO", "IObound"), ("IObound", "IO"))
TRAPPED = (("Cbound", "Obound"), ("Obound", "Cbound"), ("Cbound", "IObound"), ("IObound", "Cbound"))
PAIRS = tuple((NUMBER[source], NUMBER[target]) for source, target in (*HERG_LI_2017, *BOUND, *TRAPPED))


class OHaraRudyCipa2017(CellModel):
    r"""Forty-eight components: those of O'Hara and Rudy (2011), with nine states of the hERG channel instead of two gates.

    $$I_{Kr} = g_{Kr}\sqrt{K_o/5.4}\,O\,(V-E_K),\qquad \dot p_i = \sum_j(r_{ji}(V)p_j - r_{ij}(V)p_i),\qquad
    r = A e^{BV} q^{(T-20)/10}$$

    with four states $C_1, C_2, IC_1, IC_2$ closed, $O$ open and $IO$ inactivated; $O$ and $IO$ bind a drug, and the closed channel traps it
    (:class:`physics.HergBinding`). The drug leaves $IO$ at such a rate that both bound states are equally full where nothing moves.
    Five conductances are rescaled (:data:`physics.ohara_rudy_cipa_parameters.CIPA_2017_FACTORS`).

    State: ``(48, *cells)`` in the order of :attr:`names`. The states of the channel add up to one; rates of up to 230/ms between them are
    no limit to the step, as they take an implicit one. Good values: :meth:`published`. Its start is steady at a cycle of 2000 ms
    without a drug, for endocardial cells; the other layers start there too. Fails as O'Hara and Rudy's does.

    Source: Li et al. (2017), *Circ Arrhythm Electrophysiol* 10, e004628 (channel); Dutta et al. (2017), *Front Physiol* 8, 616 (scale);
    Chang et al. (2017), *Front Physiol* 8, 917; values as in the public code of FDA/CiPA, not read in print.
    """

    ventricle: OHaraRudy2011
    transitions: Float[Array, "transitions 3"]
    celsius: Scalar
    drug: HergBinding

    @classmethod
    def published(cls, layer: Layer = "endo") -> "OHaraRudyCipa2017":
        """The cell with the values of the papers, without a drug."""
        ventricle = OHaraRudy2011.published(layer)
        scaled = {name: factor * getattr(ventricle, name) for name, factor in CIPA_2017_FACTORS.items()}
        table = jnp.asarray(list(HERG_LI_2017.values()), dtype=float)
        return cls(replace(ventricle, **scaled), table, jnp.asarray(37.0, dtype=float), HergBinding.none())

    def dosed(self, shares: dict[str, Scalar], drug: HergBinding) -> "OHaraRudyCipa2017":
        """The cell with a drug: pores blocked at once (see :meth:`physics.OHaraRudy2011.blocked`), hERG by binding."""
        return replace(self, ventricle=self.ventricle.blocked(shares), drug=drug)

    @property
    def names(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return CIPA_2017_NAMES

    @property
    def units(self) -> tuple[str, ...]:
        """See :class:`physics.CellModel`."""
        return ("mV", *["mmol/L"] * 8, *["1"] * 37, *["mmol/L/ms"] * 2)

    def initial_state(self) -> Float[Array, " components"]:
        """Before a beat of steady pacing every 2000 ms."""
        return jnp.asarray(CIPA_2017_START, dtype=self.celsius.dtype)

    def millivolts(self, state: Stacked) -> Cells:
        """The first component."""
        return state[0]

    def front_time(self) -> Scalar:
        """See :class:`physics.CellModel`; measured at spacings of 0.45 and 0.9 sqrt(D ms): 0.54, 0.32; blocked at 1.2."""
        return self.ventricle.front_time()

    def currents(self, state: Stacked) -> dict[str, Cells]:
        """Every membrane current by its name in the papers, A/F; positive is outward."""
        return self.ventricle.membrane(state[:POOLS], state[FIRST_GATE:], state[OPEN])

    def others(self, state: Stacked, stimulus: Float[Array, "#*cells"]) -> Others:
        """See :class:`physics.CellModel`."""
        return self.ventricle.pools(state[:POOLS], state[FIRST_GATE:], self.currents(state), stimulus)

    def gates(self, state: Stacked) -> tuple[Gates, Gates]:
        """See :class:`physics.CellModel`."""
        steady, constant = self.ventricle.kinetics(state[:POOLS], state[FIRST_GATE:], self.currents(state)["ICaL"])
        return stack_rows(steady), 1 / stack_rows(constant)

    def channels(self, state: Stacked) -> MarkovChain:
        """States of the hERG channel, without and with a drug."""
        v, drug = state[0], self.drug
        warmer = (self.celsius - 20) / 10
        rates = {pair: row[0] * row[2] ** warmer * jnp.exp(row[1] * v) for pair, row in zip(HERG_LI_2017, self.transitions, strict=True)}
        bind, leave = jnp.broadcast_to(drug.binding(), v.shape), jnp.broadcast_to(drug.unbinding, v.shape)
        held = jnp.broadcast_to(drug.trapping, v.shape)
        freed = drug.trapping * sigmoid((v - drug.trapping_voltage) / 6.789)
        leave_inactivated = leave * rates["O", "IO"] / rates["IO", "O"]
        bound = [bind, leave, bind, leave_inactivated, freed, held, freed, held]
        return MarkovChain(stack_rows([*rates.values(), *bound]), PAIRS)
