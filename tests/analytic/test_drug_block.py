"""Pore block and binding of drugs: their closed forms, without a drug, and gradients where powers are 0/0."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from physics import CHANNELS, HergBinding, OHaraRudyCipa2017, PoreBlock, net_current
from tests.problems import number, quick_jit

DOFETILIDE = HergBinding(*(number(value) for value in (35.1, 1.816e-5, 1.08, 216.6, -1.0, 3.5e-5, 6.0)))


def test_half_of_the_channels_are_open_at_the_half_concentration():
    block = PoreBlock(jnp.asarray([100.0, jnp.inf, 50.0, 1e9, 100.0, 100.0, 1.0]), jnp.asarray([1.0, 1.0, 2.0, 0.5, 3.0, 0.7, 1.0]))
    shares = block.open_shares(number(100.0))
    assert list(shares) == list(CHANNELS)
    np.testing.assert_allclose([shares[name] for name in ("INa", "INaL", "ICaL", "IKs", "Ito")], [0.5, 1.0, 0.2, 0.5, 1 / 101], rtol=1e-14)
    np.testing.assert_array_equal(list(block.open_shares(number(0.0)).values()), 1.0)
    slope = jax.grad(lambda c: sum(block.open_shares(c).values()))
    assert np.isfinite(slope(number(0.0))) and slope(number(100.0)) < 0


def test_binding_is_the_published_rate_and_nothing_without_a_drug():
    expected = 35.1 * 1.816e-5 * 6.0**1.08 / (6.0**1.08 + 216.6)
    np.testing.assert_allclose(DOFETILIDE.binding(), expected, rtol=1e-14)
    np.testing.assert_array_equal(HergBinding.none().binding(), 0.0)
    assert np.isfinite(jax.grad(lambda c: replace(DOFETILIDE, concentration=c).binding())(number(0.0)))


def test_held_channels_come_to_the_balance_of_binding():
    """Without trapping, bound over free is binding over unbinding, and both bound states are equally full; the sum stays."""
    drug = replace(DOFETILIDE, unbinding=number(1e-3), trapping=number(0.0))
    cell = replace(OHaraRudyCipa2017.published(), drug=drug)
    held = cell.initial_state().at[0].set(20.0)
    chain, shares = cell.channels(held), held[10:19]
    shares = quick_jit(lambda p: jax.lax.fori_loop(0, 400, lambda _, p: chain.advance(p, number(100.0), 2), p))(shares)
    state = {name: float(share) for name, share in zip(cell.names[10:19], shares, strict=True)}
    np.testing.assert_allclose(sum(state.values()), float(held[10:19].sum()), rtol=1e-11)
    np.testing.assert_allclose(state["Obound"] / state["O"], float(drug.binding()) / 1e-3, rtol=1e-6)
    np.testing.assert_allclose(state["IObound"], state["Obound"], rtol=1e-6)


def test_a_dosed_cell_has_less_of_each_current():
    cell = OHaraRudyCipa2017.published()
    block = PoreBlock(jnp.full(7, 10.0), jnp.ones(7))
    dosed = cell.dosed(block.open_shares(number(30.0)), DOFETILIDE)
    state = cell.initial_state().at[0].set(10.0).at[jnp.arange(19, 46)].set(0.5)
    before, after = cell.currents(state), dosed.currents(state)
    for name in CHANNELS:
        np.testing.assert_allclose(after[name] / before[name], 0.25, rtol=1e-12)
    np.testing.assert_allclose(net_current(after) / net_current(before), 0.25, rtol=1e-12)
    np.testing.assert_array_equal(after["INaK"], before["INaK"])
