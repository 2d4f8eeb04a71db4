"""Neurons that several kinds of proof share, and the squid's axon written a second time, without the engine."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from physics import (
    AXON_RADIUS_UM,
    AXOPLASM_OHM_CM,
    CurrentClamp,
    HodgkinHuxley1952,
    Neuron,
    PassiveMembrane,
    Pulses,
    arrival_times,
    cable_shape,
)
from solvers import simulate

RADIUS_CM, OHM_CM = AXON_RADIUS_UM.value * 1e-4, AXOPLASM_OHM_CM.value


def squid(temperature_c=18.5):
    return eqx.tree_at(lambda one: one.temperature_c, HodgkinHuxley1952.published(), jnp.asarray(temperature_c))


def squid_axon(length_mm, compartments, temperature_c=18.5, stimuli=None):
    """Started at its left end by 30 uA for 0.2 ms, three times the threshold."""
    shape = cable_shape(1e3 * length_mm, 2 * AXON_RADIUS_UM.value, compartments)
    given = (CurrentClamp(0, Pulses(3e4, 0.0, 0.2)),) if stimuli is None else stimuli
    return Neuron(shape, squid(temperature_c), jnp.asarray(OHM_CM), given)


def passive_cable(compartments, electrotonic_length=1.0, stimuli=()):
    """4 um thick, length constant 1 mm and time constant 20 ms, at rest at zero; input resistance of a half-infinite one 79.6 Mohm."""
    shape = cable_shape(1e3 * electrotonic_length, 4.0, compartments)
    return Neuron(shape, PassiveMembrane(1.0, 0.05, 0.0), jnp.asarray(200.0), stimuli)


HALF_INFINITE_MOHM = 1e-6 * 200.0 * 0.1 / (np.pi * (2e-4) ** 2)  # R_a lambda / (pi a^2)


def potentials(neuron, times, step, method="symmetric", state=None):
    """mV of every compartment at the times."""
    state = neuron.initial_state() if state is None else state
    return simulate(neuron.stepper(method), state, neuron.mesh(times, step), memory_mib=1e4).states[:, 0]


def rates_by_hand(v):
    """alpha and beta of m, h, n at 6.3 degrees as in the paper with V' = -65 - V; for numbers, real or complex, away from 0/0."""
    u = -65.0 - v
    alpha = np.array([0.1 * (u + 25) / (np.exp((u + 25) / 10) - 1), 0.07 * np.exp(u / 20), 0.01 * (u + 10) / (np.exp((u + 10) / 10) - 1)])
    beta = np.array([4 * np.exp(u / 18), 1 / (np.exp((u + 30) / 10) + 1), 0.125 * np.exp(u / 80)])
    return alpha, beta


def ionic_current_by_hand(v, gates):
    m, h, n = gates
    return 120.0 * m**3 * h * (v - 50.0) + 36.0 * n**4 * (v + 77.0) + 0.3 * (v + 54.387)


def steady_by_hand(v):
    alpha, beta = rates_by_hand(v)
    return alpha / (alpha + beta)


def squid_rest():
    return brentq(lambda v: ionic_current_by_hand(v, steady_by_hand(v)), -66.0, -64.0, xtol=1e-13)


def travelling_wave_velocity(temperature_c=18.5):
    """m/s from K of V'' = K (V' + I/C), found by shooting: above the right one V runs off upwards, below it downwards."""
    factor, rest = 3.0 ** ((temperature_c - 6.3) / 10), squid_rest()

    def right(_, y, k):
        alpha, beta = rates_by_hand(y[0])
        gates = y[2:]
        return [y[1], k * (y[1] + ionic_current_by_hand(y[0], gates)), *(factor * (alpha * (1 - gates) - beta * gates))]

    start = np.array([rest, 0.0, *steady_by_hand(rest)])

    def runs_up(k):
        jacobian = np.array([(np.array(right(0, start + d, k)) - right(0, start - d, k)) / 2e-6 for d in 1e-6 * np.eye(5)]).T
        values, vectors = np.linalg.eig(jacobian)
        fastest = int(np.argmax(values.real))
        along = vectors[:, fastest].real
        y = start + 1e-3 * along / along[0]
        up, down = (lambda t, y, k: y[0] - 100), (lambda t, y, k: y[0] + 120)
        up.terminal = down.terminal = True
        found = solve_ivp(right, (0, 30), y, "LSODA", args=(k,), events=(up, down), rtol=1e-11, atol=1e-11)
        return found.t_events[0].size > 0

    low, high = 5.0 * factor / 3.82, 20.0 * factor / 3.82
    for _ in range(45):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if runs_up(middle) else (middle, high)
    return np.sqrt(middle * 1e3 * RADIUS_CM / (2 * OHM_CM * 1e-6)) * 1e-2


def axon_velocity(step, compartments, length_mm=60.0, method="symmetric", temperature_c=18.5, until=None):
    """m/s between 40 and 70 percent of the squid's axon."""
    neuron = squid_axon(length_mm, compartments, temperature_c)
    sites = [int(0.4 * compartments), int(0.7 * compartments)]
    until = length_mm / 18.7 * 3.0 ** ((6.3 - temperature_c) / 20 + 0.61) if until is None else until
    mesh = neuron.mesh([until], step)
    state = neuron.staggered(neuron.initial_state(), step) if method == "staggered" else neuron.initial_state()
    seen = jax.jit(lambda: simulate(neuron.stepper(method), state, mesh, observe=neuron.recorder(sites)).observations)()
    first, last = arrival_times(np.asarray(mesh.times), np.asarray(seen))
    return (sites[1] - sites[0]) * length_mm / compartments / (last - first)
