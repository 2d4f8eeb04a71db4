"""A voxel piece between arteries: closed forms of waves and steady flow, not a drop lost, other pieces and openings, bad input."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import voxel_segment
from physics.lattice_units import lattice_units
from solvers import simulate, time_mesh
from solvers.lattice_boltzmann import D3Q19, TRT, ConstantViscosity, face_patches, lattice_domain, unit_inflow
from tests.arteries import DENSITY, artery
from tests.problems import quick_jit
from tests.segments import AREA, LENGTH, RADIUS, VISCOSITY, segment, transmitted


@quick_jit
def march(model, state, steps):
    one, length = model.stepper(), model.step
    return jax.lax.fori_loop(0, steps, lambda n, state: one.advance(state, n * length, length), state)


@quick_jit
def record(model, mesh):
    return simulate(model.stepper(), model.initial_state(), mesh, observe=lambda time, state: (time, state.entering, model.volume(state)))


def run(model, until):
    step = float(model.step)
    solution = record(model, time_mesh(0.0, [int(until / step) * step], step))
    solution.raise_for_status()
    return tuple(np.asarray(part) for part in solution.observations)


@pytest.mark.slow
def test_a_pulse_passes_as_through_womersleys_rigid_tube():
    model = segment(sound=24.0, cells=80)
    times, entering, _ = run(model, 0.085)
    exact = transmitted(model, times, 20 * float(model.units.voxel))
    without = np.linalg.norm(transmitted(model, times, 1e-9) - exact) / np.linalg.norm(exact)
    np.testing.assert_array_equal(entering[:, 1], -entering[:, 0])
    assert np.linalg.norm(entering[:, 0] - exact) / np.linalg.norm(exact) < 0.015 < without / 15


def closed(pressure=400.0, **options):
    """Both far ends closed, the first artery under more pressure (Pa) than the second."""
    shut = {"outlet": "reflection", "reflection": 1.0}
    model = segment(ends=({"initial_pressure": pressure}, shut), **options)
    return replace_network(model, inlet_flow=jnp.zeros_like(model.network.inlet_flow))


def replace_network(model, **changes):
    return eqx.tree_at(lambda m: m.network, model, replace(model.network, **changes))


@pytest.mark.slow
def test_not_a_drop_is_lost_between_closed_ends():
    model = closed()
    _, entering, volume = run(model, 0.05)
    start = float(model.volume(model.initial_state()))
    assert np.abs(entering).max() > 5e-7  # it moves
    np.testing.assert_allclose(volume, start, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("modulus", "sound"), [(7e3, 24.0), (7e7, 6.0), (7e5, 3.0)])
def test_soft_and_stiff_arteries_on_fast_and_slow_lattices_stay_calm(modulus, sound):
    difference = 1e-4 * modulus
    model = closed(difference, youngs_modulus=modulus, sound=sound, length=12)
    rate = model.network.flow()
    # What two arteries without a piece between them pass, and as much again for the lattice's first sounds.
    most = difference / (DENSITY * float(rate.cells.resting_speed[3]) / AREA)
    _, entering, _ = run(model, 3000 * float(model.step))
    assert 0 < np.abs(entering).max() < most
    assert np.abs(entering[-100:]).max() < most / 2


@pytest.mark.slow
def test_a_steady_flow_falls_as_poiseuille_has_it():
    windkessel = {"outlet": "windkessel", "proximal": 1e8, "distal": 1e6, "compliance": 1e-12}
    model = segment(voxels=10, length=24, sound=3.0, ends=({"length": 0.03, "cells": 4}, {"length": 0.03, "cells": 4, **windkessel}))
    flow = 2e-6
    model = replace_network(model, inlet_flow=jnp.full_like(model.network.inlet_flow, flow))
    state = march(model, model.initial_state(), 2000)
    np.testing.assert_allclose(np.asarray(state.entering), [flow, -flow], rtol=2e-3)
    # Between the voxels where pressure is read: half a voxel before the first opening to the last opening's face.
    length = 23.5 * float(model.units.voxel)
    assert float(state.drop[0]) == pytest.approx(8 * VISCOSITY * length * flow / (np.pi * RADIUS**4), rel=0.03)


@pytest.mark.slow
def test_three_openings_share_what_enters():
    units = lattice_units(1e-3, DENSITY, VISCOSITY / DENSITY, 0.01, 0.002)
    mask = np.zeros((16, 11, 6), bool)
    mask[:, :6] = True
    mask[6:11, 6:] = True
    domain = lattice_domain(D3Q19, face_patches(mask, {1: (0, 0), 2: (1, 1), 3: (0, 1)}))
    free = {"outlet": "reflection", "reflection": 0.0}
    rows = [{"ends": (1, 2)}, {"ends": (3, 4), **free}, {"ends": (5, 6), **free}]
    network = artery([{"cells": 20, "length": LENGTH, **row} for row in rows], flow=lambda time: 1e-6 * np.sin(np.pi * time / 0.1) ** 2)

    def plug(axis, sign):
        return lambda place: sign * np.eye(3)[[axis] * len(place)]

    profiles = {1: unit_inflow(domain, 1, plug(0, 1.0)), 2: unit_inflow(domain, 2, plug(1, -1.0))}
    viscosity = jnp.asarray(VISCOSITY / DENSITY) / units.kinematic_viscosity
    collision = TRT(ConstantViscosity(viscosity))
    areas = {1: 3.6e-5, 2: 3e-5, 3: 3.6e-5}
    model = voxel_segment(network, domain, collision, units, {1: 2, 2: 3, 3: 5}, profiles, areas)
    _, entering, volume = run(model, 0.1)
    into, side, on = entering[np.abs(entering[:, 0]).argmax()]
    assert into > 0 > side and on < 0
    assert abs(into + side + on) < 1e-12 * into
    assert np.isfinite(volume).all()
    with pytest.raises(ValueError, match="got profiles for"):
        voxel_segment(network, domain, collision, units, {1: 2, 2: 3, 3: 5}, {}, areas)


def test_ports_that_do_not_fit_are_refused():
    model = segment()
    parts = (model.network, model.flow.domain, model.flow.collision, model.units)
    profiles, areas = {1: model.flow.inlets[0].profile}, {1: AREA, 2: AREA}
    with pytest.raises(ValueError, match=r"got ports for openings \[1\]"):
        voxel_segment(*parts, {1: 2}, profiles, areas)
    with pytest.raises(ValueError, match="got node 9 for port 'opening 2'"):
        voxel_segment(*parts, {1: 2, 2: 9}, profiles, areas)
    with pytest.raises(ValueError, match="which has an inlet or outlet"):
        voxel_segment(*parts, {1: 2, 2: 4}, profiles, areas)
    with pytest.raises(ValueError, match="for arteries and voxels"):
        voxel_segment(replace(model.network, density=jnp.asarray(900.0)), *parts[1:], {1: 2, 2: 3}, profiles, areas)
    with pytest.raises(ValueError, match="between exchanges"):
        voxel_segment(*parts, {1: 2, 2: 3}, profiles, areas, substeps=10_000)
    with pytest.raises(ValueError, match="in the scheme second_order"):
        replace_network(model, scheme="openbf").stepper()
    with pytest.raises(ValueError, match="brings"):
        unit_inflow(model.flow.domain, 1, lambda place: -np.eye(3)[[0] * len(place)])
