"""Tips and filaments: known places and charges of rotating spirals and scroll rings, conservation of charge, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, Monodomain, TissueStimulus, phase, phase_singularities, topological_charge
from solvers import Diffusion, VoxelGrid, simulate

SHEET = VoxelGrid(np.ones((40, 32, 1), bool), (0.5, 0.6, 1.0))


def coordinates(grid):
    axes = [(np.arange(n) + 0.5) * h for n, h in zip(grid.shape, grid.spacing, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def flat(field):
    return jnp.asarray(field.reshape(-1))


def spiral(grid, tip, charge, time=0.0, amplitude=True):
    """An Archimedean spiral of pitch 8 mm turning once in 100 ms round a tip: z = r exp(i(q phi - 2 pi r/8 - 2 pi t/100))."""
    x, y, _ = coordinates(grid)
    r, turn = np.hypot(x - tip[0], y - tip[1]), np.arctan2(y - tip[1], x - tip[0])
    angle = charge * turn - 2 * np.pi * (r / 8 + time / 100)
    size = np.tanh(r / 2) if amplitude else 1.0
    return flat(size * np.cos(angle)), flat(size * np.sin(angle))


@pytest.mark.parametrize("charge", [1, -1])
@pytest.mark.parametrize("tip", [(9.83, 7.11), (4.3, 14.9), (10.0, 9.0)])
def test_a_rotating_spiral_has_one_tip_where_it_is_put(tip, charge):
    for time in (0.0, 13.0, 77.0):
        found = phase_singularities(SHEET, *spiral(SHEET, tip, charge, time), most=4)
        assert int(found.count) == 1 and found.charge.tolist() == [charge, 0, 0, 0] and found.normal.tolist() == [2, -1, -1, -1]
        np.testing.assert_allclose(found.position[0, :2], tip, atol=0.06)  # a tenth of a voxel
        assert np.isnan(np.asarray(found.position[1:])).all()


def test_from_two_snapshots_a_quarter_of_a_turn_apart():
    """Delay embedding: V(t) and V(t - T/4), nothing else known."""
    now, earlier = (spiral(SHEET, (9.83, 7.11), 1, time)[0] for time in (30.0, 5.0))
    found = phase_singularities(SHEET, now, earlier, most=3)
    assert int(found.count) == 1 and abs(int(found.charge[0])) == 1
    np.testing.assert_allclose(found.position[0, :2], (9.83, 7.11), atol=0.06)


@pytest.mark.slow
def test_the_place_converges_with_the_voxels():
    errors = []
    for n in (20, 40, 80, 160):
        grid = VoxelGrid(np.ones((n, n, 1), bool), 20 / n)
        found = phase_singularities(grid, *spiral(grid, (9.83, 7.11), 1), most=1)
        errors.append(float(np.hypot(*(np.asarray(found.position[0, :2]) - (9.83, 7.11)))))
    assert errors[-1] < errors[0] / 30 and errors[-1] < 2e-3, errors


def test_a_pair_has_no_charge_in_all_and_a_plane_wave_has_no_tip():
    x, y, _ = coordinates(SHEET)
    z = ((x - 5) + 1j * (y - 9)) * ((x - 14) - 1j * (y - 9.4))
    found = phase_singularities(SHEET, flat(z.real), flat(z.imag), most=4)
    assert int(found.count) == 2 and int(found.charge.sum()) == 0
    wave = np.exp(1j * (0.9 * x + 0.7 * y))
    assert int(phase_singularities(SHEET, flat(wave.real), flat(wave.imag)).count) == 0


def test_charges_are_what_the_phase_turns_round_the_boundary():
    angle = jnp.asarray(np.random.default_rng(1).uniform(-np.pi, np.pi, SHEET.size))
    total = int(topological_charge(SHEET, angle).sum())
    around = np.asarray(angle).reshape(40, 32)
    loop = np.concatenate([around[:, 0], around[-1, 1:], around[-2::-1, -1], around[0, -2::-1]])
    turns = np.diff(loop) / (2 * np.pi)
    assert total == round((turns - np.round(turns)).sum())


def test_filaments_do_not_end_inside_charges_of_every_block_add_up_to_zero():
    """Random phases, the worst case: the charges of the six sides of every voxel-centred cube."""
    grid = VoxelGrid(np.ones((7, 6, 5), bool), 1.0)
    angle = jnp.asarray(np.random.default_rng(2).uniform(-np.pi, np.pi, grid.size))
    charges = [np.asarray(topological_charge(grid, angle, normal)) for normal in range(3)]
    assert max(np.abs(charge).max() for charge in charges) == 1 and min(np.count_nonzero(charge) for charge in charges) > 10
    outward = sum(np.diff(charges[axis], axis=axis)[:6, :5, :4] for axis in range(3))
    assert not outward.any()


@pytest.mark.slow
def test_a_scroll_ring_is_found_on_its_circle():
    """z = (rho - R) + i h round the axis through the middle: the filament is the circle rho = R, h = 0."""
    grid = VoxelGrid(np.ones((24, 24, 12), bool), 0.5)
    x, y, h = coordinates(grid)
    rho, height = np.hypot(x - 6.03, y - 6.02), h - 3.11
    found = phase_singularities(grid, flat(rho - 3.7), flat(height), most=200)
    count = int(found.count)
    assert 0 < count <= 200 and set(found.normal[:count].tolist()) == {0, 1}
    place = np.asarray(found.position[:count])
    np.testing.assert_allclose(np.hypot(place[:, 0] - 6.03, place[:, 1] - 6.02), 3.7, atol=0.02)
    np.testing.assert_allclose(place[:, 2], 3.11, atol=1e-9)
    # Each pierces the planes of voxels that its projections cross: 8 R/h of them.
    assert count == pytest.approx(8 * 3.7 / 0.5, abs=4)
    for normal in (0, 1):  # what goes in on one side of the ring comes out on the other
        assert int(jnp.where(found.normal == normal, found.charge, 0).sum()) == 0


def test_plaquettes_with_a_missing_voxel_do_not_count():
    mask = np.ones((20, 20, 1), bool)
    mask[8:12, 8:12] = False
    grid = VoxelGrid(mask, 0.5)
    found = phase_singularities(grid, *spiral(grid, (5.0, 5.0), 1))
    assert int(found.count) == 0  # anatomical re-entry: the wave turns round a hole
    assert np.asarray(phase(jnp.zeros(2), jnp.ones(2))) == pytest.approx(np.pi / 2)


@pytest.mark.slow
def test_found_in_the_loop_of_a_simulation():
    cell = CELL_MODELS["aliev_panfilov"]()
    grid = VoxelGrid(np.ones((12, 10, 1), bool), 1.0)
    equation = Monodomain(cell, Diffusion(grid, jnp.full(grid.shape, 0.1)), (TissueStimulus(grid, grid.mask, 30.0, 1.0),))
    u, w = spiral(grid, (5.6, 4.7), 1)
    start = equation.initial_state(grid).at[0].set(0.5 + 0.5 * u).at[1].set(1.0 + w)

    def observe(time, state):
        del time
        return phase_singularities(grid, state[0] - 0.5, state[1] - 1.0, most=2)

    mesh = equation.mesh([0.5], 0.1)
    seen = jax.jit(lambda s: simulate(equation.stepper(), s, mesh, observe=observe))(start).observations
    assert seen.position.shape == (mesh.steps, 2, 3)
    np.testing.assert_allclose(seen.position[0, 0, :2], (5.6, 4.7), atol=0.5)


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        phase_singularities(SHEET, *spiral(SHEET, (5.0, 5.0), 1), most=0)
