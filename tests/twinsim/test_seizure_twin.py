"""The twin of seizures: its filter written out against the general one, gradients, and recovery of what made the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.neuro._seizure_baselines import cycles_survival, fitted_cycles, multidien_period, poisson_survival
from physics import NoisyFold
from twinsim import seizure_twin
from twinsim.assimilation import ExtendedKalmanFilter, Gate
from twinsim.assimilation.extended_kalman import NormalBelief
from twinsim.assimilation.linearised_step import NormalState
from twinsim.assimilation.stream_model import equal_ensemble
from twinsim.seizure_twin import (
    CYCLE_SIZE,
    NAMES,
    SeizureRecord,
    filtered,
    fit_twins,
    forecast_survival,
    hazard_table,
    log_evidence,
    twin_of,
)


def _record(intervals=120, seed=0):
    generator = np.random.default_rng(seed)
    times = 2.0 * (1 + np.arange(intervals))
    seizure = (generator.uniform(size=intervals) < 0.05).astype(float)
    readings = np.stack([generator.normal(0, 0.3, intervals), generator.normal(3.5, 0.5, intervals), seizure], axis=1)
    present = np.stack([np.arange(intervals) % 7 > 0, np.arange(intervals) % 5 > 0, np.ones(intervals, bool)], axis=1)
    return SeizureRecord(times, readings, present)


@pytest.mark.slow
def test_the_evidence_is_that_of_the_general_filter():
    twin, record = twin_of(jnp.full(len(NAMES), 0.1), 2.0, 480.0), _record()
    method = ExtendedKalmanFilter(Gate(limit=np.inf))
    size = jnp.asarray([0.0, 0.0, 1.0, CYCLE_SIZE, CYCLE_SIZE]) * jnp.where(jnp.arange(5) == 2, twin.wander, 1.0)
    belief, total = NormalBelief(NormalState(jnp.zeros(5), jnp.diag(size**2)), jnp.asarray(0.0)), 0.0

    @jax.jit
    def heard(belief, time, values, mask):
        return method.update(twin, belief, time, values, mask, jax.random.key(0))

    for time, values, there in zip(record.times, record.readings, record.present, strict=True):
        for channel in range(2):  # one after the other: the second at the same time
            mask = jnp.asarray([channel == 0, channel == 1, False]) & there
            belief, said = heard(belief, jnp.asarray(time), jnp.asarray(values), mask)
            total = total + said.log_evidence
        log_hazard = twin.log_hazard(belief.state.mean)
        total = total + jnp.where(values[2] > 0.5, log_hazard, 0.0) - jnp.exp(log_hazard) * 2.0
        after = jnp.where(values[2] > 0.5, twin.after_seizure, belief.state.mean[1])
        belief = NormalBelief(NormalState(belief.state.mean.at[1].set(after), belief.state.covariance), belief.time)
    own = log_evidence(twin, jnp.asarray(record.times), jnp.asarray(record.readings), jnp.asarray(record.present))
    assert own == pytest.approx(float(total), rel=1e-9)


@pytest.mark.slow
def test_the_gradient_of_the_evidence_is_that_of_central_differences():
    record = _record(40)
    data = (jnp.asarray(record.times), jnp.asarray(record.readings), jnp.asarray(record.present))

    @jax.jit
    def evidence(white):
        return log_evidence(twin_of(white, 2.0, 480.0), *data)

    white = jnp.asarray(np.random.default_rng(1).normal(0, 0.3, len(NAMES)))
    slope = jax.grad(evidence)(white)
    for place in range(len(NAMES)):
        unit = jnp.zeros(len(NAMES)).at[place].set(1e-4)
        central = (8 * (evidence(white + unit) - evidence(white - unit)) - evidence(white + 2 * unit) + evidence(white - 2 * unit)) / 12e-4
        assert abs(slope[place] - central) < 1e-6 * (1 + abs(slope[place])), NAMES[place]


def _drawn(twin, intervals, seed):
    """A record of the twin itself, by its own laws."""
    generator, state = np.random.default_rng(seed), jnp.asarray([0.0, 0.0, 0.0, CYCLE_SIZE, 0.0])

    def step(state, given):
        noise, uniform, errors = given
        state = twin.advance(state, twin.interval, twin.interval, noise)
        seen = twin.predict(state)
        seizure = uniform < -jnp.expm1(-seen[2])
        reading = jnp.stack([seen[0] + twin.power_error * errors[0], seen[1] + twin.spikes_error * errors[1], seizure * 1.0])
        state = state.at[1].set(jnp.where(seizure, twin.after_seizure, state[1]))
        return state, reading

    given = (generator.normal(size=(intervals, 3)), generator.uniform(size=intervals), generator.normal(size=(intervals, 2)))
    _, readings = jax.lax.scan(step, state, jax.tree.map(jnp.asarray, given))
    return SeizureRecord(2.0 * (1 + np.arange(intervals)), np.asarray(readings), np.ones((intervals, 3), bool))


@pytest.mark.slow
def test_fit_recovers_what_made_the_record_and_forecasts_are_calibrated():
    truth = twin_of(jnp.zeros(len(NAMES)).at[1].set(1.5), 2.0, 480.0)
    record = _drawn(truth, 1800, 5)
    white, losses = fit_twins([record], np.array([450.0]), steps=100)
    fit = twin_of(jnp.asarray(white[0]), 2.0, 450.0)
    assert losses[-1, 0] < losses[0, 0]
    assert float(fit.period) == pytest.approx(480.0, rel=0.1)
    assert float(fit.spikes_error) == pytest.approx(float(truth.spikes_error), rel=0.1)
    assert float(fit.spikes) == pytest.approx(3.5, abs=0.3)
    assert abs(multidien_period(record) - 480.0) < 100
    ensemble = filtered(truth, record, 200, 0)
    at = np.arange(200, 1700, 3)
    survival, times = forecast_survival(truth, jax.tree.map(lambda leaf: leaf[at], ensemble), 0, 24.0, 50)
    onsets = record.times[record.readings[:, 2] > 0.5]
    came = np.array([((onsets > record.times[k]) & (onsets <= record.times[k] + 24)).any() for k in at])
    assert onsets.size > 20
    said = 1 - survival[:, -1]
    assert abs(said.mean() - came.mean()) < 0.06
    high = said > np.median(said)
    assert came[high].mean() > came[~high].mean() + 0.1 and times[-1] == 24


@pytest.mark.slow
def test_survival_without_disturbances_is_the_integral_of_the_hazard(monkeypatch):
    monkeypatch.setattr(seizure_twin, "mirrored", lambda key, count, particles: jnp.zeros((count, 3, particles)))
    twin = twin_of(jnp.zeros(len(NAMES)).at[1].set(2.0), 2.0, 480.0)  # a daily cycle
    ensemble = equal_ensemble(jnp.zeros((4, 5)), 0.0)
    batch = jax.tree.map(lambda leaf: leaf[None], ensemble)
    survival, _ = forecast_survival(twin, batch, 0, 48.0, 4)
    hours = jnp.linspace(0, 48, 481)
    rate = jnp.exp(jax.jit(jax.vmap(lambda hour: twin.log_hazard(jnp.zeros(5).at[0].set(hour))))(hours))
    exact = np.exp(-np.trapezoid(rate, hours))
    assert survival[0, -1] == pytest.approx(exact, rel=0.005)  # of a two-hour trapezoid
    fold = NoisyFold(twin.noise, jnp.asarray(2.0), jnp.asarray(1 / 3600))
    distance = jnp.linspace(-0.04, 0.3, 997)
    near = hazard_table(fold)(distance)
    assert np.abs(near / jnp.minimum(fold.rate(distance), np.exp(7.0)) - 1).max() < 1e-3
    assert np.abs(near / fold.rate(distance) - 1)[np.asarray(distance) > 0.03].max() < 5e-5


def test_a_cycle_of_risk_is_found_by_the_regression():
    generator, times = np.random.default_rng(4), 2.0 * (1 + np.arange(6000))
    rate = np.exp(-3.5 + 1.0 * np.cos(2 * np.pi * (times - 1) / 24) - 0.8 * np.sin(2 * np.pi * (times - 1) / 480))
    seizure = (generator.uniform(size=times.size) < 2 * rate).astype(float)
    record = SeizureRecord(times, np.stack([0 * times, 0 * times, seizure], axis=1), np.ones((times.size, 3), bool))
    weights = fitted_cycles(record, 480.0)
    assert np.abs(weights - [-3.5, 1.0, 0.0, 0.0, -0.8]).max() < 0.25
    grid = np.arange(0, 50, 2.0)
    survival = cycles_survival(weights, 480.0, np.array([0.0, 12.0]), grid)
    assert survival.shape == (2, 25) and (np.diff(survival, axis=1) < 0).all() and survival[0, 3] < survival[1, 3]
    assert poisson_survival(record, 2, grid)[1, 5] == pytest.approx(np.exp(-10 * (seizure.sum() + 0.5) / 12_000))
