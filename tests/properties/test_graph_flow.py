"""Sources of any network keep mass, inlet and windkessels; trees are what they should be; the 1-D solver is met."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.artery_forest import forest_beats, forest_program, near_periodic, plant
from physics.artery_harmonics import periodic_tree, to_harmonics, to_times
from solvers import Status
from twinsim.closures.graph_flow import GraphFlow, balanced, junction_imbalance, linear_state
from twinsim.errors import InputError
from twinsim.random_arteries import draw_topology, draw_trees, held_out, topology


def loud(power=2):
    """Random weights whose answers change the solution by tens of percent."""
    model = GraphFlow.create(0, width=8, rounds=2, power=power)

    def last(model):
        return jax.tree.leaves(model.point.weights[-1])[0]

    return eqx.tree_at(last, model, (5 if power == 1 else 100) * last(model))


def one(trees, row=0):
    return jax.tree.map(lambda part: part[row], trees)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.slow
def test_whatever_the_weights_mass_inlet_and_windkessels_hold(power):
    trees, model = draw_trees(5, 6, 0.8, False), loud(power)

    @jax.jit
    @jax.vmap
    def solved(tree):
        start = linear_state(tree, model.harmonics)
        return start, model.waves(tree, start)

    start, (total, flow) = solved(trees)
    here = np.asarray(trees.present)[:, :, None, None]
    moved = np.abs(np.where(here, flow - start.flow, 0)).max() / np.abs(np.where(here, start.flow, 0)).max()
    assert moved > 0.02  # the sources are no trifle
    wave = to_times(flow, 100)
    assert float(jax.vmap(junction_imbalance)(trees, wave).max()) < 1e-10
    assert float(jax.vmap(junction_imbalance)(trees, jax.vmap(balanced)(trees, wave)).max()) < 1e-15
    np.testing.assert_allclose(flow[:, 0, 0], start.inlet, rtol=0, atol=1e-12 * float(jnp.abs(start.inlet).max()))
    mean = np.where(here[..., 0], flow[..., 0].real, 0)
    np.testing.assert_allclose(mean, mean[:, :, :1] * np.ones(5), rtol=1e-9, atol=1e-18)  # no vessel keeps blood
    answered = jax.jit(jax.vmap(model.sources))(trees, start).outlet
    static = np.asarray(total[:, :, -1] - answered)
    np.testing.assert_allclose(
        np.where(trees.terminal[..., None], static * start.lines.load, 0), np.where(trees.terminal[..., None], flow[:, :, -1], 0),
        rtol=0, atol=1e-10 * float(jnp.abs(start.inlet).max()),
    )  # fmt: skip


@pytest.mark.slow
def test_small_waves_are_linear_with_any_weights_of_power_two():
    tree, model = one(draw_trees(5, 1, 0.8, False)), loud()
    parts = []
    for amplitude in (1.0, 0.1, 0.01):
        small = eqx.tree_at(lambda t: t.inlet, tree, amplitude * tree.inlet)
        start = linear_state(small, 20)
        _, flow = model.waves(small, start)
        parts.append(float(jnp.abs(flow - start.flow).max() / jnp.abs(start.flow).max()))
    assert parts[1] < 0.2 * parts[0] and parts[2] < 0.2 * parts[1]


def test_a_model_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="30 times for 20 harmonics"):
        GraphFlow.create(0, times=30)
    with pytest.raises(InputError, match="power 3"):
        GraphFlow.create(0, power=3)


@pytest.mark.slow
def test_padding_of_a_tree_changes_nothing():
    tree, model = one(draw_trees(5, 3, 0.8, False), 1), loud()
    absent = ~tree.present
    other = eqx.tree_at(
        lambda t: (t.length, t.radius, t.speed), tree, tuple(jnp.where(absent, 2 * x, x) for x in (tree.length, tree.radius, tree.speed))
    )
    call = eqx.filter_jit(lambda tree: model(tree, 50))
    for before, after in zip(call(tree), call(other)):
        np.testing.assert_allclose(after[tree.present], before[tree.present], rtol=1e-12, atol=1e-18)


def test_topologies_are_held_out_by_shape_alone():
    assert topology([-1, 0, 0, 1, 1]) == topology([-1, 0, 0, 2, 2]) == "((()())())"
    assert held_out([-1, 0, 0, 1, 1]) == held_out([-1, 0, 0, 2, 2])
    rng = np.random.default_rng(0)
    drawn = [draw_topology(rng) for _ in range(300)]
    assert all(parent[0] == -1 and all(above < row for row, above in enumerate(parent)) for parent in drawn)
    assert {3, 15} <= {len(parent) for parent in drawn}
    assert 0.15 < np.mean([held_out(parent) for parent in drawn]) < 0.45


@pytest.mark.slow
def test_the_one_dimensional_solver_is_met_on_elastic_trees():
    """Two rounds of sources and the 1-D solver, two codes with nothing in common but the equations."""
    trees = draw_trees(7, 3, 0.8, True)
    forest = plant(trees, transit=1.2e-3)
    found = forest_beats(forest, near_periodic(forest, trees), forest_program(forest, 50, 24), 4, 1e-4)
    assert found.status is Status.SUCCESS and (found.change[-1] < 1e-4).all()
    here = np.asarray(trees.present)[:, :, None, None]
    solve = [jax.jit(jax.vmap(lambda tree, rounds=rounds: periodic_tree(tree, 50, rounds)))(trees) for rounds in (0, 2)]

    def off(waves, truth):
        return np.linalg.norm(np.where(here, waves - truth, 0)) / np.linalg.norm(np.where(here, truth - truth.mean(-1, keepdims=True), 0))

    (p_linear, q_linear), (pressure, flow) = solve
    assert off(pressure, found.pressure) < 2e-3 and off(flow, found.flow) < 2e-3
    assert off(p_linear, found.pressure) > 5 * off(pressure, found.pressure)
    assert off(q_linear, found.flow) > 5 * off(flow, found.flow)


def test_trees_that_no_forest_can_hold_are_refused():
    trees = draw_trees(0, 2, 0.8, False)
    with pytest.raises(ValueError, match="different period"):
        plant(eqx.tree_at(lambda t: t.period, trees, jnp.array([0.8, 0.9])))


def test_harmonics_come_back():
    waves = np.random.default_rng(0).normal(size=(2, 9)) + 1j * np.random.default_rng(1).normal(size=(2, 9))
    waves[:, 0] = waves[:, 0].real
    np.testing.assert_allclose(to_harmonics(to_times(jnp.asarray(waves), 24), 8), waves, atol=1e-13)
