"""What sensors see of sources: a dipole in a sphere against its series, reciprocity with the lead, regions, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import eval_legendre

from physics import average_reference, dipole_gain, field_per_milliampere, monopole_gain, region_gain, sphere_lead_field
from solvers.linear.elliptic import Jacobi, solve_elliptic
from tests.electrodes import lead_conductor, solved

RADIUS, SIGMA = 90.0, 0.33


def series(electrode, place, moment, terms=400):
    """Sum over spherical harmonics; the axis goes through the dipole."""
    f = np.linalg.norm(place) / RADIUS
    axis = place / np.linalg.norm(place)
    radial, across = moment @ axis, moment - (moment @ axis) * axis
    r = electrode / np.linalg.norm(electrode)
    cosine = r @ axis
    sideways = r - cosine * axis
    n = np.arange(1, terms)
    legendre = eval_legendre(n, cosine)
    slope = n * (eval_legendre(n - 1, cosine) - cosine * legendre) / (1 - cosine**2)  # dP/dx
    total = (2 * n + 1) / n * f ** (n - 1) * (n * radial * legendre + (across @ sideways) * slope)
    return total.sum() / (4 * np.pi * SIGMA * RADIUS**2)


def test_a_dipole_in_a_sphere_against_its_series():
    rng = np.random.default_rng(0)
    electrodes = rng.normal(size=(7, 3))
    dipoles = np.stack(
        [part / np.linalg.norm(part) * depth for part, depth in zip(rng.normal(size=(5, 3)), (10, 30, 50, 70, 80), strict=True)]
    )
    moments = rng.normal(size=(5, 3))
    found = np.einsum("edc,dc->ed", np.asarray(sphere_lead_field(electrodes, dipoles, RADIUS, SIGMA)), moments)
    exact = [[series(electrode, place, moment) for place, moment in zip(dipoles, moments, strict=True)] for electrode in electrodes]
    np.testing.assert_allclose(found, exact, rtol=1e-9)


def test_a_central_dipole_is_three_times_that_of_an_infinite_conductor():
    electrodes = np.array([[0.0, 0.0, 90.0], [0.0, 60.0, 67.08203932]])
    gain = sphere_lead_field(electrodes, np.zeros((1, 3)), RADIUS, SIGMA)
    free = dipole_gain(electrodes, np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]]), SIGMA)
    np.testing.assert_allclose(gain[:, :, 2], 3 * free, rtol=1e-8)


def test_the_mean_over_the_sphere_is_zero():
    cosine, weight = np.polynomial.legendre.leggauss(40)
    turn = np.arange(80) * 2 * np.pi / 80
    sine = np.sqrt(1 - cosine**2)
    points = np.stack([np.outer(sine, np.cos(turn)), np.outer(sine, np.sin(turn)), np.outer(cosine, np.ones(80))], axis=-1)
    gain = np.asarray(sphere_lead_field(points.reshape(-1, 3), np.array([[10.0, -20.0, 30.0]]), RADIUS, SIGMA)).reshape(40, 80, 3)
    assert np.abs(np.einsum("t,tpc->c", weight, gain)).max() < 1e-10 * np.abs(gain).max() * 160


@pytest.mark.slow
def test_a_contact_records_a_dipole_as_reciprocity_says():
    """Two voxels of opposite current in a random conductor: the potential of floating contacts is minus E of 1 mA, times the moment."""
    conductor = lead_conductor()
    unit, grid = solved(conductor, 1e-12), conductor.voxels.grid
    low, high = (int(np.ravel_multi_index((2, 5, k), grid.shape)) for k in (4, 6))
    source = jnp.zeros(grid.size).at[high].set(1.0).at[low].set(-1.0) / grid.voxel_volume
    # Contacts at zero take up currents; as floating ones they have R times these.
    operator = conductor.operator()
    field = solve_elliptic(operator, source, preconditioner=Jacobi(-operator.diagonal()), tolerance=1e-12, max_iterations=2000).field
    taken = grid.voxel_volume * conductor.contact_sources() @ field
    potentials = unit.resistance @ taken
    moment = 2 * grid.spacing[2]
    between = int(np.ravel_multi_index((2, 5, 5), grid.shape))
    reciprocal = -field_per_milliampere(conductor, unit)[:, 2, between] * moment
    exact = unit.per_milliampere[:, high] - unit.per_milliampere[:, low]
    np.testing.assert_allclose(potentials, exact, rtol=1e-8)
    assert np.sign(reciprocal).tolist() == np.sign(exact).tolist()
    np.testing.assert_allclose(reciprocal, exact, rtol=0.35)  # random tissue: the slope at one voxel for that over three


def test_gains_of_depth_electrodes_and_regions():
    contacts, sources = (
        np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]]),
        np.array([[0.0, 5.0, 0.0], [0.0, -5.0, 0.0], [10.0, 20.0, 0.0], [10.0, 0.2, 0.0]]),
    )
    gain = monopole_gain(contacts, sources, 0.25)
    assert float(gain[0, 0]) == pytest.approx(1 / (4 * np.pi * 0.25 * 5)) and float(gain[1, 3]) == pytest.approx(1 / np.pi)
    assert float(monopole_gain(contacts, sources, law="inverse square")[0, 0]) == pytest.approx(1 / 25)
    regions = region_gain(gain, np.array([0, 0, 1, -1]), 2)
    np.testing.assert_allclose(regions[:, 0], (gain[:, 0] + gain[:, 1]) / 2)
    np.testing.assert_allclose(
        region_gain(gain, np.array([0, 0, 1, -1]), 2, np.array([2.0, 3.0, 4.0, 9.0]))[:, 0], 2 * gain[:, 0] + 3 * gain[:, 1]
    )
    assert np.abs(np.asarray(average_reference(gain)).mean(axis=0)).max() < 1e-15


@pytest.mark.parametrize(
    "call",
    [
        lambda: sphere_lead_field(np.ones((2, 3)), np.array([[0.0, 0.0, 95.0]]), RADIUS, SIGMA),
        lambda: sphere_lead_field(np.zeros((2, 3)), np.zeros((1, 3)), RADIUS, SIGMA),
        lambda: sphere_lead_field(np.ones((2, 3)), np.zeros((1, 3)), RADIUS, -SIGMA),
        lambda: monopole_gain(np.full((1, 3), np.nan), np.zeros((1, 3))),
        lambda: dipole_gain(np.ones((1, 3)), np.zeros((1, 3)), np.zeros((1, 3))),
        lambda: region_gain(jnp.ones((1, 3)), np.array([0, 0, 2]), 3),
        lambda: region_gain(jnp.ones((1, 3)), np.array([0, 0, 3]), 3),
    ],
)
def test_bad_input_is_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r"^got .*; expected .*; do: ") as caught:
        call()
    assert "\n" not in str(caught.value)
