"""Circuits at the ends of arteries: closed forms, balances of volume and energy, the limit of no artery, an order in time."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from physics import Block, assemble, couple, run_cycles
from physics.artery_cycles import PASCAL_PER_MMHG
from physics.coupled_arteries import ML_PER_M3, artery_end
from tests.arteries import DENSITY, artery
from tests.coupled import PERIOD, RESISTANCE, driven, loop, loop_start, march, pulse, without_inlet
from tests.problems import quick_jit, slope

STEPS = 400


def history(model, state, steps, every, time=PERIOD):
    """States at ``every`` part of the time, one program."""
    found = [state]
    for k in range(every):
        found.append(march(shifted(model, k * time / every), found[-1], jnp.asarray(time / every), jnp.asarray(steps // every)))
    return found


def shifted(model, start):
    """The model whose sources are a time further on."""

    def move(wave):
        return wave if wave.constant else eqx.tree_at(lambda w: w.times, wave, wave.times - start)

    return eqx.tree_at(lambda m: m.circuit.inputs, model, tuple(move(wave) for wave in model.circuit.inputs))


def at_root(model, state):
    circuit = model.circuit
    return (float(state.circuit[circuit.index(f"{what}:feed:root")]) for what in ("pressure", "flow"))


@pytest.mark.slow
def test_a_tube_that_absorbs_is_its_characteristic_impedance():
    r"""Small waves: $P = P_s\,Z/(Z+R)$ and $Q = P_s/(Z+R)$, $Z = \rho c/A$."""
    height = 1e-3
    model = driven(pulse(height))
    wall = model.network.flow().ends
    impedance = float(wall.resting_impedance[0, 0]) / (PASCAL_PER_MMHG * ML_PER_M3)
    state = march(model, model.initial_state(), jnp.asarray(0.03), jnp.asarray(STEPS))
    pressure, flow = at_root(model, state)
    assert pressure == pytest.approx(height * impedance / (impedance + RESISTANCE), rel=1e-4)
    assert flow == pytest.approx(height / (impedance + RESISTANCE), rel=1e-4)


@pytest.mark.slow
def test_a_closed_loop_keeps_its_blood():
    model = loop()
    start = loop_start(model)
    state = march(model, start, jnp.asarray(1.25 * PERIOD), jnp.asarray(STEPS))
    assert float(model.volume(state)) == pytest.approx(float(model.volume(start)), rel=1e-12)
    assert float(state.circuit[-1]) < 1e-6  # equations solved
    assert np.abs(np.asarray(state.arteries.flow[0]) / np.asarray(start.arteries.flow[0]) - 1).max() > 0.01
    assert abs(float(state.circuit[model.circuit.index("volume:ventricle")]) - 6) > 0.5


def energy(model, state):
    r"""$\int \tfrac12\rho Au^2 + \psi(A)\,dx$ with $\psi' = p$, J."""
    rate = model.network.flow()
    area, velocity, _ = (np.asarray(part) for part in state.arteries.flow)
    wall, length = rate.cells, 1 / np.asarray(rate.per_length)
    resting, stiffness = np.asarray(wall.reference_area), np.asarray(wall.stiffness)
    stored = stiffness * (2 / 3 * area**1.5 / np.sqrt(resting) - area + resting / 3)
    return float((length * (0.5 * float(wall.density) * area * velocity**2 + stored)).sum())


@quick_jit
def entering_power(model, state):
    r"""$(p+\tfrac12\rho u^2)Q$ at the artery's start as its own equations see it, W."""
    one = model.stepper(1).stepper
    area, velocity, stored = state.arteries.flow
    flow = one._entering(state.circuit, one.flows)
    node, _, _ = one.ports.held(one.arteries.rate, jnp.zeros(()), flow).nodes(
        one.arteries.rate.sides(area, velocity), stored, jnp.zeros(())
    )
    row = one.ports.nodes[0]
    return (node.pressure[row, 0] + 0.5 * model.network.density * node.velocity[row, 0] ** 2) * flow[0]


@pytest.mark.parametrize("total", [True, False])
@pytest.mark.slow
def test_power_leaves_the_circuit_and_enters_the_artery(total):
    """With total pressure at the port they are one; with static pressure the artery receives its kinetic part for nothing. The far end is
    closed and nothing rubs: what entered is the artery's energy, but for what limited slopes lose."""
    model = driven(pulse(60.0, 0.075, 0.026), total, 40, reflection=1.0)
    states = history(model, model.initial_state(), 1600, 80, 0.16)
    roots = np.array([[*at_root(model, state)] for state in states])
    times, unit = np.linspace(0.0, 0.16, 81), PASCAL_PER_MMHG / ML_PER_M3
    left = np.trapezoid(roots[:, 0] * roots[:, 1], times) * unit
    entered = np.trapezoid([float(entering_power(model, state)) for state in states], times)
    root = np.array([float(state.circuit[model.circuit.index("root:root")]) for state in states])
    kinetic = np.trapezoid(0.5 * DENSITY * (roots[:, 1] / ML_PER_M3) ** 3 / (np.pi * 9e-6 * root**4) ** 2, times)
    assert kinetic > 0.02 * left
    if total:
        assert entered == pytest.approx(left, rel=1e-4)
        assert energy(model, states[-1]) - energy(model, states[0]) == pytest.approx(left, rel=0.01)
    else:
        assert entered - left == pytest.approx(kinetic, rel=2e-3)


@pytest.mark.slow
def test_a_short_artery_is_not_there():
    """Between a resistance and a windkessel: the circuit without the artery, up to what is proportional to its length. Small waves,
    because a windkessel takes static pressure from a vessel and the port gives it total pressure."""
    values = {"proximal": 1.0, "distal": 4.0, "compliance": 0.02}
    unit = PASCAL_PER_MMHG * ML_PER_M3
    ends = {"proximal": values["proximal"] * unit, "distal": values["distal"] * unit, "compliance": values["compliance"] / unit}
    source = pulse(0.1, 0.08, 0.03)
    blocks = [
        Block("source", "pressure_source", inputs={"pressure": source}),
        Block("feed", "vessel", {"resistance": RESISTANCE}),
        Block("bed", "windkessel", {f"{k}_resistance" if k != "compliance" else k: v for k, v in values.items()}, {"distal_pressure": 0.0}),
    ]
    alone = assemble(blocks, [("source", "feed"), ("feed", "bed")], PERIOD)
    run = run_cycles(alone, alone.start(), 4000, period=PERIOD)
    flow = np.asarray(run.states)[:, alone.index("flow:feed:bed")]
    errors = []
    for length in (4e-3, 2e-3):
        model = driven(source, cells=3, outlet="windkessel", length=length, **ends)
        state = march(model, model.initial_state(), jnp.asarray(0.07), jnp.asarray(4000))
        errors.append((float(state.circuit[model.circuit.index("flow:feed:root")]) - flow[1400]) / flow.max())
    assert abs(errors[1]) < 0.01
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)


@pytest.mark.slow
def test_second_order_in_time():
    model = driven(pulse(30.0))
    start = model.initial_state()

    def areas(steps):
        state = march(model, start, jnp.asarray(0.06), jnp.asarray(steps))
        return np.append(np.asarray(state.arteries.flow[0]) / np.asarray(start.arteries.flow[0]), [*at_root(model, state)])

    reference = areas(8000)
    counts = (50, 70, 100, 140, 200)
    errors = [np.abs(areas(count) - reference)[:-2].max() for count in counts]
    assert slope([1 / count for count in counts], errors) == pytest.approx(2, abs=0.2), errors


def test_refusals():
    model = driven()
    circuit, network = model.circuit, model.network
    with pytest.raises(ValueError, match="got port 'rot'"):
        couple(network, circuit, {"rot": 1})
    with pytest.raises(ValueError, match="got no node for 'root'"):
        couple(network, circuit, {})
    with pytest.raises(ValueError, match="has an inlet or outlet"):
        couple(network, circuit, {"root": 2})
    with pytest.raises(ValueError, match="got node 7"):
        couple(network, circuit, {"root": 7})
    with pytest.raises(ValueError, match="expected a known kind"):
        assemble([Block("root", "to_arterie", artery_end(), {"outgoing": 0.0})], [])
    with pytest.raises(ValueError, match="openBF"):
        couple(
            without_inlet(artery([{"ends": (1, 2), "cells": 4, "outlet": "reflection"}], scheme="openbf")), circuit, {"root": 1}
        ).stepper()
