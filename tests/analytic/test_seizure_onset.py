"""Times at which regions begin to seize, and their derivatives."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.neuro import seizure_spread
from physics import onset_times, synthetic_connectome


@pytest.mark.slow
def test_crossings_are_of_order_three():
    errors = []
    gaps = [0.2, 0.1, 0.05, 0.025]
    for gap in gaps:
        times = gap * jnp.arange(1, round(6 / gap))
        waves = jnp.stack([jnp.sin(times - 2.0 - 0.03 * k) for k in range(7)], axis=1)
        exact = 2.0 + 0.03 * np.arange(7) + np.arcsin(0.3)
        errors.append(float(jnp.abs(onset_times(times, waves, 0.3) - exact).max()))
    assert np.polyfit(np.log(gaps), np.log(errors), 1)[0] >= 2.8


def test_no_onset_is_infinite_and_the_first_one_counts():
    times = jnp.arange(40.0)
    found = onset_times(times, jnp.stack([jnp.sin(times), jnp.full(40, -3.0), jnp.cos(times)], axis=1), 0.5)
    assert found[0] == pytest.approx(np.arcsin(0.5), abs=0.3) or found[0] == pytest.approx(2 * np.pi + np.arcsin(0.5), abs=0.1)
    assert np.isinf(found[1]) and found[2] == pytest.approx(2 * np.pi - np.pi / 3, abs=0.1)
    assert np.isfinite(jax.grad(lambda shift: jnp.where(jnp.isfinite(found), onset_times(times, jnp.stack(
        [jnp.sin(times + shift), jnp.full(40, -3.0), jnp.cos(times)], axis=1), 0.5), 0).sum())(0.0))  # fmt: skip


@pytest.mark.slow
def test_derivatives_of_onsets_against_central_differences():
    config = dataclasses.replace(seizure_spread.Config(), duration_ms=500.0, slow_time_ms=300.0, coupling=6.0)
    connectome = synthetic_connectome(6, 3).scaled()
    x0 = jnp.asarray([-1.8, -2.0, -2.1, -2.1, -2.15, -2.2])

    def onsets(given: jax.Array) -> jax.Array:
        return onset_times(*seizure_spread._simulated(config, connectome, given[:-1], given[-1]))

    at = jnp.concatenate([x0, jnp.asarray([config.coupling])])
    seizing = np.isfinite(np.asarray(onsets(at)))
    assert seizing.sum() >= 3
    exact = np.asarray(jax.jacfwd(onsets)(at))[seizing]
    for place in range(7):
        away = jnp.zeros(7).at[place].set(1e-5)
        difference = np.asarray((onsets(at + away) - onsets(at - away)) / 2e-5)[seizing]
        np.testing.assert_allclose(exact[:, place], difference, rtol=1e-4, atol=1e-4 * np.abs(exact).max())
