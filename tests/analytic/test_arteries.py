"""Waves in arteries against linear theory: speed, impedance, reflections, rest, friction, and what is conserved."""

from functools import cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from physics import beat, beat_mesh, imbalance, run_to_period
from physics.artery_junction import NodeCondition
from tests.arteries import DENSITY, MATCHED_END, PERIOD, artery, bifurcation, tree
from tests.problems import quick_jit


@cache
def program(samples):
    """One compiled beat for all networks of a kind."""
    mesh = beat_mesh(PERIOD, samples)
    return quick_jit(lambda network, state: beat(network, state, mesh))


def waves(network, samples=201, state=None):
    return program(samples)(network, network.initial_state() if state is None else state), np.linspace(0, PERIOD, samples)


def linear(network, vessel=0):
    """Wave speed and characteristic impedance at rest."""
    radius = float(network.radius_start[vessel])
    stiffness = float(network.youngs_modulus[vessel] * network.thickness[vessel]) / (0.75 * radius)
    speed = np.sqrt(stiffness / (2 * DENSITY))
    return speed, DENSITY * speed / (np.pi * radius**2)


def centre(wave, times):
    """Time of a pulse: its centre of area."""
    return float(np.sum(wave * times) / np.sum(wave))


@pytest.mark.slow
def test_wave_speed_and_characteristic_impedance():
    network = artery([{"ends": (1, 2), "cells": 200, **MATCHED_END}])
    last, times = waves(network)
    speed, impedance = linear(network)
    at = np.asarray(network.layout.cell_place[network.layout.stations[0]]) * float(network.length[0])
    flow, pressure = np.asarray(last.flow[0]), np.asarray(last.pressure[0])
    arrivals = [centre(flow[station], times) for station in range(4)]
    measured = (at[3] - at[0]) / (arrivals[3] - arrivals[0])
    assert measured == pytest.approx(speed, rel=1e-4)
    strong = flow[1] > 0.2 * flow[1].max()
    np.testing.assert_allclose(pressure[1][strong] / flow[1][strong], impedance, rtol=2e-3)
    assert pressure[1].max() / flow[1].max() == pytest.approx(impedance, rel=1e-4)


@pytest.mark.parametrize("radius", [1.5e-3, 2e-3, 2.6e-3])
@pytest.mark.slow
def test_reflection_and_transmission_at_a_bifurcation(radius):
    """(Y0 - Y1 - Y2)/(Y0 + Y1 + Y2) with admittances, within half a per cent."""
    network = bifurcation(200, radius)
    last, times = waves(network)
    admittance = [1 / linear(network, vessel)[1] for vessel in range(3)]
    expected = (admittance[0] - sum(admittance[1:])) / sum(admittance)
    pressure = np.asarray(last.pressure[0, 1])
    speed, _ = linear(network)
    travelled = (times - 0.02) * speed  # the pulse passes at 0.125 m, its echo at 0.875 m, what the inlet sends back of it at 1.125 m
    coming, back = np.where(travelled < 0.5, pressure, 0), np.where((travelled > 0.5) & (travelled < 1), pressure, 0)
    peak = max(back, key=abs)
    assert np.sum(back) / np.sum(coming) == pytest.approx(expected, rel=5e-3)
    assert peak / coming.max() == pytest.approx(expected, rel=2e-2)
    passed = np.asarray(last.pressure[1, 1])
    assert np.sum(passed) / np.sum(coming) == pytest.approx(1 + expected, rel=5e-3)


@pytest.mark.parametrize("coefficient", [-0.6, 0.0, 0.4])
def test_the_reflection_coefficient_of_an_end(coefficient):
    network = artery([{"ends": (1, 2), "cells": 200, "outlet": "reflection", "reflection": coefficient}])
    last, times = waves(network)
    pressure = np.asarray(last.pressure[0, 2])
    speed, _ = linear(network)
    first = times < 0.02 + 0.5 / speed
    assert np.sum(pressure[~first]) / np.sum(pressure[first]) == pytest.approx(coefficient, abs=3e-3)


@pytest.mark.slow
def test_blood_at_rest_under_pressure_in_tapered_vessels_stays_at_rest():
    network = tree()
    pressure = 5e3
    network = eqx.tree_at(
        lambda n: (n.inlet_flow, n.initial_pressure, n.downstream),
        network,
        (jnp.zeros_like(network.inlet_flow), jnp.full(3, pressure), jnp.full(3, pressure)),
    )
    state = network.initial_state()
    *cells, stored = state.flow
    state = eqx.tree_at(lambda s: s.flow, state, (*cells, jnp.full_like(stored, pressure)))
    last, _ = waves(network, 41, state=state)
    assert float(jnp.abs(last.velocity).max()) < 1e-12
    np.testing.assert_allclose(last.pressure, pressure, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("profile", [2.0, 9.0])
def test_steady_flow_loses_pressure_as_its_profile_says(profile):
    """Poiseuille's law for 2: the drop is 2 (profile + 2) pi mu L Q / A^2."""
    flow = 1e-8
    windkessel = {"outlet": "windkessel", "proximal": 1e8, "distal": 2e8, "compliance": 1e-10}
    network = artery(
        [{"ends": (1, 2), "cells": 20, "length": 0.2, "profile": profile, **windkessel}], lambda t: flow + 0 * t, viscosity=4e-3
    )
    periodic = run_to_period(network, limit=12, tolerance=1e-6, samples=5)
    assert periodic.converged
    last = periodic.beat
    np.testing.assert_allclose(last.flow, flow, rtol=1e-6)
    pressure = np.asarray(last.pressure[0, :, -1])
    at = network.layout.cell_place[network.layout.stations[0]] * 0.2
    area = np.asarray(last.area[0, :, -1]).mean()
    drop = 2 * (profile + 2) * np.pi * 4e-3 * (at[-1] - at[0]) * flow / area**2
    assert pressure[0] - pressure[-1] == pytest.approx(drop, rel=1e-4)
    assert pressure[-1] == pytest.approx(3e8 * flow, rel=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("correction", [1.0, 4 / 3])
def test_steady_flow_through_a_taper_trades_pressure_for_speed(correction):
    """Without viscosity p + alpha rho u^2 / 2 is the same everywhere; the cells at the ends err with the square of their length."""
    flow, errors = 5e-6, []
    for cells in (20, 40):
        windkessel = {"outlet": "windkessel", "proximal": 3e8, "distal": 1e8, "compliance": 1e-10}
        vessel = {"ends": (1, 2), "cells": cells, "length": 0.1, "radius_end": 2.4e-3, "correction": correction, **windkessel}
        periodic = run_to_period(artery([vessel], lambda t: flow + 0 * t), limit=12, tolerance=1e-5, samples=5)
        assert periodic.converged
        pressure, velocity = (np.asarray(wave[0, :, -1]) for wave in (periodic.beat.pressure, periodic.beat.velocity))
        gained = 0.5 * correction * DENSITY * velocity**2
        assert np.ptp(gained) > 20
        errors.append(np.abs(pressure + gained - (pressure + gained)[2]) / np.ptp(gained))
    assert errors[0][1:4].max() < 2e-4
    assert errors[0].max() < 0.03
    assert errors[1].max() < errors[0].max() / 3


@pytest.mark.slow
def test_mass_balance_at_every_junction_and_of_the_whole():
    network = tree()
    flow = network.flow()
    last, _ = waves(network, 41)
    area, velocity, stored = last.final.flow
    time = jnp.asarray(0.0)
    node, proximal, _ = flow.nodes(flow.sides(area, velocity), stored, time)
    zero = jnp.zeros_like(stored)
    condition = NodeCondition(
        zero.at[flow.inlets.node].add(flow.inlets.at(time)), jnp.where(flow.outlets.windkessel, 1 / proximal, 0), stored, zero,
        flow.outlets.reflecting,
    )  # fmt: skip
    residual = np.abs(np.asarray(imbalance(node, flow.end_sign, condition)))
    scale = float(jnp.abs(node.flow).max())
    assert scale > 1e-8
    assert residual.max() < 1e-10 * scale
    change = flow.evaluate(last.final.flow, time)[0]
    volume = jnp.where(flow.per_length > 0, 1 / jnp.where(flow.per_length > 0, flow.per_length, 1), 0)
    out = jnp.sum(condition.conductance * (node.pressure[:, 0] - stored))
    assert float(jnp.sum(change * volume)) == pytest.approx(float(flow.inlets.at(time).sum() - out), abs=1e-12 * scale)


@pytest.mark.slow
def test_total_pressure_is_continuous_where_asked():
    network = tree(continuous="total")
    flow = network.flow()
    last, _ = waves(network, 41)
    area, velocity, stored = last.final.flow
    node, _, _ = flow.nodes(flow.sides(area, velocity), stored, jnp.asarray(0.0))
    total = np.asarray(node.pressure + 0.5 * DENSITY * node.velocity**2)[network.layout.nodes.index(2)]
    np.testing.assert_allclose(total, total[0], rtol=1e-12)
    assert abs(float(np.ptp(node.pressure[network.layout.nodes.index(2)]))) > 1e-6


def emptied(cells, compliance, distal):
    """Largest relative difference of a short vessel that empties through a windkessel to two compliances that do."""
    proximal = 2.5e8
    windkessel = {"outlet": "windkessel", "proximal": proximal, "distal": distal, "compliance": compliance}
    network = artery([{"ends": (1, 2), "cells": cells, "length": 0.01, "initial_pressure": 100.0, **windkessel}], lambda t: 0 * t)
    state = network.initial_state()
    *filled, stored = state.flow
    state = eqx.tree_at(lambda s: s.flow, state, (*filled, jnp.where(jnp.arange(2) == 1, 100.0, stored)))
    last, times = waves(network, 21, state)
    vessel = 2 * np.pi * 9e-6 * 0.01 / (7e5 * 3e-4 / (0.75 * 3e-3))
    rates = np.array([[-1 / (proximal * vessel), 1 / (proximal * vessel)], [1 / proximal, -1 / proximal - 1 / distal]])
    rates[1] /= compliance
    expected = np.array([(expm(rates * time) @ np.full(2, 100.0))[0] for time in times])
    return np.abs(np.asarray(last.pressure[0, 2]) / expected - 1).max()


@pytest.mark.slow
def test_a_windkessel_and_a_short_vessel_empty_as_two_compliances_do():
    assert emptied(10, 1e-10, 1e9) < 2e-3


@pytest.mark.slow
def test_a_windkessel_that_relaxes_in_a_hundredth_of_a_step_is_stable_and_of_order_one():
    errors = [emptied(cells, 1e-14, 1.5e10) for cells in (10, 20, 40)]
    assert errors[0] < 0.06
    assert errors[0] / errors[1] > 1.7
    assert errors[1] / errors[2] > 1.6
