"""Published changes with age, what they make of the closed loop, and its exact slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.arterial_ageing import PUBLISHED_AGE, aged_compliance, pressures_of
from twinsim.ageing_loop import MEAN, OUTPUT, PULSE, elasticities, read_of, solved, stiffened, young_levers, youngest


def test_tables_are_read_between_their_ages_and_held_beyond():
    velocity = PUBLISHED_AGE["pulse_wave_velocity"]
    assert float(velocity.at(25)) == 6.0 and float(velocity.at(80)) == 10.1
    assert float(velocity.at(50)) == pytest.approx((6.8 + 7.5) / 2)
    # the tenth percentile of a normal distribution lies 1.2816 deviations below its median
    assert velocity.middle[5] - velocity.low[5] == pytest.approx((10.1 - 7.6) / 1.2816)
    assert float(PUBLISHED_AGE["pulse_pressure"].deviation(75)) == pytest.approx(7)
    for name, table in PUBLISHED_AGE.items():
        assert len({len(part) for part in table[:4]}) == 1, name
        assert (
            np.all(np.diff(table.ages) > 0) and np.all(np.array(table.low) < table.middle) and np.all(np.array(table.high) > table.middle)
        )
        assert table.source and table.unit


def test_mean_pressures_lie_a_third_to_a_half_between_diastole_and_systole():
    """Three published rows that were taken from different columns of a table agree with each other."""
    low, high, mean, pulse = (
        np.array(PUBLISHED_AGE[f"{name}_pressure"].middle, float) for name in ("diastolic", "systolic", "mean", "pulse")
    )
    np.testing.assert_allclose(high - low, pulse, atol=2.1)
    assert np.all((mean - low) / pulse > 0.3) and np.all((mean - low) / pulse < 0.55)


def test_compliance_falls_with_the_square_of_the_velocity_and_grows_with_the_area():
    assert float(aged_compliance(2.0, 1.0, 8.0, 1.0, 4.0, 1.0)) == pytest.approx(0.5)
    assert float(aged_compliance(2.0, 1.0, 4.0, 1.5, 4.0, 1.0)) == pytest.approx(3.0)
    assert float(aged_compliance(2.0, 0.5, 8.0, 1.0, 4.0, 1.0)) == pytest.approx(1.25)
    assert float(aged_compliance(2.0, 0.0, 99.0, 9.0, 4.0, 1.0)) == 2.0


def test_pressures_of_a_triangle():
    read = pressures_of(jnp.array([80.0, 120.0, 80.0]), jnp.array([0.0, 0.3, 0.9]))
    np.testing.assert_allclose(read, [120, 80, 40, 100])


@pytest.fixture(scope="module")
def young():
    return jax.jit(youngest)(jnp.asarray(25.0))


def test_the_youngest_has_the_published_pressures_and_output(young):
    wanted = [float(PUBLISHED_AGE[name].at(25.0)) for name in ("pulse_pressure", "mean_pressure", "cardiac_output")]
    np.testing.assert_allclose(young.read[jnp.array([PULSE, MEAN, OUTPUT])], wanted, rtol=1e-9)
    assert int(young.status) == 0
    # Windkessel: mean pressure over output is the resistance, up to the venous pressure behind it.
    behind = 89 - float(young.levers[1]) * 6600 / 60
    assert 5 < behind < 40


@pytest.mark.slow
def test_slopes_agree_with_differences(young):
    levers = young.levers
    slopes = np.asarray(jax.jit(elasticities)(levers))
    read = jax.jit(read_of)
    for column in range(len(levers)):
        step = 1e-5
        up, down = (levers.at[column].multiply(float(np.exp(sign * step))) for sign in (1, -1))
        difference = (read(up) - read(down)) / (2 * step)
        np.testing.assert_allclose(slopes[:, column], difference, rtol=2e-6, atol=1e-6 * float(np.abs(slopes).max()))
    assert slopes[PULSE, 0] < 0 < slopes[0, 1]


@pytest.mark.slow
def test_stiffness_alone_raises_the_top_and_lowers_the_bottom(young):
    stiff = jax.jit(stiffened)(young, 0.7 * young.levers[0])
    assert stiff.read[0] > young.read[0] + 2 and stiff.read[1] < young.read[1] - 2
    assert stiff.read[MEAN] == pytest.approx(float(young.read[MEAN]), rel=0.02)


@pytest.mark.slow
def test_what_no_heart_gives_is_said():
    lost = jax.jit(lambda levers: solved(levers, (1, 3), (MEAN, OUTPUT), jnp.array([200.0, 60.0])))(young_levers())
    assert not float(lost.missing) < 1e-6
