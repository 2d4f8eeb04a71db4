"""Circuits that several tests share."""

import numpy as np

from physics import Block, assemble, constant, fourier

PERIOD = 0.9


def inflow(samples=181):
    """mL/s, with flow back in diastole."""
    return fourier(80.0, [60.0, -25.0, 8.0], [90.0, 20.0, -6.0], PERIOD, samples)


def windkessel(flow=None, **values):
    values = {"proximal_resistance": 0.05, "compliance": 1.4, "distal_resistance": 1.0} | values
    blocks = [
        Block("heart", "flow_source", {}, {"flow": inflow() if flow is None else flow}),
        Block("bed", "windkessel", values, {"distal_pressure": 5.0}),
    ]
    return assemble(blocks, [("heart", "bed")], PERIOD)


def branched():
    """A bifurcation with a stenosis in one branch and a coronary bed at the end of the other."""
    muscle = fourier(30.0, [-40.0, 10.0], [35.0, 5.0], PERIOD, 91)
    blocks = [
        Block("heart", "flow_source", {}, {"flow": inflow()}),
        Block("trunk", "vessel", {"resistance": 0.02, "compliance": 0.3, "inertance": 2e-3}),
        Block("fork", "junction"),
        Block("left", "vessel", {"resistance": 0.05, "compliance": 0.1, "inertance": 1e-3, "stenosis": 2e-3}),
        Block("right", "vessel_inlet_compliance", {"resistance": 0.05, "compliance": 0.1, "inertance": 1e-3}),
        Block("body", "windkessel", {"proximal_resistance": 0.1, "compliance": 1.0, "distal_resistance": 1.2}, {"distal_pressure": 4.0}),
        Block(
            "muscle", "coronary",
            {"arterial_resistance": 2.0, "micro_resistance": 3.0, "venous_resistance": 1.0, "arterial_compliance": 0.02,
             "intramyocardial_compliance": 0.1},
            {"intramyocardial_pressure": muscle, "venous_pressure": constant(5.0)},
        ),
    ]  # fmt: skip
    links = [("heart", "trunk"), ("trunk", "fork"), ("fork", "left"), ("fork", "right"), ("left", "body"), ("right", "muscle")]
    return assemble(blocks, links, PERIOD)


def loop_of_two():
    """The smallest closed loop with a heart: one chamber, two valves, arteries, veins."""
    chamber = {
        "passive_elastance": 0.08, "active_elastance": 2.0, "diastolic_rest_volume": 10.0, "systolic_rest_volume": 5.0,
        "contraction_start": 0.05, "contraction_time": 0.25, "relaxation_time": 0.15,
    }  # fmt: skip
    valve = {"open_resistance": 0.01, "closed_resistance": 300.0, "steepness": 1.0, "inertance": 5e-4, "kinetic_loss": 1e-5}
    blocks = [
        Block("ventricle", "chamber", chamber),
        Block("out", "valve", valve),
        Block("arteries", "vessel_inlet_compliance", {"resistance": 1.0, "compliance": 1.5, "inertance": 5e-3}),
        Block("veins", "vessel_inlet_compliance", {"resistance": 0.05, "compliance": 20.0, "inertance": 5e-4}),
        Block("in", "valve", valve),
    ]
    links = [("ventricle", "out"), ("out", "arteries"), ("arteries", "veins"), ("veins", "in"), ("in", "ventricle")]
    return assemble(blocks, links, PERIOD)


def loop_start(circuit):
    """Filled, at rest."""
    values = {name: 8.0 for name in circuit.names if name.startswith("pressure")} | {"volume:ventricle": 110.0}
    return circuit.start(values)


def relative(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    return float(np.abs(found - expected).max() / np.abs(expected).max())
