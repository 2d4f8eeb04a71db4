"""Circuits against svZeroDSolver, run live on cases built here."""

import copy

import numpy as np
import pytest

from physics import Block, assemble, periodic_run, run_cycles, waveform
from tests.problems import quick_jit
from tests.svzerod_cases import CASES, CORONARIES, PERIOD, closed_loop_coronaries
from twinsim.svzerod_file import read_svzerod

svzerod = pytest.importorskip("svzerod")


def their_name(name):
    return name.replace("inner_pressure", "pressure_c").replace("volume:", "Vc:")


def differences(case, states, solver):
    """Largest difference over a cycle by the largest value, per unknown; the coronary volume counts from another zero there."""
    found = {}
    for i, name in enumerate(case.circuit.names):
        if not name.startswith("intramyocardial_volume"):
            theirs = np.asarray(solver.get_single_result(their_name(name))).ravel()
            found[name] = np.abs(np.asarray(states[:, i]) - theirs).max() / np.abs(theirs).max()
    return found


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("coronary", "closed loop")])
@pytest.mark.quick(1)
def test_every_step_from_the_same_start(name):
    data = copy.deepcopy(CASES[name])
    data["simulation_parameters"] |= {"number_of_cardiac_cycles": 2, "output_all_cycles": True}
    case, solver = read_svzerod(data), svzerod.Solver(data)
    solver.run()
    period = float(case.circuit.period)
    run = quick_jit(lambda c: run_cycles(c, case.start, case.steps, 2, period=period))(case.circuit)
    run.raise_for_status()
    assert max(differences(case, run.states, solver).values()) < 1e-9


@pytest.mark.parametrize("name", ["RCR", "coronary"])
@pytest.mark.quick(1)
def test_the_periodic_cycle(name):
    """Theirs after thirty cycles, ours by Newton's method."""
    data = CASES[name]
    case, solver = read_svzerod(data), svzerod.Solver(data)
    solver.run()
    period = float(case.circuit.period)
    run = quick_jit(lambda c: periodic_run(c, c.start(), case.steps, period=period))(case.circuit)
    run.raise_for_status()
    assert max(differences(case, run.states, solver).values()) < 1e-5


@pytest.mark.slow
def test_the_closed_loop():
    """The last of sixty cycles, from the same start."""
    data = CASES["closed loop"]
    case, solver = read_svzerod(data), svzerod.Solver(data)
    solver.run()
    period = float(case.circuit.period)
    run = quick_jit(lambda c: run_cycles(c, case.start, case.steps, case.cycles, period=period))(case.circuit)
    run.raise_for_status()
    assert max(differences(case, run.states[-1 - case.steps :], solver).values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", CORONARIES)
def test_a_coronary_bed_in_their_closed_loop(name):
    """Between their pressures before the bed, in the ventricle and in the veins, ours has their flows and volume."""
    data = closed_loop_coronaries()
    solver = svzerod.Solver(data)
    solver.run()
    _, vessel, ventricle, share = CORONARIES[name]
    steps = data["simulation_parameters"]["number_of_time_pts_per_cardiac_cycle"] - 1
    times = np.linspace(0, PERIOD, steps + 1)

    def theirs(variable):
        return np.asarray(solver.get_single_result(variable)).ravel()

    def given(variable):
        found = theirs(variable)
        assert found[-1] == pytest.approx(found[0], rel=1e-7)
        return waveform(times, np.append(found[:-1], found[0]), variable)

    keys = {"Ra": "arterial_resistance", "Ram": "micro_resistance", "Rv": "venous_resistance", "Ca": "arterial_compliance",
            "Cim": "intramyocardial_compliance"}  # fmt: skip
    values = next(one["bc_values"] for one in data["boundary_conditions"] if one["bc_name"] == name)
    heart = data["closed_loop_blocks"][0]["parameters"]
    blocks = [
        Block("before", "pressure_source", {}, {"pressure": given(f"pressure:{vessel}:{name}")}),
        Block("cavity", "pressure_source", {}, {"pressure": given(ventricle)}),
        Block("bed", "coronary_bed", {keys[key]: value for key, value in values.items()} | {"muscle_share": heart[share]}),
        Block("vein", "resistance", {"resistance": 0.0}, {"distal_pressure": given("pressure:J_heart_inlet:CLH")}),
    ]
    circuit = assemble(blocks, [("before", "bed"), ("cavity", "bed"), ("bed", "vein")], PERIOD)
    run = quick_jit(lambda c: periodic_run(c, c.start(pressure=10.0), steps, period=PERIOD))(circuit)
    run.raise_for_status()
    pairs = {"flow:before:bed": f"flow:{vessel}:{name}", "flow:bed:vein": f"flow:{name}:J_heart_inlet",
             "intramyocardial_volume:bed": f"volume_im:{name}"}  # fmt: skip
    for ours, variable in pairs.items():
        found, expected = np.asarray(run.states[:, circuit.index(ours)]), theirs(variable)
        assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max(), ours
