"""A bolus through a voxel vessel: transit time and flow of indicator dilution have closed forms, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics.lattice_units import LatticeUnits
from physics.vessel_shape import straight_vessel
from solvers.lattice_boltzmann import D3Q19, face_patches, lattice_domain
from tests.problems import number
from twinsim.errors import InputError
from twinsim.vessel_bolus import bolus_numbers, carried, check_memory, scalar_domain
from twinsim.vessel_case import INLET, OUTLET

UNITS = LatticeUnits(number(5e-4), number(1e-3), number(1060.0))


def tube(frames, pulse=0.0, length=12):
    """Poiseuille's flow in a straight tube, the same in every section, and its volume and mean flow in mL and mL/min."""
    shape = straight_vessel(3.0, length)
    domain = lattice_domain(D3Q19, face_patches(shape.distance[1:-1, 1:-1, 1:-1] > 0, {INLET: (0, 0), OUTLET: (0, 1)}))
    speed = 0.08 * np.maximum(shape.distance, 0) * (6 - shape.distance) / 9 * np.asarray(domain.fluid).reshape(shape.distance.shape)
    wave = 1 + pulse * np.sin(2 * np.pi * np.arange(frames) / frames)
    velocity = np.zeros((frames, 3, domain.size))
    velocity[:, 0] = wave[:, None] * speed.ravel()
    section = speed.sum() / length
    volume = float(np.asarray(domain.fluid).sum()) * float(UNITS.voxel) ** 3 * 1e6
    return domain, jnp.asarray(velocity), volume, section * float(UNITS.flow) * 6e7


def test_steady_flow_is_read_off_a_bolus_exactly():
    """Mean transit time is volume over flow, and dose over area the flow, on any voxels: both are balances (Meier, Zierler 1954)."""
    domain, velocity, volume, flow = tube(frames=1)
    course = carried(domain, velocity, UNITS, substeps=40, diffusivity=1e-5, duration=0.3, longest=40)
    found = bolus_numbers(course, UNITS, volume, flow)
    assert 0 < found["bolus_left_relative"] < 1e-4
    assert found["bolus_mean_transit_s"] == pytest.approx(found["bolus_volume_over_flow_s"], rel=1e-3)  # what is left is missing
    for name in ("bolus_flow_stewart_hamilton_ml_per_min", "bolus_flow_imaged_ml_per_min"):
        assert found[name] == pytest.approx(flow, rel=2e-4), name
    assert found["bolus_dose_ml"] == pytest.approx(flow / 60 * 0.15, rel=1e-4)
    assert 0.2 < found["bolus_outlet_peak_relative"] < 1


def test_a_bolus_that_is_short_beside_the_beat_misreads_the_flow():
    """Injected at the start of a beat whose flow rises, it leaves by the fast phase; what is kept is the amount."""
    domain, velocity, volume, flow = tube(frames=8, pulse=0.9, length=6)
    course = carried(domain, velocity, UNITS, substeps=25, diffusivity=1e-5, duration=0.05, longest=20)
    found = bolus_numbers(course, UNITS, volume, flow)
    assert abs(found["bolus_flow_stewart_hamilton_ml_per_min"] / flow - 1) > 0.03
    assert course.left.sum() == pytest.approx(course.entered.sum(), rel=2e-4)


def test_a_bolus_that_has_not_left_has_no_transit_time():
    domain, velocity, volume, flow = tube(frames=1)
    course = carried(domain, velocity, UNITS, substeps=10, diffusivity=1e-5, duration=0.05, longest=6)
    found = bolus_numbers(course, UNITS, volume, flow)
    assert found["bolus_mean_transit_s"] is None and found["bolus_flow_imaged_ml_per_min"] is None
    assert found["bolus_left_relative"] > 0.9


def test_the_voxels_of_the_scalar_are_those_of_the_flow():
    domain, *_ = tube(frames=1)
    found = scalar_domain(domain)
    np.testing.assert_array_equal(found.fluid, domain.fluid)
    assert found.patches == domain.patches
    straight = np.abs(np.asarray(D3Q19.steps)).sum(axis=1)[np.asarray(domain.direction[domain.links_of(OUTLET)])] == 1
    np.testing.assert_array_equal(found.cell[found.links_of(OUTLET)], np.asarray(domain.cell[domain.links_of(OUTLET)])[straight])


def test_refusals():
    domain, velocity, *_ = tube(frames=1)
    with pytest.raises(InputError, match="choose less --bolus-diffusivity"):
        carried(domain, velocity, UNITS, 10, 1.0, 0.1, 2)
    with pytest.raises(InputError, match="use --frames"):
        check_memory(1_000_000, domain, 4)
