"""Interactions of cells from counts: each step against exact data, and both models with the same care on hidden systems."""

from functools import cache

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CellPopulations
from solvers import simulate, time_mesh
from twinsim.cell_composition import read_composition
from twinsim.errors import InputError
from twinsim.populations.composition_series import CompositionSeries, counted
from twinsim.populations.gradient_matching import integral_rows, match_gradients
from twinsim.populations.trajectory_fit import (
    Courses,
    FreePopulations,
    Samples,
    best_misfit,
    fit_trajectories,
    forecast,
    misfit,
    rollout,
    windows,
)
from twinsim.populations.type_network import TypeNetwork, fit_network_to_gains, with_new_types
from twinsim.ranking import average_precision, precision_recall

TYPES = 8


@cache
def hidden(saturation=1.0):
    """A small community with rest at ones, and cultures of it without noise."""
    random = np.random.default_rng(0)
    largest = np.where(random.random((TYPES, TYPES)) < 0.25, random.choice([-0.8, 0.8], (TYPES, TYPES)), 0.0)
    np.fill_diagonal(largest, 0.0)
    effect = largest * (1 + saturation) / 2
    pull = random.uniform(0.5, 1.0, TYPES)
    growth = pull - (effect / (1 + saturation)).sum(axis=1)
    parts = growth, pull, effect, np.full((1, TYPES), saturation), np.zeros(TYPES)
    populations = CellPopulations(*(jnp.asarray(part) for part in parts))
    days = np.concatenate([[0.0], np.cumsum(np.linspace(0.2, 0.8, 9))])
    start = jnp.asarray(random.normal(size=(TYPES, 24)) * 0.9)
    states = simulate(populations.stepper(), start, time_mesh(0.0, list(days[1:]), 0.05)).states
    courses = np.exp(np.concatenate([np.asarray(start)[None], np.asarray(states)]))
    return populations, np.tile(days, (24, 1)), np.moveaxis(courses, 2, 0), largest != 0


def series(depth=1_000_000, saturation=1.0, error=0.005):
    _, days, densities, _ = hidden(saturation)
    return counted(days, densities, depth, error, 0)


def test_counts_have_the_variance_that_is_said():
    _, days, densities, _ = hidden()
    many = np.stack([np.log(counted(days, densities, 20_000, 0.03, seed).densities()) for seed in range(60)])
    one = counted(days, densities, 20_000, 0.03, 0)
    ratio = many.var(axis=0) / one.log_variances()
    assert np.median(ratio) == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(np.log(one.reference()), np.log(densities).mean(axis=(0, 1)), atol=0.02)


def test_average_precision_by_hand():
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(np.ones(4), truth) == pytest.approx(0.5)  # ties say nothing: chance
    assert np.isnan(average_precision(np.ones(2), np.zeros(2, bool)))
    recall, precision = precision_recall(np.array([1.0, 3.0, 3.0, 2.0]), truth)
    assert recall.tolist() == [0.5, 0.5, 1.0] and precision.tolist() == [0.5, 1 / 3, 0.5]
    random = np.random.default_rng(0)
    assert average_precision(random.random(4000), random.random(4000) < 0.1) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(("effects", "saturation"), [("saturating", 1.0), ("lotka_volterra", 0.0)])
def test_the_integral_form_holds_for_the_truth(effects, saturation):
    """Gains are what the true equations integrate to, to the error of the curve between samples."""
    populations, _, densities, _ = hidden(saturation)
    data = series(10**9, saturation, 1e-4)
    rows = integral_rows(data, np.full(TYPES, saturation), np.ones(TYPES))
    strength = np.asarray(populations.effect) / (1 + saturation)
    expected = rows.span[:, None] * np.asarray(populations.growth) - rows.own * np.asarray(populations.crowding) + rows.others @ strength.T
    assert np.abs(expected - rows.gain).mean() < 0.01 * np.abs(rows.gain).mean() + 2e-3
    assert densities.shape == data.densities().shape


def test_interactions_are_recovered_and_sparse_is_exact():
    populations, _, _, linked = hidden()
    off = ~np.eye(TYPES, dtype=bool)
    # The reference is that of the truth's saturation, so that only noise and curves err.
    fit = match_gradients(series(), "saturating", sparse=True, reference=np.ones(TYPES))
    assert average_precision(fit.score[off], linked[off]) > 0.99
    np.testing.assert_allclose(fit.strength, np.asarray(populations.effect) / 2, atol=0.08)
    np.testing.assert_allclose(fit.crowding, populations.crowding, rtol=0.1)
    dense = match_gradients(series(), "saturating", reference=np.ones(TYPES))
    assert average_precision(dense.score[off], linked[off]) > 0.95
    own = match_gradients(series(1_000_000, 0.0), "lotka_volterra", sparse=True, reference=np.ones(TYPES))
    np.testing.assert_allclose(own.strength, np.asarray(hidden(0.0)[0].effect), atol=0.08)


@pytest.mark.slow
def test_fits_inside_the_solver_come_nearer_and_saturation_wins_where_it_is_true():
    _, _, densities, _ = hidden()
    data = series(20_000, error=0.02)
    train, test = data.some(np.arange(16)), data.some(np.arange(16, 24))
    clean = np.log(densities[16:])
    errors = {}
    for effects in ("lotka_volterra", "saturating"):
        first = match_gradients(train, effects, sparse=True)
        errors[effects] = [error_of(first.populations(), test, clean, np.ones(TYPES))]
        fit = fit_trajectories(train, FreePopulations.from_fit(first), steps=60, horizons=(3, 9))
        assert fit.status == 0 and fit.losses[-1] < fit.losses[60]
        model = fit.courses.model
        double = jax.tree.map(lambda leaf: leaf.astype(float), model.populations())
        errors[effects].append(error_of(double, test, clean, np.asarray(model.reference, dtype=float)))
    assert errors["saturating"][1] < 0.6 * errors["lotka_volterra"][1], errors
    assert errors["saturating"][1] <= errors["saturating"][0] * 1.05, errors


def error_of(populations, test, clean, unit):
    course, exploded = forecast(populations, np.log(test.densities()[:, 0] / unit), test.days)
    assert not exploded.any()
    return float(np.sqrt(((course + np.log(unit) - clean)[:, 1:] ** 2).mean()))


@pytest.mark.slow
def test_the_misfit_is_the_likelihood_and_its_gradient_exact():
    populations, days, densities, _ = hidden()
    samples = Samples.of(series(), float)
    log = jnp.asarray(np.log(np.moveaxis(densities, 0, 2)))
    exact = misfit(log, jnp.ones(TYPES), samples) - best_misfit(samples)
    values = densities.size - densities.shape[0] * densities.shape[1]  # shares and one total per sample, minus nothing fitted
    assert float(exact) == pytest.approx(0.5 * (values + days.size), rel=0.15)
    model = FreePopulations(
        populations.growth, jnp.log(populations.crowding), populations.effect / 2, jnp.zeros(TYPES), jnp.ones(TYPES)
    )  # fmt: skip
    at = Courses(model, log[0])
    samples = Samples.of(series(300), float)

    @jax.jit
    def loss(courses):
        return misfit(rollout(courses.model.populations(), courses.start, samples.spans), courses.model.reference, samples)

    gradient = jax.grad(loss)(at)
    random = np.random.default_rng(1)
    way = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), at)
    h = 1e-6
    sides = [loss(jax.tree.map(lambda leaf, one, sign=sign: leaf + sign * h * one, at, way)) for sign in (1, -1)]
    along = sum(float((one * other).sum()) for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True))
    assert along == pytest.approx(float(sides[0] - sides[1]) / (2 * h), rel=1e-6)


def test_windows_hold_every_interval():
    data = series()
    samples, starts = windows(data, 4)  # nine intervals: two windows of four, and one that begins at five
    assert samples.spans.shape == (4, 72) and starts.shape == (72, TYPES)
    np.testing.assert_allclose(samples.spans[:, 48:], np.diff(data.days, axis=1).T[5:], rtol=1e-6)
    np.testing.assert_array_equal(samples.counts[0, :, 24], data.counts[0, 4])


def test_an_exploding_model_is_held_and_said():
    wild = CellPopulations.lotka_volterra(jnp.ones(2), jnp.asarray([[-0.1, 2.0], [2.0, -0.1]]))
    course, exploded = forecast(wild, np.zeros((3, 2)), np.tile(np.linspace(0, 10, 5), (3, 1)))
    assert np.isfinite(course).all() and exploded.all()


@pytest.mark.slow
def test_a_network_finds_effects_of_types_it_never_saw():
    """Effects are a product of two features each; one type is left out of all cultures."""
    random = np.random.default_rng(2)
    types = 14
    features = np.column_stack([random.random((types, 2)) < 0.4, random.random((types, 2)) < 0.4]).astype(float)
    effect = 1.6 * features[:, :2] @ np.diag([0.5, -0.6]) @ features[:, 2:].T
    np.fill_diagonal(effect, 0.0)
    growth = 0.7 - (effect / 2).sum(axis=1)
    parts = growth, np.full(types, 0.7), effect, np.ones((1, types)), np.zeros(types)
    whole = CellPopulations(*(jnp.asarray(part) for part in parts))
    old = np.arange(types - 2)
    part = CellPopulations(
        whole.growth[old], whole.crowding[old], whole.effect[np.ix_(old, old)], whole.saturation[:, old], jnp.zeros(len(old))
    )
    days = np.concatenate([[0.0], np.cumsum(np.linspace(0.2, 0.8, 9))])
    start = jnp.asarray(random.normal(size=(len(old), 30)) * 0.9)
    states = simulate(part.stepper(), start, time_mesh(0.0, list(days[1:]), 0.05)).states
    densities = np.moveaxis(np.exp(np.concatenate([np.asarray(start)[None], np.asarray(states)])), 2, 0)
    data = counted(np.tile(days, (30, 1)), densities, 200_000, 0.01, 0)
    first = match_gradients(data, "saturating", sparse=True)
    net = fit_network_to_gains(data, first, features[old], channels=4, hidden=(8,), steps=500, learning_rate=0.02)
    full = with_new_types(net, old, features, growth, np.full(types, 0.7), np.ones(types))
    new = np.zeros((types, types), bool)
    new[old.size :] = new[:, old.size :] = True
    new &= ~np.eye(types, dtype=bool)
    found = np.asarray(full.effects())[new]
    assert np.corrcoef(found, effect[new] / 2)[0, 1] > 0.9
    assert average_precision(np.abs(found), effect[new] != 0) > 0.9


def test_shares_of_an_annotated_file(tmp_path):
    path = tmp_path / "cells.h5ad"
    with h5py.File(path, "w") as file:
        column = file.create_group("obs/kind")
        column["codes"] = np.array([0, 1, 1, 1, -1, 0], dtype=np.int8)
        column["categories"] = np.array([b"few", b"many"])
    assert read_composition(path, "kind") == {"many": 0.6, "few": 0.4}
    with pytest.raises(InputError, match="did you mean 'kind'"):
        read_composition(path, "kinds")
    with pytest.raises(InputError, match="check the path"):
        read_composition(tmp_path / "nowhere.h5ad")
    (tmp_path / "text.h5ad").write_text("no")
    with pytest.raises(InputError, match="no AnnData file"):
        read_composition(tmp_path / "text.h5ad")


@pytest.mark.needs_data
def test_shares_of_real_blood(dataset):
    shares = read_composition(dataset("pbmc68k_reduced") / "10x_pbmc68k_reduced.h5ad")
    assert len(shares) == 10 and sum(shares.values()) == pytest.approx(1.0)
    assert next(iter(shares)) == "Dendritic" and shares["CD34+"] == pytest.approx(13 / 700)


def test_wrong_input_is_one_line():
    days, counts, totals = np.array([[0.0, 1.0]]), np.ones((1, 2, 3)), np.ones((1, 2))
    for wrong, words in (
        ((days[:, ::-1], counts, totals, 0.1), "increasing times"),
        ((days, -counts, totals, 0.1), "counts of 0 or more"),
        ((days, counts, 0 * totals, 0.1), "positive numbers"),
        ((days[:, :1], counts[:, :1], totals[:, :1], 0.1), "arrays that match"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            CompositionSeries(*wrong)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="at least one cell"):
        counted(days, counts, 0, 0.1, 0)
    with pytest.raises(InputError, match="finite features"):
        TypeNetwork.create(np.full((3, 2), np.nan), 4, (8,), 0)
