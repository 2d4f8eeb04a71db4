"""What must hold for any network: the order of the file does not matter, members fail alone, failures name vessel and time."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import beat, beat_mesh, run_to_period
from solvers import SimulationError, Status
from tests.arteries import PERIOD, tree
from tests.problems import quick_jit

MESH = beat_mesh(PERIOD, 5)
ORDER = np.array([2, 0, 1])


def reordered(network):
    """The same vessels in another order."""
    leaves = vars(network).items()
    per_vessel = {name: value[ORDER] for name, value in leaves if isinstance(value, jax.Array) and value.shape == (3,)}
    static = ("labels", "cells", "source", "target", "outlet", "thickness_given")
    return replace(network, **per_vessel, **{name: tuple(getattr(network, name)[i] for i in ORDER) for name in static})


@pytest.mark.slow
def test_the_order_of_the_vessels_does_not_matter():
    network = tree(8)
    one, other = (quick_jit(lambda n: beat(n, n.initial_state(), MESH, 20))(n) for n in (network, reordered(network)))
    np.testing.assert_allclose(other.pressure, np.asarray(one.pressure)[ORDER], rtol=1e-10, atol=1e-8)
    np.testing.assert_allclose(other.flow, np.asarray(one.flow)[ORDER], rtol=1e-9, atol=1e-18)


@pytest.mark.slow
def test_a_member_fails_alone():
    """Three inflows at once; blood sucked out of one network collapses it."""
    network = tree(8)

    def member(factor):
        changed = eqx.tree_at(lambda n: n.inlet_flow, network, network.inlet_flow * factor)
        return beat(changed, changed.initial_state(), MESH, 60)

    factors = jnp.array([1.0, -60.0, 0.5])
    together = quick_jit(jax.vmap(member))(factors)
    assert [int(code) == Status.SUCCESS for code in together.status] == [True, False, True]
    alone = quick_jit(member)(factors[2])
    np.testing.assert_allclose(together.pressure[2], alone.pressure, rtol=1e-10, atol=1e-9)
    assert 0 < float(together.final.collapse[1, 1]) < PERIOD


@pytest.mark.slow
def test_accelerated_beats_repeat_sooner_and_are_the_same():
    """Windkessels that fill in six beats: plain beats need eighty of them, accelerated ones nine."""
    network = eqx.tree_at(lambda n: n.compliance, tree(6), 3.5 * tree(6).compliance)
    program = quick_jit(lambda network, state: beat(network, state, MESH, 48))
    plain, quick = (
        run_to_period(network, limit=120, tolerance=1e-3, samples=5, program=program, settle=settle) for settle in ("plain", "anderson")
    )
    assert plain.converged and quick.converged and quick.difference < 1e-3
    assert quick.cycles < 0.2 * plain.cycles
    np.testing.assert_allclose(quick.beat.pressure, plain.beat.pressure, atol=0.02)


@pytest.mark.slow
def test_failures_name_vessel_and_time():
    network = tree(8)
    sucked = eqx.tree_at(lambda n: n.inlet_flow, network, -60 * network.inlet_flow)
    periodic = run_to_period(sucked, limit=3, samples=5)
    assert periodic.status is Status.OUT_OF_RANGE
    assert periodic.cycles == 1
    with pytest.raises(SimulationError, match=r"vessel v0 collapsed at 0\.\d+ s"):
        periodic.raise_for_status()


@pytest.mark.slow
def test_a_step_above_the_limit_is_a_status_that_says_by_how_much():
    periodic = run_to_period(tree(8), limit=2, samples=5, substeps=2)
    assert periodic.status is Status.UNSTABLE_STEP
    assert "a wave crosses" in periodic.message
    assert "times as many steps" in periodic.message


@pytest.mark.slow
def test_walls_without_viscosity_are_elastic_and_viscous_ones_take_any_step():
    """Gamma of zero changes nothing; a hundred times that of arteries is far beyond an explicit limit."""
    program = quick_jit(lambda n: beat(n, n.initial_state(), MESH, 60))
    elastic, still, stiff = (program(tree(8, wall_viscosity=viscosity)) for viscosity in (None, jnp.zeros(3), jnp.full(3, 100.0)))
    np.testing.assert_allclose(still.pressure, elastic.pressure, rtol=1e-9, atol=1e-7)
    assert int(stiff.status) == Status.SUCCESS
    assert float(jnp.abs(stiff.pressure).max()) < 10 * float(jnp.abs(elastic.pressure).max())


@pytest.mark.parametrize("name", ["correction", "wall_viscosity"])
def test_openbfs_scheme_refuses_what_it_does_not_know(name):
    network = replace(tree(8), scheme="openbf", **{name: jnp.ones(3)})
    with pytest.raises(ValueError, match="openBF's scheme with"):
        network.stepper()


@pytest.mark.parametrize("options", [{"limit": 0}, {"tolerance": 0.0}, {"tolerance": float("nan")}])
def test_bad_limits(options):
    with pytest.raises(ValueError, match="beats"):
        run_to_period(tree(8), **options)
