"""Small circuits at the ends of an artery that several proofs share."""

from dataclasses import replace
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from jax import lax

from physics import Block, assemble, couple
from physics.circuit_waveform import waveform
from physics.coupled_arteries import artery_end
from tests.arteries import artery
from tests.problems import quick_jit

PERIOD = 0.2
RESISTANCE = 0.5
VALVE = {"open_resistance": 0.01, "closed_resistance": 1e3, "steepness": 5.0, "inertance": 5e-4}


def without_inlet(network):
    return replace(network, inlet_nodes=(), inlet_flow=jnp.zeros((0, network.inlet_times.size)))


def pulse(height=10.0, centre=0.03, width=0.008, samples=2001):
    """A smooth pulse of pressure, mmHg."""
    times = np.linspace(0.0, PERIOD, samples)
    return waveform(times, height * np.exp(-(((times - centre) / width) ** 2)))


def driven(source=None, total=True, cells=16, **vessel):
    """A pulse of pressure through a resistance into an inviscid artery, whose end absorbs unless ``vessel`` says otherwise."""
    row = {"ends": (1, 2), "cells": cells, "outlet": "reflection", "reflection": 0.0, **vessel}
    blocks = [
        Block("source", "pressure_source", inputs={"pressure": pulse() if source is None else source}),
        Block("feed", "vessel", {"resistance": RESISTANCE}),
        Block("root", "to_artery", artery_end(), {"outgoing": 0.0}),
    ]
    circuit = assemble(blocks, [("source", "feed"), ("feed", "root")], PERIOD)
    return couple(without_inlet(artery([row])), circuit, {"root": 1}, total)


def loop(cells=10):
    """A ventricle between two valves pumps into an artery whose far end returns through a compliance; no blood comes or goes."""
    timing = {"contraction_start": 0.0, "contraction_time": 0.07, "relaxation_time": 0.05}
    rest = {"diastolic_rest_volume": 1.0, "systolic_rest_volume": 1.0}
    blocks = [
        Block("end", "from_artery", artery_end(), {"outgoing": 0.0}),
        Block("veins", "vessel", {"resistance": 8.0, "compliance": 0.2}),
        Block("inlet", "valve", VALVE),
        Block("ventricle", "chamber", {"passive_elastance": 1.0, "active_elastance": 30.0, **rest, **timing}),
        Block("outlet", "valve", VALVE),
        Block("root", "to_artery", artery_end(), {"outgoing": 0.0}),
    ]
    chain = ("end", "veins", "inlet", "ventricle", "outlet", "root")
    circuit = assemble(blocks, list(pairwise(chain)), PERIOD)
    vessel = {"ends": (1, 2), "cells": cells, "length": 0.2, "external_pressure": 60 * 133.322, "initial_pressure": 60 * 133.322}
    return couple(without_inlet(artery([vessel], viscosity=4e-3)), circuit, {"root": 1, "end": 2})


def loop_start(model):
    return model.initial_state(model.circuit.start({"volume:ventricle": 6.0, "root:root": 1.0, "root:end": 1.0}, 5.0))


@quick_jit
def march(model, state, time, steps):
    """From time zero in so many equal steps; one program for any number. The volumes of ports are in the state of the last step."""
    one = model.stepper(1).stepper
    length = time / steps
    return lax.fori_loop(0, steps, lambda n, state: one.advance(state, n * length, length), state)
