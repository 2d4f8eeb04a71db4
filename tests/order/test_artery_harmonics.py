"""Harmonics of a tree: closed form of one vessel, order two in the stations, one order of amplitude per round."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.artery_harmonics import linear_lines, periodic_tree, solve_lines
from physics.artery_tree import ArteryTree

DENSITY, VISCOSITY, RADIUS, SPEED, LENGTH, PERIOD = 1060.0, 4e-3, 8e-3, 5.0, 0.24, 0.8
PROXIMAL, DISTAL, COMPLIANCE = 2e7, 2e8, 5e-9


def chain(pieces: int, flow: float = 6e-5) -> ArteryTree:
    """One tube as so many vessels in a row."""
    rows = 16
    at = np.arange(rows)
    here = at < pieces
    end = at == pieces - 1
    time = np.arange(64) / 64
    wave = 1 + 1.2 * np.sin(2 * np.pi * time) + 0.5 * np.cos(4 * np.pi * time)
    full = lambda value: jnp.full(rows, value)  # noqa: E731
    return ArteryTree(
        parent=jnp.asarray(np.where(here, at - 1, -1)),
        present=jnp.asarray(here),
        terminal=jnp.asarray(end),
        length=full(LENGTH / pieces),
        radius=full(RADIUS),
        speed=full(SPEED),
        proximal=jnp.where(end, PROXIMAL, 0),
        distal=jnp.where(end, DISTAL, 0),
        compliance=jnp.where(end, COMPLIANCE, 0),
        inlet=jnp.asarray(flow * wave),
        period=jnp.asarray(PERIOD),
        external_pressure=jnp.asarray(1e4),
        density=jnp.asarray(DENSITY),
        viscosity=jnp.asarray(VISCOSITY),
        profile=jnp.asarray(9.0),
    )


def test_one_vessel_is_the_telegraph_line():
    """Input impedance, (Z_l + Z tanh) / (1 + Z_l/Z tanh), by NumPy's own complex functions, and the pressure at the far end."""
    tree, mean = chain(1), jnp.full(16, 1.3e4)
    lines = linear_lines(tree, mean, 8)
    inlet = jnp.asarray(1e-5 * (1 + 0.3j) * np.exp(-0.4 * np.arange(9))).at[0].set(6e-5)
    pressure, flow = solve_lines(tree, lines, inlet)
    root = 1 + 3e3 / (2 * DENSITY * SPEED**2)
    area = np.pi * RADIUS**2 * root**2
    omega = 2 * np.pi * np.arange(1, 9) / PERIOD
    series, shunt = 22 * np.pi * VISCOSITY / area**2 + 1j * omega * DENSITY / area, 1j * omega * area / (DENSITY * SPEED**2 * root)
    load = PROXIMAL + DISTAL / (1 + 1j * omega * DISTAL * COMPLIANCE)
    own, tangent = np.sqrt(series / shunt), np.tanh(LENGTH * np.sqrt(series * shunt))
    seen = (load + own * tangent) / (1 + load / own * tangent)
    np.testing.assert_allclose(pressure[0, 0, 1:], seen * inlet[1:], rtol=1e-10)
    np.testing.assert_allclose(pressure[0, -1, 1:], load * flow[0, -1, 1:], rtol=1e-10)
    resistance = 22 * np.pi * VISCOSITY / area**2 * LENGTH
    np.testing.assert_allclose(pressure[0, 0, 0], 6e-5 * (resistance + PROXIMAL + DISTAL), rtol=1e-12)


@pytest.mark.slow
def test_pieces_of_the_linear_line_are_the_line():
    linear = jax.jit(lambda tree: periodic_tree(tree, 64, 0))
    (whole, _), (pieces, flow) = linear(chain(1)), linear(chain(4))
    # The pieces are linear about their own mean pressures, which differ by the little that friction takes.
    np.testing.assert_allclose(pieces[3, -1], whole[0, -1], rtol=1e-4)
    np.testing.assert_allclose(pieces[0, -1], whole[0, 1], rtol=1e-4)
    np.testing.assert_allclose(flow[1, 0], flow[0, -1], rtol=1e-11)


@pytest.mark.slow
def test_sources_at_stations_are_of_order_two():
    solve = jax.jit(lambda tree: periodic_tree(tree, 64, 6))
    pieces = np.array([1, 2, 3, 4, 6])
    fine, _ = solve(chain(16))
    error = [np.sqrt(np.mean((solve(chain(int(n)))[0][0, 0] - fine[0, 0]) ** 2)) for n in pieces]
    slope = -np.polyfit(np.log(pieces), np.log(error), 1)[0]
    assert abs(slope - 2) < 0.2, (slope, error)


@pytest.mark.slow
def test_every_round_gains_an_order_of_amplitude():
    solve = {rounds: jax.jit(lambda tree, rounds=rounds: periodic_tree(tree, 64, rounds)) for rounds in (0, 1, 2, 8)}
    # The tube is nearly empty of pressure outside, so that all that is not linear falls with the flow.
    amplitudes = np.array([5e-7, 1e-6, 2e-6, 4e-6])
    base = dataclasses.replace(chain(2), external_pressure=jnp.asarray(0.0))
    for rounds, order in ((0, 1), (1, 2), (2, 3)):
        error = []
        for amplitude in amplitudes:
            tree = dataclasses.replace(base, inlet=base.inlet * (amplitude / 6e-5))
            _, best = solve[8](tree)
            _, flow = solve[rounds](tree)
            error.append(float(jnp.linalg.norm(flow[:2] - best[:2]) / jnp.linalg.norm(best[:2])))
        slope = np.polyfit(np.log(amplitudes), np.log(error), 1)[0]
        assert abs(slope - order) < 0.25, (rounds, slope, error)
