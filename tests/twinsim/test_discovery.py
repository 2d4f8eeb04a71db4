"""Finding laws: each step against what it must give on exact data, noise, and data that cannot tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from physics import AnalyticClosure, Variable, check_closure
from tests.problems import slope
from twinsim.closures import PerceptronClosure
from twinsim.closures.courses import rollout
from twinsim.discovery import (
    Course,
    SparseRegression,
    TermLibrary,
    UniversalLaw,
    difference_rows,
    fit_universal,
    identify,
    identify_with_saturation,
    predicted,
    refine,
    ridge,
    thresholded_ridge,
    weak_rows,
)
from twinsim.discovery.in_solver import cut
from twinsim.errors import InputError

STATES = (Variable("prey", "1"), Variable("predator", "1"))
RATES = (Variable("dprey", "1"), Variable("dpredator", "1"))
TRUE = np.array([[0, 1.1, 0, 0, -0.4, 0], [0, 0, -0.4, 0, 0.1, 0]])
LIBRARY = TermLibrary.polynomial(("prey", "predator"), 2)


def rate(_, x):
    return [1.1 * x[0] - 0.4 * x[0] * x[1], 0.1 * x[0] * x[1] - 0.4 * x[1]]


def courses(samples, noise, seed=0, starts=((10.0, 5.0), (5.0, 2.0), (3.0, 4.0)), duration=15.0):
    random = np.random.default_rng(seed)
    made = []
    for start in starts:
        times = np.linspace(0, duration, samples)
        times[1:-1] += random.uniform(-0.3, 0.3, samples - 2) * duration / samples
        clean = solve_ivp(rate, (0, duration), start, "DOP853", times, rtol=1e-10, atol=1e-11).y.T
        made.append(Course(times, clean + noise * clean.std(axis=0) * random.standard_normal(clean.shape)))
    return made


def test_terms_are_what_their_names_say():
    library = TermLibrary.polynomial(("a", "b"), 2, pairs=((0, 1), (-1, 0)), half=(2.0, 3.0))
    assert library.names == ("1", "a", "b", "a^2", "a b", "b^2", "a b/(2 + b)", "a/(3 + a)")
    a, b = 1.5, -0.5
    np.testing.assert_allclose(library(jnp.asarray([a, b])), [1, a, b, a * a, a * b, b * b, a * b / (2 + b), a / (3 + a)], rtol=1e-14)
    assert library(jnp.ones((2, 3, 4))).shape == (8, 3, 4) and library.column("a b") == 4


def test_ridge_is_the_normal_equation_and_its_errors_are_those_of_draws():
    random = np.random.default_rng(0)
    columns, true = random.normal(size=(200, 4)) * [1, 10, 0.1, 3], np.array([1.0, -0.2, 5.0, 0.0])
    weight = random.uniform(0.5, 2.0, 200)
    found = []
    for _ in range(400):
        target = columns @ true + random.normal(size=200) / np.sqrt(weight)
        theta, error = ridge(columns, target, 0.0, weight)
        found.append(theta)
    exact = np.linalg.solve(columns.T @ (weight[:, None] * columns), columns.T @ (weight * target))
    np.testing.assert_allclose(theta, exact, rtol=1e-6)
    np.testing.assert_allclose(error, np.std(found, axis=0), rtol=0.15)
    one = np.ones((5, 1))
    assert ridge(one, np.full(5, 2.0), 1.0)[0][0] == pytest.approx(1.0)  # a relative strength of one halves


def test_thresholding_keeps_the_right_columns_whatever_their_units():
    random = np.random.default_rng(1)
    columns = random.normal(size=(300, 30)) * 10.0 ** random.integers(-3, 4, 30)
    true = np.zeros(30)
    true[[2, 7, 19]] = np.array([1.0, -2.0, 0.5]) / columns.std(axis=0)[[2, 7, 19]]
    fit = thresholded_ridge(columns, columns @ true + 0.5 * random.standard_normal(300), 4.0)
    assert np.flatnonzero(fit.kept).tolist() == [2, 7, 19]
    assert set(np.argsort(-fit.score)[:3]) == {2, 7, 19}
    np.testing.assert_allclose(fit.coefficients[fit.kept] / true[fit.kept], 1.0, atol=0.15)
    nothing = thresholded_ridge(columns, random.standard_normal(300), 6.0)
    assert not nothing.kept.any() and not nothing.coefficients.any()


def test_the_weak_form_is_exact_on_exact_data():
    """Coefficients converge as the spline between samples does; nothing is left at the end but that."""
    errors = []
    counts = (40, 80, 160, 320)
    for count in counts:
        rows = weak_rows(courses(count, 0.0), LIBRARY, 3.0)
        theta = np.stack([ridge(rows.columns, rows.targets[:, k], 0.0)[0] for k in range(2)])
        errors.append(np.abs(theta - TRUE).max())
    assert errors[-1] < 2e-4 and slope([1 / count for count in counts], errors) > 2.5, errors


@pytest.mark.slow
def test_a_law_is_found_at_five_per_cent_noise_and_the_solver_makes_it_better():
    data = courses(60, 0.05, seed=3)
    weak = identify(weak_rows(data, LIBRARY, 2.5), LIBRARY, STATES, RATES).closure
    found = refine(weak, data)
    assert (np.array(found.closure.active) == (TRUE != 0)).all(), found.closure.equations
    off = np.abs(np.asarray(found.closure.coefficients) - TRUE)
    assert off.max() < 0.02 and (off[TRUE != 0] < 4 * found.errors[TRUE != 0]).all()
    assert off.max() < np.abs(np.asarray(weak.coefficients) - TRUE).max()
    plain = identify(difference_rows(data, LIBRARY), LIBRARY, STATES, RATES).closure
    assert off.max() < 0.5 * np.abs(np.asarray(plain.coefficients) - TRUE).max()
    check_closure(found.closure, STATES, RATES)
    assert "prey predator" in found.closure.equations[0]
    beyond = np.linspace(0, 25, 60)
    truth = solve_ivp(rate, (0, 25), (16.0, 3.0), "DOP853", beyond, rtol=1e-10, atol=1e-11).y.T
    assert np.sqrt(((predicted(found.closure, np.array([16.0, 3.0]), beyond) - truth) ** 2).mean() / truth.var()) < 0.3


@pytest.mark.slow
def test_a_missing_term_is_asked_for():
    """Prey that also immigrate, and a first law that does not know it."""
    random, data = np.random.default_rng(4), []
    for start in ((10.0, 5.0), (5.0, 2.0), (3.0, 4.0)):
        times = np.sort(random.uniform(0, 15, 60))
        clean = solve_ivp(lambda t, x: [rate(t, x)[0] + 0.3, rate(t, x)[1]], (0, 15), start, "DOP853", times, rtol=1e-10).y.T
        data.append(Course(times, clean + 0.002 * clean.std(axis=0) * random.standard_normal(clean.shape)))
    active = tuple(map(tuple, (TRUE != 0).tolist()))
    first = SparseRegression(jnp.asarray(TRUE), LIBRARY, STATES, RATES, active)
    without, found = refine(first, data, additions=0), refine(first, data)
    assert without.moves == () and found.moves[0].startswith("+ ")
    assert found.criterion < without.criterion and found.misfit < 0.5 * without.misfit
    assert found.closure.active[0][0] and float(found.closure.coefficients[0, 0]) == pytest.approx(0.3, abs=0.03)


def test_a_half_saturation_is_found():
    def saturating(_, x):
        return [0.8 * x[0] - 1.5 * x[0] / (1.2 + x[0])]

    made = []
    for start in (0.3, 0.8, 1.1, 2.0):
        times = np.linspace(0, 2.5, 40)
        made.append(Course(times, solve_ivp(saturating, (0, 2.5), [start], "DOP853", times, rtol=1e-10).y.T))
    library = TermLibrary.polynomial(("x",), 1, pairs=((-1, 0),))
    one = identify_with_saturation(made, library, np.array([0.3, 0.7, 1.5, 3.0]), 0.8, (STATES[0],), (RATES[0],)).closure
    found = refine(one, [Course(c.times, c.values + 1e-3 * np.random.default_rng(0).standard_normal(c.values.shape)) for c in made])
    assert float(found.closure.library.half[0]) == pytest.approx(1.2, rel=0.05)


@pytest.mark.slow
def test_rollout_has_exact_gradients():
    windows, starts = cut(courses(20, 0.05), 5)

    @jax.jit
    def loss(coefficients, start):
        law = SparseRegression(coefficients, LIBRARY, STATES, RATES, tuple(map(tuple, (TRUE != 0).tolist())))
        return (((rollout(law, start, windows.spans, windows.limit) - windows.values) * windows.weights) ** 2).sum()

    at = (jnp.asarray(TRUE), jnp.asarray(starts))
    gradient = jax.grad(loss, (0, 1))(*at)
    way = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(0).normal(size=leaf.shape)), at)
    h = 1e-6
    sides = [loss(*jax.tree.map(lambda leaf, one, sign=sign: leaf + sign * h * one, at, way)) for sign in (1, -1)]
    along = sum(float((one * other).sum()) for one, other in zip(gradient, way, strict=True))
    assert along == pytest.approx(float(sides[0] - sides[1]) / (2 * h), rel=1e-6)


@pytest.mark.slow
def test_a_network_takes_the_place_of_what_is_not_known():
    data = courses(40, 0.03, seed=5)
    known = AnalyticClosure(lambda p, x: jnp.stack([p[0] * x[0], p[1] * x[1]]), jnp.asarray([1.1, -0.4]), STATES, RATES)
    samples = (
        jnp.asarray(np.concatenate([c.values for c in data]).T),
        jnp.asarray(np.array([[8.0], [2.0]]) * np.tile([-1.0, 1.0], 60)[None]),
    )
    terms = (Variable("eaten", "1"), Variable("born", "1"))
    network = PerceptronClosure.create(0, STATES, terms, samples=samples, hidden=(8,))
    law = UniversalLaw(known, network, jnp.eye(2))
    fit = fit_universal(law, data, steps=300, learning_rate=0.02)
    assert fit.status == 0 and fit.losses[-1] < 0.1 * fit.losses[0]
    at = jnp.asarray([[5.0, 8.0], [3.0, 2.0]])
    truth = np.stack([-0.4 * at[0] * at[1], 0.1 * at[0] * at[1]])
    np.testing.assert_allclose(fit.law.unknown(at), truth, rtol=0.3, atol=0.3)
    np.testing.assert_array_equal(fit.law.known.parameters, [1.1, -0.4])  # what is known is not trained


def test_wrong_input_is_one_line():
    with pytest.raises(InputError, match="increasing times"):
        Course(np.array([0.0, 1, 1, 2, 3, 4, 5, 6]), np.zeros((8, 1)))
    with pytest.raises(InputError, match="shorten the bumps"):
        weak_rows(courses(20, 0.0), LIBRARY, 100.0)
    with pytest.raises(InputError, match="positive densities"):
        TermLibrary.polynomial(("a",), 1, pairs=((0, 0),), half=0.0)
    with pytest.raises(InputError, match="one of 1, prey"):
        LIBRARY.column("pray")
    with pytest.raises(InputError, match="at least one term"):
        refine(SparseRegression(jnp.zeros((2, 6)), LIBRARY, STATES, RATES, ((False,) * 6,) * 2), courses(20, 0.0))
    with pytest.raises(InputError, match="correct into"):
        UniversalLaw(None, PerceptronClosure.create(0, STATES, RATES), jnp.ones((1, 2)))
