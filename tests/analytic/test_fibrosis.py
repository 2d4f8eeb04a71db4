"""Fibrosis: fractions and correlations reached, closed limits of what is left to conduct, and the way round a barrier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import (
    CELL_MODELS,
    BlockedFaces,
    Monodomain,
    RecordActivation,
    TissueStimulus,
    compact_scar,
    diffuse_fibrosis,
    effective_conductivity,
    fibre_tensor,
    interstitial_fibrosis,
    niederer_diffusivities,
    straight_barrier,
    texture,
    with_blocked_faces,
    without,
)
from solvers import Diffusion, LatticeDiffusion, TensorDiffusion, VoxelGrid, simulate
from tests.problems import matrix, quick_jit, random_tensor, slitted_mask

KEY = jax.random.key(3)
SHEET = VoxelGrid(np.ones((60, 60, 1), bool), 0.25)


def uniform(grid):
    return Diffusion(grid, jnp.ones(grid.shape))


@pytest.mark.parametrize("correlation", [0.0, 1.0, (2.0, 0.5, 0.0)])
@pytest.mark.parametrize("fraction", [0.0, 0.137, 0.6])
def test_the_fraction_is_reached_to_a_voxel_and_patterns_are_nested(fraction, correlation):
    grid = VoxelGrid(slitted_mask((20, 18, 15)), (0.3, 0.4, 0.5))
    found = np.asarray(diffuse_fibrosis(grid, fraction, correlation, KEY))
    assert abs(found.sum() - fraction * np.asarray(grid.mask).sum()) <= 0.5 and not found[~np.asarray(grid.mask)].any()
    more = np.asarray(diffuse_fibrosis(grid, fraction + 0.1, correlation, KEY))
    assert not (found & ~more).any()
    other = np.asarray(diffuse_fibrosis(grid, fraction, correlation, jax.random.key(4)))
    assert fraction == 0 or (other != found).any()


def test_the_texture_has_its_variance_and_correlation():
    grid = VoxelGrid(np.ones((400, 400, 1), bool), 0.25)
    field = np.asarray(texture(grid, (1.5, 0.75, 0.0), KEY))[..., 0]
    assert field.var() == pytest.approx(1, abs=0.1)
    for axis, length in ((0, 1.5), (1, 0.75)):
        for steps in (2, 4, 6):
            expected = np.exp(-((steps * 0.25) ** 2) / (2 * length**2))
            assert (field * np.roll(field, steps, axis)).mean() == pytest.approx(expected, abs=0.08)


def test_interstitial_strands_reach_their_fraction_and_follow_the_fibre():
    blocked = interstitial_fibrosis(SHEET, 0.3, 2.0, KEY, fibre_axis=0)
    assert not np.asarray(blocked.x).any() and not np.asarray(blocked.z).any()
    strands = np.asarray(blocked.y)[:, :-1, 0]
    assert strands.sum() == round(0.3 * strands.size) and not np.asarray(blocked.y)[:, -1].any()
    along = (strands[1:] & strands[:-1]).mean() / 0.3
    across = (strands[:, 1:] & strands[:, :-1]).mean() / 0.3
    assert along > 0.85 and across == pytest.approx(0.3, abs=0.05)


def test_blocked_strands_leave_the_current_along_the_fibre_alone_and_stop_the_one_across():
    blocked = interstitial_fibrosis(SHEET, 0.4, 1.0, KEY)
    operator = with_blocked_faces(uniform(SHEET), SHEET, blocked)
    assert effective_conductivity(operator, SHEET, 0) == pytest.approx(1, rel=1e-10)
    assert 0 < effective_conductivity(operator, SHEET, 1) < 0.5
    closed = with_blocked_faces(uniform(SHEET), SHEET, interstitial_fibrosis(SHEET, 1.0, 1.0, KEY))
    assert effective_conductivity(closed, SHEET, 1) == 0
    # A share that is left in every face across is left of the whole.
    leaky = with_blocked_faces(uniform(SHEET), SHEET, interstitial_fibrosis(SHEET, 1.0, 1.0, KEY), 0.3)
    assert effective_conductivity(leaky, SHEET, 1) == pytest.approx(0.3, rel=1e-10)


def test_layers_conduct_in_parallel_and_in_series():
    scar = np.zeros(SHEET.shape, bool)
    scar[:, 10:25] = True
    grid = without(SHEET, jnp.asarray(scar))
    assert effective_conductivity(uniform(grid), grid, 0) == pytest.approx(0.75, rel=1e-10)
    assert effective_conductivity(uniform(grid), grid, 1) == 0
    # Between 60 centres lie 59 faces: 20 of conductance 1/4 and 39 of 1.
    blocked = np.zeros(SHEET.shape, bool)
    blocked[:, 30:50] = True
    operator = with_blocked_faces(
        uniform(SHEET), SHEET, BlockedFaces(*(jnp.asarray(b) for b in (0 * blocked > 0, blocked, 0 * blocked > 0))), 0.25
    )
    assert effective_conductivity(operator, SHEET, 1) == pytest.approx(59 / (39 + 20 * 4), rel=1e-10)


def test_few_blocked_faces_cost_twice_their_share_and_few_voxels_pi_times():
    """One face or voxel at a time, so that nothing but the closed limit is measured; the corner of a large box is far away."""
    grid = VoxelGrid(np.ones((81, 81, 1), bool), 0.5)
    middle = np.zeros(grid.shape, bool)
    middle[40, 40] = True
    none = jnp.zeros(grid.shape, bool)
    face = with_blocked_faces(uniform(grid), grid, BlockedFaces(jnp.asarray(middle), none, none))
    # Of the faces that count between the held layers, 80 per line.
    share = 1 / (80 * 81)
    assert (1 - effective_conductivity(face, grid, 0)) / share == pytest.approx(2, rel=0.01)
    hole = without(grid, jnp.asarray(middle))
    assert (1 - effective_conductivity(uniform(hole), hole, 0)) / share == pytest.approx(np.pi, rel=0.01)


@pytest.mark.parametrize(("fraction", "conducts"), [(0.25, True), (0.55, False)])
def test_a_sheet_stops_to_conduct_at_the_percolation_threshold(fraction, conducts):
    """Site percolation on the square lattice: 0.407."""
    left = []
    for number in range(4):
        grid = without(SHEET, diffuse_fibrosis(SHEET, fraction, 0.0, jax.random.key(number)))
        left.append(effective_conductivity(uniform(grid), grid, 0))
    assert (min(left) > 0.1) if conducts else (max(left) == 0)


@pytest.mark.parametrize("kind", ["order 2", "order 4", "tensor"])
@pytest.mark.quick(2)
def test_operators_with_blocked_faces_stay_symmetric_conservative_and_dissipative(kind):
    grid = VoxelGrid(slitted_mask((6, 5, 4)), (0.5, 0.4, 0.3))
    if kind == "tensor":
        operator = TensorDiffusion(grid, random_tensor(grid.shape))
    else:
        operator = Diffusion(grid, jnp.ones(grid.shape), interior_order=int(kind[-1]))
    shares = BlockedFaces(*(jnp.asarray(np.random.default_rng(axis).uniform(0, 1, grid.shape)) for axis in range(3)))
    dense = matrix(with_blocked_faces(operator, grid, shares), grid.size)
    np.testing.assert_allclose(dense, dense.T, atol=1e-12 * np.abs(dense).max())
    np.testing.assert_allclose(dense.sum(axis=0), 0, atol=1e-11 * np.abs(dense).max())
    assert np.linalg.eigvalsh(dense)[-1] < 1e-10 * np.abs(dense).max()
    open_all = BlockedFaces(*(jnp.zeros(grid.shape, bool),) * 3)
    np.testing.assert_array_equal(matrix(with_blocked_faces(operator, grid, open_all), grid.size), matrix(operator, grid.size))


@pytest.mark.parametrize("kind", ["faces", "tensor"])
@pytest.mark.quick(1)
def test_a_wholly_blocked_plane_is_a_wall(kind):
    grid = VoxelGrid(np.ones((8, 6, 1), bool), 0.5)
    tensor = random_tensor((1, 1, 1), 2)[0, 0, 0]

    def build(g):
        if kind == "faces":
            return uniform(g)
        return TensorDiffusion(g, jnp.broadcast_to(tensor, (*g.shape, 3, 3)))

    cut = matrix(with_blocked_faces(build(grid), grid, straight_barrier(grid, 0, 2.0, (0.0,) * 3, (9.0,) * 3)), grid.size)
    half = VoxelGrid(np.ones((4, 6, 1), bool), 0.5)
    one = matrix(build(half), half.size)
    np.testing.assert_allclose(cut[: half.size, : half.size], one, atol=1e-12)
    assert not cut[: half.size, half.size :].any()


@pytest.mark.slow
def test_a_wave_takes_the_way_round_a_straight_barrier():
    """Behind a cut of length b the wave comes round its end: (b2 - b1)/c later for a longer cut, c the speed of a plane wave."""
    along, _ = niederer_diffusivities()
    cell, h = CELL_MODELS["mitchell_schaeffer"](), 0.25
    grid = VoxelGrid(np.ones((28, 64, 1), bool), (h, h, 1.0))
    strip = TissueStimulus(grid, np.broadcast_to(np.arange(28)[:, None, None] < 4, grid.shape), 100.0, 1.0)
    operator = Diffusion(grid, jnp.full(grid.shape, along), interior_order=4)

    mesh = Monodomain(cell, operator, (strip,)).mesh([50.0], 0.1)

    @quick_jit
    def arrival(blocked):
        equation = Monodomain(cell, with_blocked_faces(operator, grid, blocked), (strip,))
        recorder = RecordActivation(equation.stepper(), cell)
        return simulate(recorder, recorder.start(equation.initial_state(grid)), mesh).final.record.activation_times()

    none = BlockedFaces(*(jnp.zeros(grid.shape, bool),) * 3)
    times = {
        length: np.asarray(grid.volume(arrival(straight_barrier(grid, 0, 4.0, (0.0,) * 3, (0.0, length, 9.0)) if length else none)))
        for length in (0, 6, 8, 10)
    }
    speed = h * 8 / (times[0][22, 30, 0] - times[0][14, 30, 0])
    behind = {length: times[length][16, 2, 0] - times[0][15, 2, 0] for length in (6, 8, 10)}  # just behind the cut, near the far wall
    assert (behind[10] - behind[6]) * speed == pytest.approx(4, rel=0.04)
    assert (behind[8] - behind[6]) * speed == pytest.approx(2, rel=0.06)
    # From the end of the cut to there, later by a bend's curvature, which slows a wave for some sqrt(D t).
    assert 0 < behind[10] * speed - (10 - 0.625) < 1.5


@pytest.mark.slow
def test_bad_input_is_refused_in_one_line():
    lattice = LatticeDiffusion(SHEET, fibre_tensor(SHEET, 0.1, 0.02))
    for make, expected in (
        (lambda: diffuse_fibrosis(SHEET, 30.0, 0.0, KEY), "divide percent"),
        (lambda: interstitial_fibrosis(SHEET, -0.1, 1.0, KEY), "0 to 1"),
        (lambda: texture(SHEET, -1.0, KEY), "below zero"),
        (lambda: compact_scar(SHEET, (1.0, 1.0, 0.0), (0.0, 1.0, 1.0)), "positive"),
        (lambda: straight_barrier(SHEET, 0, 99.0, (0.0,) * 3, (1.0,) * 3), "move it into"),
        (lambda: without(SHEET, jnp.zeros((2, 2, 1), bool)), "resample"),
        (lambda: with_blocked_faces(lattice, SHEET, interstitial_fibrosis(SHEET, 0.1, 1.0, KEY)), "LatticeDiffusion"),
        (lambda: effective_conductivity(Diffusion(SHEET, jnp.ones(SHEET.shape), interior_order=4), SHEET), "second order"),
        (lambda: effective_conductivity(uniform(SHEET), SHEET, 2), "at least two"),
    ):
        with pytest.raises(ValueError, match=expected) as caught:
            make()
        assert str(caught.value).startswith("got ") and "\n" not in str(caught.value)


def test_a_compact_scar_has_the_volume_of_its_ellipsoid():
    grid = VoxelGrid(np.ones((60, 60, 60), bool), 0.2)
    scar = compact_scar(grid, (6.0, 6.0, 6.0), (4.0, 3.0, 2.0))
    assert float(scar.sum()) * 0.2**3 == pytest.approx(4 / 3 * np.pi * 24, rel=0.01)
    sheet_scar = compact_scar(SHEET, (7.5, 7.5, 0.0), (3.0, 3.0, float("inf")))
    assert float(sheet_scar.sum()) * 0.25**2 == pytest.approx(np.pi * 9, rel=0.03)
