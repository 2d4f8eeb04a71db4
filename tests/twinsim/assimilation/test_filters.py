"""Every method against the exact filter of a linear problem, and against a fine grid where the problem is not linear."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.problems import quick_jit
from tests.twinsim.assimilation.filtering import (
    PRIOR_COVARIANCE,
    PRIOR_MEAN,
    DoubleWell,
    Oscillator,
    exact,
    filter_program,
    filtered,
    grid_filter,
    prior_members,
)
from twinsim.assimilation import (
    EnsembleKalmanFilter,
    EnsembleKalmanSmoother,
    ExtendedKalmanFilter,
    FixedLagSmoother,
    Gate,
    LocalisedEnsembleFilter,
    NormalBelief,
    NormalState,
    ParticleFilter,
    PerturbedObservations,
    SquareRoot,
    equal_ensemble,
    gaspari_cohn,
)

OPEN = Gate(limit=float("inf"), action="flag")
MODEL = Oscillator(jnp.asarray(0.1))
PRIOR = NormalState(jnp.asarray(PRIOR_MEAN), jnp.asarray(PRIOR_COVARIANCE))
EVERYWHERE = LocalisedEnsembleFilter(jnp.zeros((2, 3)), jnp.zeros((1, 3)), half_width=1.0, gate=OPEN)
ENSEMBLES = {
    "square root": EnsembleKalmanFilter(SquareRoot(), gate=OPEN),
    "perturbed observations": EnsembleKalmanFilter(PerturbedObservations(), gate=OPEN),
    "particles": ParticleFilter(gate=OPEN),
    "localised": EVERYWHERE,
}


def ensemble_error(method, count, seeds=(2,)):
    """Root mean square error of the filtered mean, in exact standard deviations, over the record."""
    truth = exact()
    deviation = np.sqrt(np.diagonal(truth["covariance"], axis1=1, axis2=2))
    look = lambda belief: belief.mean  # noqa: E731
    errors, run = [], filter_program(method, MODEL, look)
    for seed in seeds:
        _, (means, _) = run(equal_ensemble(prior_members(count), 0.0), seed)
        errors.append((np.asarray(means) - truth["mean"]) / deviation)
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.parametrize("name", ENSEMBLES)
@pytest.mark.slow
def test_an_ensemble_converges_to_the_exact_filter(name):
    """With 3200 members the mean is exact to some hundredths of a deviation; importance weights are noisier than Kalman gains."""
    assert ensemble_error(ENSEMBLES[name], 3200) < (0.07 if name == "particles" else 0.045)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENSEMBLES)
def test_the_order_of_convergence_of_an_ensemble_is_one_half(name):
    sizes = (50, 200, 800, 3200)
    errors = [ensemble_error(ENSEMBLES[name], size, range(8)) for size in sizes]
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.12)


@pytest.mark.slow
def test_extended_filter_and_fixed_lag_smoother_are_exact_for_a_linear_problem():
    truth = exact()
    belief = NormalBelief(PRIOR, jnp.asarray(0.0))
    _, (states, said) = filtered(ExtendedKalmanFilter(gate=OPEN), MODEL, belief, lambda b: b.state)
    np.testing.assert_allclose(states.mean, truth["mean"], atol=1e-12)
    np.testing.assert_allclose(states.covariance, truth["covariance"], atol=1e-12)
    assert float(said.log_evidence.sum()) == pytest.approx(float(truth["evidence"]), rel=1e-12)
    method = FixedLagSmoother(lag=5, iterations=1, gate=OPEN)
    last, (states, said) = filtered(method, MODEL, method.begin(MODEL, PRIOR, 0.0, 1), lambda b: b.now)
    np.testing.assert_allclose(states.mean, truth["mean"], atol=1e-10)
    np.testing.assert_allclose(states.covariance, truth["covariance"], atol=1e-10)
    np.testing.assert_allclose(last.path, truth["smooth"][-5:], atol=1e-10)
    assert float(said.log_evidence.sum()) == pytest.approx(float(truth["evidence"]), rel=1e-10)


def test_the_ensemble_smoother_converges_to_the_exact_smoother():
    truth = exact()["smooth"][-6:]
    method = EnsembleKalmanSmoother(lag=6, gate=OPEN)
    start = method.begin(equal_ensemble(prior_members(2000), 0.0))
    last, _ = filtered(method, MODEL, start, lambda b: b.times)
    assert np.abs(np.asarray(last.past.mean(1)) - truth).max() < 0.03
    # What is not smoothed is farther away by several times: later readings matter here.
    assert np.abs(exact()["mean"][-6:] - truth)[:-1].max() > 0.1


def test_one_analysis_of_every_square_root_form_is_the_kalman_update_of_the_ensemble():
    """To round-off: mean and covariance of the members, several channels at once, one of them absent."""
    rng = np.random.default_rng(0)
    members, h = jnp.asarray(rng.normal(size=(7, 4))), rng.normal(size=(3, 4))

    class Still(Oscillator):
        def advance(self, state, start, length, noise):
            return state

        def predict(self, state):
            return jnp.asarray(h) @ state

        def error(self, predicted):
            return jnp.array([0.5, 1.0, 2.0])

    values, mask = jnp.array([0.3, 9.9, -1.0]), jnp.array([True, False, True])
    used, error = np.array([0, 2]), np.diag([0.25, 4.0])
    mean, covariance, seen = np.asarray(members).mean(0), np.cov(np.asarray(members).T), h[used]
    gain = covariance @ seen.T @ np.linalg.inv(seen @ covariance @ seen.T + error)
    wide = LocalisedEnsembleFilter(jnp.zeros((4, 3)), jnp.zeros((3, 3)), half_width=float("inf"), gate=OPEN)
    for method in (EnsembleKalmanFilter(SquareRoot(), gate=OPEN), wide):
        start = equal_ensemble(members, 0.0)
        update = quick_jit(lambda e, m=method: m.update(Still(jnp.zeros(())), e, jnp.ones(()), values, mask, jax.random.key(0)))
        after, _ = update(start)
        np.testing.assert_allclose(np.asarray(after.members).mean(0), mean + gain @ (np.asarray(values)[used] - seen @ mean), atol=1e-12)
        np.testing.assert_allclose(np.cov(np.asarray(after.members).T), covariance - gain @ seen @ covariance, atol=1e-12)


def test_particles_converge_to_the_fine_grid_where_the_problem_is_not_linear():
    times = np.arange(1, 21) * 0.15
    values = np.concatenate([np.full(8, -0.9), np.linspace(-0.9, 1.1, 4), np.full(8, 1.0)])[:, None]
    truth = grid_filter(times, values)
    members = jnp.asarray(np.random.default_rng(0).normal(size=(4000, 1)))
    data = (times, values, np.ones_like(values, dtype=bool))
    look = lambda b: (b.mean[0], b.deviation[0])  # noqa: E731
    _, ((means, deviations), _) = filtered(ParticleFilter(gate=OPEN), DoubleWell(), equal_ensemble(members, 0.0), look, data=data)
    assert np.abs(np.asarray(means) - truth[:, 0]).max() < 0.05
    assert np.abs(np.asarray(deviations) - truth[:, 1]).max() < 0.05


@pytest.mark.slow
def test_the_evidence_is_differentiable():
    """The derivative of the log evidence with respect to a leaf of the model, against central differences."""
    belief = NormalBelief(PRIOR, jnp.asarray(0.0))

    def evidence(damping):
        _, (_, said) = filtered(ExtendedKalmanFilter(gate=OPEN), Oscillator(damping), belief, lambda b: b.time)
        return said.log_evidence.sum()

    value, slope = jax.jvp(evidence, (jnp.asarray(0.1),), (jnp.ones(()),))
    difference = (evidence(jnp.asarray(0.1 + 1e-5)) - evidence(jnp.asarray(0.1 - 1e-5))) / 2e-5
    assert float(slope) == pytest.approx(float(difference), rel=1e-6)
    assert float(value) == pytest.approx(float(exact()["evidence"]), rel=1e-12)


@pytest.mark.parametrize("action", ["flag", "weigh", "skip"])
def test_the_gate_flags_and_holds_back_what_nobody_expected(action):
    outlier, used, factor = Gate(4.0, action).judge(jnp.array([0.5, -16.0, 99.0]), jnp.array([True, True, False]))
    assert outlier.tolist() == [False, True, False]
    assert used.tolist() == [True, action != "skip", False]
    assert factor.tolist() == [1.0, 2.0 if action == "weigh" else 1.0, 1.0]


def test_jitter_keeps_mean_and_covariance_of_the_parameters():
    rng = np.random.default_rng(1)
    cloud = jnp.asarray(rng.normal(size=(20000, 2)) @ np.array([[1.0, 0.8], [0.0, 0.5]]) + np.array([3.0, -1.0]))
    method = ParticleFilter(parameters=(0, 1), discount=0.95)
    after = method._renewed(MODEL, equal_ensemble(cloud, 0.0), jax.random.key(0), jax.random.key(1)).members
    np.testing.assert_allclose(after.mean(0), cloud.mean(0), atol=0.02)
    np.testing.assert_allclose(np.cov(np.asarray(after).T), np.cov(np.asarray(cloud).T), atol=0.03)
    assert np.unique(np.asarray(after), axis=0).shape[0] == 20000


def test_the_taper_is_smooth_and_ends_at_twice_its_half_width():
    distance = jnp.linspace(0.0, 3.0, 301)
    taper = np.asarray(gaspari_cohn(distance, 1.0))
    assert taper[0] == 1 and (taper[200:] == 0).all() and (np.diff(taper[:201]) < 0).all()
    assert np.abs(np.diff(taper, 2)).max() < 5e-4
    assert taper[100] == pytest.approx(5 / 24, rel=1e-12)
    matrix = gaspari_cohn(jnp.abs(distance[:, None] - distance[None]), 1.0)
    assert np.linalg.eigvalsh(np.asarray(matrix)).min() > -1e-9


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gate(limit=0.0),
        lambda: EnsembleKalmanFilter(inflation=0.9),
        lambda: EnsembleKalmanFilter(relaxation=1.0),
        lambda: EnsembleKalmanSmoother(lag=0),
        lambda: FixedLagSmoother(iterations=0),
        lambda: ParticleFilter(discount=0.5),
        lambda: ParticleFilter(threshold=0.0),
        lambda: LocalisedEnsembleFilter(jnp.zeros((2, 3)), jnp.zeros((1, 3)), half_width=0.0),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(make):
    with pytest.raises(Exception, match=r"got .*; expected .*; do: "):
        make()
