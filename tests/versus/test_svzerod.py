"""Circuits against svZeroDSolver, run live on cases built here."""

import copy

import numpy as np
import pytest

from physics import periodic_run, run_cycles
from tests.problems import quick_jit
from tests.svzerod_cases import CASES
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
def test_the_periodic_cycle(name):
    """Theirs after thirty cycles, ours by Newton's method."""
    data = CASES[name]
    case, solver = read_svzerod(data), svzerod.Solver(data)
    solver.run()
    period = float(case.circuit.period)
    run = quick_jit(lambda c: periodic_run(c, c.start(), case.steps, period=period))(case.circuit)
    run.raise_for_status()
    assert max(differences(case, run.states, solver).values()) < 1e-5


def test_the_closed_loop():
    """The last of sixty cycles, from the same start."""
    data = CASES["closed loop"]
    case, solver = read_svzerod(data), svzerod.Solver(data)
    solver.run()
    period = float(case.circuit.period)
    run = quick_jit(lambda c: run_cycles(c, case.start, case.steps, case.cycles, period=period))(case.circuit)
    run.raise_for_status()
    assert max(differences(case, run.states[-1 - case.steps :], solver).values()) < 1e-5
