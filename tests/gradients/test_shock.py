"""Gradient of what a shock leaves of a re-entry, through the whole run, against central differences; energies; refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cardiac._defibrillation import Defibrillation, _Runner
from experiments.cardiac._spiral_sheet import SpiralSheet
from physics import Shock, patches
from tests.problems import number, quick_jit


def turning():
    """A spiral put on a small sheet by hand: phases of the cell's own cycle round its middle."""
    sheet = SpiralSheet("aliev_panfilov", 16.0, 1.0, 0.2, 0.01, (0.1, 0.0, 1))
    x = sheet.x - 8.0
    angle = np.arctan2(x[None, :], x[:, None]).reshape(-1)
    state = jnp.asarray(np.stack([0.5 + 0.5 * np.cos(angle), 1.0 + np.sin(angle)]) * np.asarray(sheet.grid.mask).reshape(1, -1))
    return sheet, state


@pytest.mark.slow
def test_gradient_of_the_remaining_activity_against_central_differences():
    sheet, state = turning()
    shocks = Defibrillation(sheet, np.asarray(state), 3, 4.0, 2, 40.0)
    runner = _Runner(sheet, shocks.regions, shocks.times)
    amplitudes = jnp.asarray(np.random.default_rng(0).uniform(0.0, 1.5, shocks.shape))
    excited = quick_jit(lambda a: runner.excited(a, shocks.state, shocks.mesh))
    assert 0.1 < float(excited(amplitudes)) < 0.95
    gradient = shocks.slope(np.asarray(amplitudes))
    for patch, interval in ((0, 0), (1, 2), (3, 1)):
        ahead, behind = (float(excited(amplitudes.at[patch, interval].add(sign * 1e-4))) for sign in (1, -1))
        difference = (ahead - behind) / 2e-4
        assert abs(difference) > 1e-5
        assert gradient[patch, interval] == pytest.approx(difference, rel=1e-6)


@pytest.mark.slow
def test_a_batch_of_shocks_is_each_shock():
    sheet, state = turning()
    shocks = Defibrillation(sheet, np.asarray(state), 2, 4.0, 1, 20.0)
    batch = np.array([[[0.0, 0.0]], [[2.0, -1.0]]])
    together, _ = shocks.activity(batch)
    alone = [shocks.activity(one[None])[0][0] for one in batch]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_the_energy_is_the_integral_of_the_squared_current():
    sheet, _ = turning()
    regions = patches(sheet.grid, 2)
    assert regions.shape == (4, 256) and float(regions.sum()) == float(sheet.grid.mask.sum())
    shock = Shock(regions, jnp.arange(12.0).reshape(4, 3), [0.0, 1.0, 3.0, 7.0])
    by_hand = sum(length * float((shock.current(number(time)) ** 2).mean()) for time, length in ((0.0, 1.0), (1.0, 2.0), (3.0, 4.0)))
    assert float(shock.energy()) == pytest.approx(by_hand, rel=1e-12)
    assert shock.edges() == [0.0, 1.0, 3.0, 7.0]
    assert not np.asarray(shock.current(number(7.0))).any() and not np.asarray(shock.current(number(-0.1))).any()
    assert float(jax.grad(lambda a: Shock(regions, a, [0.0, 1.0, 3.0, 7.0]).energy())(shock.amplitudes)[0, 0]) == 0.0


def test_refused_in_one_line():
    sheet, _ = turning()
    for make, expected in (
        (lambda: Shock(patches(sheet.grid, 1), jnp.ones((1, 2)), [0.0, 1.0]), "one per patch and interval"),
        (lambda: Shock(patches(sheet.grid, 1), jnp.ones((1, 2)), [0.0, 2.0, 1.0]), "increasing"),
        (lambda: patches(sheet.grid, 17), "1 to 16"),
    ):
        with pytest.raises(ValueError, match=expected) as caught:
            make()
        assert str(caught.value).startswith("got ") and "\n" not in str(caught.value)
