"""The coronary tree against svZeroDSolver, run live on the same tree: steady, and over a beat."""

import numpy as np
import pytest

from physics import fourier, periodic_run
from physics.coronary_circuit import BED_COMPLIANCE, BED_RESISTANCE, coronary_circuit, end_of_segment
from physics.coronary_flow import steady_tree_flow
from tests.coronaries import AORTA, VEIN, diseased, hyperaemia, small
from tests.problems import quick_jit

svzerod = pytest.importorskip("svzerod")
PERIOD = 0.8
TIMES = np.linspace(0.0, PERIOD, 81)


def their_input(tree, ends, inlet, steps, cycles):
    """The tree in their style: a vessel without resistance at the aorta, two ostia, a junction per branching."""
    resistance, jet = (np.asarray(values) for values in tree.losses())
    inertance = np.asarray(tree.inertance()) if cycles > 1 else np.zeros(len(tree.names))
    vessels = [{
        "vessel_id": 99, "vessel_name": "root", "zero_d_element_type": "BloodVessel", "boundary_conditions": {"inlet": "AORTA"},
        "zero_d_element_values": {"R_poiseuille": 0.0},
    }]  # fmt: skip
    outlets = {i: k for k, i in enumerate(tree.outlets)}
    for i, name in enumerate(tree.names):
        values = {"R_poiseuille": resistance[i], "stenosis_coefficient": jet[i], "L": inertance[i]}
        end = {"outlet": f"END{outlets[i]}"} if i in outlets else {}
        vessels.append({
            "vessel_id": i, "vessel_name": name, "zero_d_element_type": "BloodVessel", "boundary_conditions": end,
            "zero_d_element_values": {key: float(value) for key, value in values.items()},
        })  # fmt: skip
    junctions = []
    for i in (-1, *range(len(tree.names))):
        children = [k for k, parent in enumerate(tree.parents) if parent == i]
        if children:
            junctions.append({
                "junction_name": f"J{i + 1}", "junction_type": "NORMAL_JUNCTION", "inlet_vessels": [99 if i < 0 else i],
                "outlet_vessels": children,
            })  # fmt: skip
    return {
        "simulation_parameters": {
            "number_of_cardiac_cycles": cycles, "number_of_time_pts_per_cardiac_cycle": steps + 1, "output_variable_based": True,
            "output_all_cycles": False, "absolute_tolerance": 1e-11, "steady_initial": False,
        },
        "boundary_conditions": [{"bc_name": "AORTA", "bc_type": "PRESSURE", "bc_values": inlet}, *ends],
        "vessels": vessels, "junctions": junctions,
    }  # fmt: skip


def their_pressure(solver, tree, name):
    i = tree.names.index(name)
    after = f"END{tree.outlets.index(i)}" if i in tree.outlets else f"J{i + 1}"
    return np.asarray(solver.get_single_result(f"pressure:{name}:{after}")).ravel()


def test_steady_flow_in_the_same_tree():
    tree, beds = diseased(), hyperaemia()
    behind = np.asarray(beds.resistances(tree))
    ends = [{"bc_name": f"END{k}", "bc_type": "RESISTANCE", "bc_values": {"R": float(value), "Pd": VEIN}} for k, value in enumerate(behind)]
    inlet = {"P": [AORTA, AORTA], "t": [0.0, PERIOD]}
    solver = svzerod.Solver(their_input(tree, ends, inlet, 20, 2))
    solver.run()
    found = quick_jit(lambda t: steady_tree_flow(t, beds.resistances(t), AORTA, VEIN))(tree)
    for i, name in enumerate(tree.names):
        theirs = their_pressure(solver, tree, name)[-1]
        assert abs(float(found.pressure[i]) - theirs) < 1e-5 * theirs, name


@pytest.mark.slow
def test_a_beat_of_the_same_tree():
    tree, beds = small(), hyperaemia(1.2)
    behind = np.asarray(beds.resistances(tree))
    compliances = np.asarray(tree.shares(7 / 3)) * 0.08
    aorta = fourier(AORTA, [-8.0, -4.0], [16.0, -5.0], PERIOD, TIMES.size)
    muscle = fourier(45.0, [-30.0, -20.0], [50.0, -10.0], PERIOD, TIMES.size)
    given = {"bc_type": "CORONARY"}
    ends = []
    for k in range(len(behind)):
        values = {
            "Ra1": BED_RESISTANCE["arterial_resistance"] * behind[k], "Ra2": BED_RESISTANCE["micro_resistance"] * behind[k],
            "Rv1": BED_RESISTANCE["venous_resistance"] * behind[k], "Ca": BED_COMPLIANCE["arterial_compliance"] * compliances[k],
            "Cc": BED_COMPLIANCE["intramyocardial_compliance"] * compliances[k],
        }  # fmt: skip
        waves = {"Pim": np.asarray(muscle.values).tolist(), "P_v": VEIN, "t": TIMES.tolist()}
        ends.append(given | {"bc_name": f"END{k}", "bc_values": {key: float(value) for key, value in values.items()} | waves})
    inlet = {"P": np.asarray(aorta.values).tolist(), "t": TIMES.tolist()}
    solver = svzerod.Solver(their_input(tree, ends, inlet, 160, 12))
    solver.run()
    squeezed = {tree.names[i]: muscle for i in tree.outlets}
    circuit = coronary_circuit(tree, beds.resistances(tree), tree.shares(7 / 3) * 0.08, aorta, squeezed, VEIN, PERIOD)
    run = quick_jit(lambda c: periodic_run(c, c.start(pressure=AORTA), 160, period=PERIOD))(circuit)
    run.raise_for_status()
    steady = steady_tree_flow(tree, beds.resistances(tree), AORTA, VEIN)
    for i, name in enumerate(tree.names):
        ours, theirs = np.asarray(run.states[:, end_of_segment(circuit, name)]), their_pressure(solver, tree, name)
        assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max(), name
        if name != "right":
            assert ours[1:].mean() < float(steady.pressure[i])  # the mean of a square is more than the square of the mean
