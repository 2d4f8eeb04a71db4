"""Inputs in svZeroDSolver's own style, built here; CGS units."""

import numpy as np

PERIOD = 1.0
TIMES = np.linspace(0.0, PERIOD, 41)
FLOW = 50.0 + 40.0 * np.sin(2 * np.pi * TIMES) + 15.0 * np.cos(4 * np.pi * TIMES)


def settings(cycles, points=101, **more):
    return {
        "number_of_cardiac_cycles": cycles, "number_of_time_pts_per_cardiac_cycle": points, "output_variable_based": True,
        "output_all_cycles": False, "absolute_tolerance": 1e-10, "steady_initial": False,
    } | more  # fmt: skip


def inlet(name="INFLOW"):
    return {"bc_name": name, "bc_type": "FLOW", "bc_values": {"Q": FLOW.tolist(), "t": TIMES.tolist()}}


def vessel(number, ends, **values):
    return {
        "vessel_id": number, "vessel_name": f"v{number}", "zero_d_element_type": "BloodVessel",
        "boundary_conditions": ends, "zero_d_element_values": values,
    }  # fmt: skip


def resistance(name, value=900.0, distal=5000.0):
    return {"bc_name": name, "bc_type": "RESISTANCE", "bc_values": {"R": value, "Pd": distal}}


def windkessel(name, distal=800.0):
    return {"bc_name": name, "bc_type": "RCR", "bc_values": {"Rp": 60.0, "C": 6e-4, "Rd": distal, "Pd": 4000.0}}


def coronary(name):
    muscle = 20000.0 * (1 + np.sin(2 * np.pi * TIMES))
    values = {"Ca": 1e-5, "Cc": 4e-5, "Ra1": 4000.0, "Ra2": 6000.0, "Rv1": 2000.0, "P_v": 4000.0}
    return {"bc_name": name, "bc_type": "CORONARY", "bc_values": values | {"Pim": muscle.tolist(), "t": TIMES.tolist()}}


def open_case(outlet, **values):
    return {
        "simulation_parameters": settings(30), "boundary_conditions": [inlet(), outlet],
        "vessels": [vessel(0, {"inlet": "INFLOW", "outlet": "OUT"}, **values)], "junctions": [],
    }  # fmt: skip


def bifurcation():
    return {
        "simulation_parameters": settings(30), "boundary_conditions": [inlet(), windkessel("OUT"), windkessel("END", 1500.0)],
        "vessels": [
            vessel(0, {"inlet": "INFLOW"}, R_poiseuille=20.0, C=1e-4, L=2.0),
            vessel(1, {"outlet": "OUT"}, R_poiseuille=50.0, C=5e-5, L=1.0, stenosis_coefficient=1.0),
            vessel(2, {"outlet": "END"}, R_poiseuille=60.0, C=4e-5, L=1.5),
        ],
        "junctions": [{"junction_name": "J0", "junction_type": "NORMAL_JUNCTION", "inlet_vessels": [0], "outlet_vessels": [1, 2]}],
    }  # fmt: skip


def closed_loop():
    """One ventricle, two valves, arteries and veins."""

    def valve(name, up, down):
        values = {"Rmin": 15.0, "Rmax": 1e5, "Steepness": 2e-3, "upstream_block": up, "downstream_block": down}
        return {"type": "ValveTanh", "name": name, "params": values}

    activation = {"type": "piecewise_cosine", "contract_start": 0.05, "relax_start": 0.35, "contract_duration": 0.3, "relax_duration": 0.15}
    chamber = {
        "type": "LinearElastanceChamber", "name": "heart", "values": {"Emax": 2600.0, "Epass": 110.0, "Vrest": 8.0},
        "activation_function": activation,
    }  # fmt: skip
    return {
        "simulation_parameters": settings(60, 201, cardiac_period=PERIOD, absolute_tolerance=1e-8), "boundary_conditions": [],
        "vessels": [vessel(0, {}, R_poiseuille=1100.0, C=1.1e-3, L=6.0), vessel(1, {}, R_poiseuille=60.0, C=1.5e-2, L=0.6)],
        "junctions": [{"junction_name": "J0", "junction_type": "NORMAL_JUNCTION", "inlet_vessels": [0], "outlet_vessels": [1]}],
        "valves": [valve("out", "heart", "v0"), valve("in", "v1", "heart")], "chambers": [chamber],
        "initial_condition": {"Vc:heart": 130.0, "pressure_all": 12000.0},
    }  # fmt: skip


CORONARIES = {"LCA": ("Left", "v1", "P_LV:CLH", "iml"), "RCA": ("Right", "v2", "P_RV:CLH", "imr")}
"""Of :func:`closed_loop_coronaries`: side, vessel before it, the ventricle's pressure, and the share of it that squeezes."""


def closed_loop_coronaries():
    """Its lumped heart and lungs with a body and two coronary beds, whose muscle has a share of its own ventricle's pressure; mmHg, mL."""
    heart = {
        "Tsa": 0.41, "tpwave": 9.0, "Erv_s": 2.1, "Elv_s": 3.1, "iml": 0.5, "imr": 0.8, "Lrv_a": 1.9e-4, "Rrv_a": 0.035, "Lra_v": 2.2e-4,
        "Rra_v": 0.008, "Lla_v": 3.5e-4, "Rla_v": 0.0053, "Rlv_ao": 0.034, "Llv_a": 1.1e-4, "Vrv_u": 9.4, "Vlv_u": 5.6, "Rpd": 0.1,
        "Cp": 1.1, "Cpa": 0.56, "Kxp_ra": 9.2, "Kxv_ra": 0.0048, "Emax_ra": 0.21, "Vaso_ra": 4.8, "Kxp_la": 9.2, "Kxv_la": 0.0081,
        "Emax_la": 0.3, "Vaso_la": 9.4,
    }  # fmt: skip
    beds = {
        "LCA": {"Ra": 10.0, "Ram": 15.0, "Rv": 30.0, "Ca": 6e-4, "Cim": 4e-3},
        "RCA": {"Ra": 20.0, "Ram": 28.0, "Rv": 60.0, "Ca": 1e-3, "Cim": 3e-3},
    }
    ends = [{"bc_name": name, "bc_type": f"ClosedLoopCoronary{CORONARIES[name][0]}", "bc_values": values} for name, values in beds.items()]
    body = {"bc_name": "BODY", "bc_type": "ClosedLoopRCR", "bc_values": {"Rp": 0.1, "Rd": 1.1, "C": 0.3, "closed_loop_outlet": True}}
    names = {"v0": "BODY", "v1": "LCA", "v2": "RCA"}
    return {
        "simulation_parameters": settings(30, 501),
        "boundary_conditions": [*ends, body],
        "vessels": [vessel(i, {"outlet": end}, R_poiseuille=3.0 if i else 4e-3, L=6e-3) for i, end in enumerate(names.values())],
        "junctions": [],
        "closed_loop_blocks": [
            {"outlet_blocks": list(names), "closed_loop_type": "ClosedLoopHeartAndPulmonary", "cardiac_cycle_period": PERIOD,
             "parameters": heart},
        ],
        "initial_condition": {"V_RA:CLH": 38.0, "V_RV:CLH": 96.0, "V_LA:CLH": 38.0, "V_LV:CLH": 96.0, "P_pul:CLH": 8.0},
    }  # fmt: skip


CASES = {
    "RLC": open_case(resistance("OUT"), R_poiseuille=80.0, C=4e-4, L=5.0),
    "RCR": open_case(windkessel("OUT"), R_poiseuille=30.0),
    "stenosis": open_case(resistance("OUT"), R_poiseuille=80.0, C=1e-4, L=1.0, stenosis_coefficient=2.0),
    "coronary": open_case(coronary("OUT"), R_poiseuille=30.0),
    "bifurcation": bifurcation(),
    "closed loop": closed_loop(),
}
CASES["coronary"]["boundary_conditions"][0]["bc_values"]["Q"] = (FLOW / 25).tolist()
