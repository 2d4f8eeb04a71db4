"""Arrival times against closed forms: plane waves, point sources, obstacles, slits; symmetries, failures and refusals."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import SimulationError, Status, VoxelGrid
from solvers.fronts import eikonal as eikonal_module
from solvers.fronts.eikonal import eikonal, start_at, start_ball
from solvers.fronts.eikonal_tiles import tiles_of
from tests.problems import quick_jit, random_tensor, slitted_mask, slope

SPACING = (1.0, 0.8, 1.3)
SHAPE = (7, 6, 5)
BOX = VoxelGrid(np.ones(SHAPE, bool), SPACING)
SCHEMES = ("godunov", "hopf-lax", "tensor")
OBLIQUE = np.linalg.qr(np.array([[1.0, 0.4, -0.3], [0.5, 1.0, 0.2], [0.2, -0.7, 1.0]]))[0]
TENSOR = OBLIQUE @ np.diag([1.0, 0.25, 0.1]) @ OBLIQUE.T


def medium(scheme, shape=SHAPE):
    """A uniform medium for one of the schemes, and its squared speed."""
    if scheme == "tensor":
        return {"squared_speed": jnp.broadcast_to(jnp.asarray(TENSOR), (*shape, 3, 3))}, TENSOR
    return {"speed": 0.7, "neighbours": 6 if scheme == "godunov" else 26}, 0.49 * np.eye(3)


def coordinates(grid):
    return np.stack(np.meshgrid(*grid.centres(), indexing="ij"), axis=-1)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.quick(2)
def test_a_plane_wave_in_any_direction_is_exact(scheme):
    """A linear time is given on the surface of the box and found again inside, to round-off."""
    options, squared_speed = medium(scheme)
    rim = np.ones(SHAPE, bool)
    rim[1:-1, 1:-1, 1:-1] = False
    solve = quick_jit(lambda start: eikonal(BOX, start, **options))
    for direction in ((1, 0, 0), (0, -1, 0), (1, 1, 0), (-1, 2, 3), (0.3, -0.5, 0.9)):
        slowness = np.array(direction) / np.sqrt(direction @ squared_speed @ np.array(direction))
        exact = coordinates(BOX) @ slowness
        arrival = solve(jnp.asarray(np.where(rim, exact, np.inf).reshape(-1)))
        assert arrival.status == Status.SUCCESS
        np.testing.assert_allclose(arrival.times, exact.reshape(-1), rtol=0, atol=1e-13)


EDGE = 25
CUBE = VoxelGrid(np.ones((EDGE,) * 3, bool), 1.0)
MIDDLE = (EDGE // 2,) * 3
RADII = (5, 7, 9, 12)


@pytest.fixture(scope="module", params=SCHEMES)
def point_source(request):
    """The solver on a cube, and the exact times of a point source in its middle."""
    options, squared_speed = medium(request.param, CUBE.shape)
    offset = coordinates(CUBE) - EDGE // 2
    exact = np.sqrt(np.einsum("...i,ij,...j->...", offset, np.linalg.inv(squared_speed), offset))
    solve = quick_jit(lambda start: eikonal(CUBE, start, **options).times)
    return request.param, options, solve, exact, np.abs(offset).max(axis=-1)


@pytest.mark.quick(2)
def test_a_point_source_converges_at_almost_first_order(point_source):
    """A cell is 1/R of the distance to the surface of a cube of R cells: one solution holds all resolutions. Order h log(1/h)."""
    _, _, solve, exact, distance = point_source
    times = np.asarray(solve(start_at(CUBE, [MIDDLE]))).reshape(exact.shape)
    errors = [np.abs(times - exact)[distance <= radius].max() / radius for radius in RADII]
    assert 0.5 < slope([1 / radius for radius in RADII], errors) < 1.05
    assert (times >= exact - 1e-12).all()


@pytest.mark.quick(2)
def test_exact_times_in_a_ball_of_fixed_size_restore_first_order(point_source):
    name, options, solve, exact, distance = point_source
    options = {key: value for key, value in options.items() if key != "neighbours"}
    errors, plain = [], np.asarray(solve(start_at(CUBE, [MIDDLE]))).reshape(exact.shape)
    for radius in RADII:
        start = start_ball(CUBE, MIDDLE, 0.45 * radius, **options)
        ball = np.isfinite(start).reshape(exact.shape)
        np.testing.assert_allclose(np.asarray(start).reshape(exact.shape)[ball], exact[ball], atol=1e-13)
        times = np.asarray(solve(start)).reshape(exact.shape)
        errors.append(np.abs(times - exact)[distance <= radius].mean() / radius)
    assert errors[-1] < 0.75 * np.abs(plain - exact)[distance <= RADII[-1]].mean() / RADII[-1]
    assert slope([1 / radius for radius in RADII], errors) == pytest.approx(1, abs=0.2 if name == "godunov" else 0.35)


@pytest.mark.parametrize("neighbours", [6, 26])
@pytest.mark.quick(1)
def test_around_the_end_of_a_wall_the_time_is_the_geodesic(neighbours):
    """A wall from one side to beyond the middle: straight lines where the source is seen, else over the tip; to first order."""
    errors = []
    for scale in (1, 2):
        n = 16 * scale
        mask = np.ones((n, n, 1), bool)
        mask[n // 2, : 5 * n // 8] = False
        grid = VoxelGrid(mask, 1.0 / n)
        start = start_at(grid, [(n // 4, n // 8, 0)])
        solve = quick_jit(lambda grid=grid, start=start: eikonal(grid, start, speed=1.0, neighbours=neighbours).times)
        x, y = (np.arange(n)[:, None] / n, np.arange(n)[None, :] / n)
        source, tip = (0.25, 0.125), (0.5, 0.625 - 0.5 / n)
        straight = np.hypot(x - source[0], y - source[1])
        crossing = source[1] + (y - source[1]) * (tip[0] - source[0]) / np.where(x > tip[0], x - source[0], np.inf)
        hidden = (x > tip[0]) & (crossing < tip[1])
        over = np.hypot(source[0] - tip[0], source[1] - tip[1]) + np.hypot(x - tip[0], y - tip[1])
        times = np.asarray(solve()).reshape(n, n)
        assert hidden.sum() > n and np.isinf(times[~mask[..., 0]]).all()
        errors.append(np.abs(times - np.where(hidden, over, straight))[mask[..., 0]].max())
    assert errors[1] < (4 if neighbours == 6 else 2) / 32  # in widths of a voxel: the point source and the tip add up
    assert errors[1] < 0.75 * errors[0]


def serpentine(turns):
    """A canal of one voxel that goes up and down; its cells in order."""
    cells = []
    for turn in range(turns):
        column = [(2 * turn, j, 0) for j in range(6)]
        cells += column if turn % 2 == 0 else column[::-1]
        cells.append((2 * turn + 1, cells[-1][1], 0))
    mask = np.zeros((2 * turns, 6, 1), bool)
    mask[tuple(np.array(cells).T)] = True
    return mask, cells


@pytest.mark.parametrize("neighbours", [6, 26])
def test_in_a_canal_of_one_voxel_the_time_is_its_length(neighbours):
    """Six neighbours go from centre to centre; twenty-six cut each corner over the diagonal."""
    mask, cells = serpentine(5)
    grid = VoxelGrid(mask, 0.5)
    times = quick_jit(lambda: eikonal(grid, start_at(grid, [cells[0]]), speed=2.0, neighbours=neighbours).times)()
    times = np.asarray(times).reshape(mask.shape)
    steps = np.diff(np.array(cells), axis=0)
    shortest = {0: 0.0, 1: 1.0}
    for i in range(2, len(cells)):
        turned = (steps[i - 1] != steps[i - 2]).any()
        shortest[i] = min(shortest[i - 1] + 1, shortest[i - 2] + (np.sqrt(2) if turned and neighbours == 26 else 2))
    exact = [0.25 * shortest[i] for i in range(len(cells))]
    found = [times[cell] for cell in cells]
    if neighbours == 26:  # beside a corner the edge between two cells of the canal offers a yet shorter way
        assert (np.array(found) <= np.array(exact) + 1e-12).all() and found[-1] > 0.8 * exact[-1]
    else:
        np.testing.assert_allclose(found, exact, rtol=1e-13)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.quick(1)
def test_axes_and_directions_are_all_the_same(scheme):
    """Any permutation or reflection of a masked, varying medium permutes or reflects the times."""
    shape = (5, 6, 4)
    mask = slitted_mask(shape)
    source = tuple(np.argwhere(mask)[3])
    rng = np.random.default_rng(5)
    speed, tensor = rng.uniform(0.5, 2.0, shape), np.asarray(random_tensor(shape, 1)) + 0.3 * np.eye(3)

    def solve(axes, flips):
        grid = VoxelGrid(np.flip(mask.transpose(axes), flips), tuple(np.array(SPACING)[list(axes)]))
        voxel = [int(shape[a] - 1 - source[a] if i in flips else source[a]) for i, a in enumerate(axes)]
        options = {"speed": np.flip(speed.transpose(axes), flips).copy(), "neighbours": 6 if scheme == "godunov" else 26}
        if scheme == "tensor":
            sign = np.array([-1.0 if i in flips else 1.0 for i in range(3)])
            turned = tensor.transpose(*axes, 3, 4)[..., axes, :][..., :, axes] * np.outer(sign, sign)
            options = {"squared_speed": np.flip(turned, flips).copy()}
        times = quick_jit(lambda: eikonal(grid, start_at(grid, [voxel]), **options).times)()
        return np.flip(np.asarray(times).reshape(grid.shape), flips).transpose(np.argsort(axes))

    expected = solve((0, 1, 2), ())
    assert np.isfinite(expected).sum() > 10
    for axes, flips in (((0, 1, 2), (0, 2)), ((2, 0, 1), (1,)), ((1, 0, 2), ())):
        np.testing.assert_allclose(solve(axes, flips), expected, rtol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.quick(2)
def test_there_and_back_take_the_same_time(scheme):
    """Exactly so in a uniform medium on the whole box, for the grid looks the same from both ends."""
    options, _ = medium(scheme)
    solve = quick_jit(lambda start: eikonal(BOX, start, **options).times)
    ends = [(0, 1, 4), (6, 5, 0), (3, 0, 2)]
    times = [np.asarray(solve(start_at(BOX, [end]))).reshape(SHAPE) for end in ends]
    for i, j in itertools.combinations(range(3), 2):
        assert times[i][ends[j]] == pytest.approx(times[j][ends[i]], rel=0.02 if scheme == "tensor" else 1e-12)


@pytest.mark.parametrize("neighbours", [6, 26])
def test_what_is_not_connected_is_never_reached(neighbours):
    """A piece of its own, and one that touches only over an edge: infinite, and no failure."""
    mask = np.zeros((6, 4, 2), bool)
    mask[:2, :2] = mask[2:4, 2:] = mask[5] = True
    grid = VoxelGrid(mask, 1.0)
    arrival = quick_jit(lambda: eikonal(grid, start_at(grid, [(0, 0, 0)], 3.0), speed=1.0, neighbours=neighbours))()
    arrival.raise_for_status()
    times = np.asarray(arrival.times).reshape(grid.shape)
    assert np.isfinite(times[:2, :2]).all() and times[0, 0, 0] == 3.0
    assert np.isinf(times[2:]).all()


def test_of_several_sources_the_first_to_arrive_counts():
    """A source that starts later than the front passes is not one; members of a batch have their own."""
    line = VoxelGrid(np.ones((9, 1, 1), bool), 1.0)
    starts = jnp.stack([start_at(line, [(0, 0, 0), (6, 0, 0)], jnp.array([0.0, late])) for late in (1.0, 5.5, 7.0)])
    found = quick_jit(jax.vmap(lambda start: eikonal(line, start, speed=1.0).times))(starts)
    cells = np.arange(9.0)
    for late, times in zip((1.0, 5.5, 7.0), found):
        np.testing.assert_allclose(times, np.minimum(cells, late + np.abs(cells - 6)), rtol=1e-14)


def test_too_few_rounds_are_a_status_and_the_times_are_bounds():
    mask, cells = serpentine(6)
    grid = VoxelGrid(mask, 1.0)
    full = quick_jit(lambda: eikonal(grid, start_at(grid, [cells[0]]), speed=1.0, neighbours=6))()
    short = quick_jit(lambda: eikonal(grid, start_at(grid, [cells[0]]), speed=1.0, neighbours=6, rounds=2))()
    assert full.status == Status.SUCCESS and full.rounds > 2
    assert short.status == Status.NOT_CONVERGED and short.rounds == 2
    assert (np.asarray(short.times) >= np.asarray(full.times)).all()
    with pytest.raises(SimulationError, match="do: allow more rounds"):
        short.raise_for_status()


def test_float32_is_close_to_float64():
    options, _ = medium("godunov")
    double = quick_jit(lambda: eikonal(BOX, start_at(BOX, [(1, 2, 3)]), **options).times)()
    with jax.enable_x64(False):
        grid = VoxelGrid(np.ones(SHAPE, bool), SPACING)
        single = quick_jit(lambda: eikonal(grid, start_at(grid, [(1, 2, 3)]), **options).times)()
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, double, rtol=3e-6)


GOOD = start_at(BOX, [(0, 0, 0)])
HOLED = VoxelGrid(slitted_mask((5, 6, 4)), 1.0)
EYES = np.broadcast_to(np.eye(3), (*SHAPE, 3, 3))


def with_entry(values, index, entry):
    values = np.array(values, dtype=float)
    values[index] = entry
    return values


REFUSED = {
    "no source": (lambda: eikonal(BOX, jnp.full(BOX.size, jnp.inf), speed=1.0), "got no source"),
    "source NaN": (lambda: eikonal(BOX, GOOD.at[3].set(jnp.nan), speed=1.0), "NaN or minus infinity"),
    "source outside": (lambda: eikonal(HOLED, jnp.zeros(HOLED.size), speed=1.0), "got a source outside of the mask"),
    "source voxel outside": (lambda: start_at(HOLED, [(4, 5, 3)]), r"got a source at \[4, 5, 3\], outside of the mask"),
    "source off the grid": (lambda: start_at(BOX, [(7, 0, 0)]), "expected .sources, 3. indices inside"),
    "negative index": (lambda: start_at(BOX, [(-1, 0, 0)]), "expected .sources, 3. indices inside"),
    "start of another shape": (lambda: eikonal(BOX, GOOD[:-1], speed=1.0), r"got start times of shape"),
    "zero speed": (lambda: eikonal(BOX, GOOD, speed=with_entry(np.ones(SHAPE), (1, 1, 1), 0.0)), "got a speed between 0 and 1"),
    "speed NaN": (lambda: eikonal(BOX, GOOD, speed=np.nan), "got a speed between nan"),
    "speed of another shape": (lambda: eikonal(BOX, GOOD, speed=np.ones((2, 2, 2))), "got a speed of shape"),
    "neither": (lambda: eikonal(BOX, GOOD), "both or neither"),
    "both": (lambda: eikonal(BOX, GOOD, speed=1.0, squared_speed=EYES), "both or neither"),
    "tensor on six neighbours": (lambda: eikonal(BOX, GOOD, squared_speed=EYES, neighbours=6), "got 6 neighbours"),
    "eight neighbours": (lambda: eikonal(BOX, GOOD, speed=1.0, neighbours=8), "got 8 neighbours"),
    "no round": (lambda: eikonal(BOX, GOOD, speed=1.0, rounds=0), "got 0 rounds"),
    "tensor of another shape": (lambda: eikonal(BOX, GOOD, squared_speed=np.eye(3)), "got a tensor of shape"),
    "indefinite tensor": (lambda: eikonal(BOX, GOOD, squared_speed=with_entry(EYES, (2, 3, 1, 2, 2), 0.0)), "an eigenvalue of 0"),
    "asymmetric tensor": (lambda: eikonal(BOX, GOOD, squared_speed=with_entry(EYES, (0, 0, 0, 0, 1), 0.1)), "not symmetric"),
    "tensor NaN": (lambda: eikonal(BOX, GOOD, squared_speed=with_entry(EYES, (0, 0, 0, 1, 1), np.nan)), "not finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_one_line(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and message.startswith("got ") and "; expected " in message and "; do: " in message


def test_a_whole_number_serves_as_speed():
    line = VoxelGrid(np.ones((3, 1, 1), bool), 1.0)
    np.testing.assert_array_equal(eikonal(line, start_at(line, [(1, 0, 0)]), speed=1).times, [1.0, 0.0, 1.0])


@pytest.mark.parametrize("scheme", [pytest.param("hopf-lax", marks=pytest.mark.slow), "tensor"])
@pytest.mark.slow
def test_tiles_of_a_thin_wall_give_what_whole_planes_give(scheme, monkeypatch):
    """A bowl in an empty box: most tiles are skipped, and no time changes but for the last digit; nor does the derivative."""
    axes = np.meshgrid(*(np.arange(n) for n in (23, 19, 21)), indexing="ij")
    distance = np.sqrt(sum((axis - 10) ** 2 for axis in axes))
    grid = VoxelGrid((distance > 7) & (distance < 9) & (axes[2] < 14), SPACING)
    assert tiles_of(np.asarray(grid.mask)) is not None and tiles_of(np.ones((16, 16, 16), bool)) is None
    start = start_at(grid, np.argwhere(np.asarray(grid.mask))[[5, 400]], jnp.asarray([0.0, 1.5]))
    speed = jnp.asarray(random_tensor(grid.shape, 3)) if scheme == "tensor" else 0.6 + 0.3 * jnp.sin(0.7 * jnp.asarray(axes[0]))
    name = "squared_speed" if scheme == "tensor" else "speed"

    def total(speed):
        times = eikonal(grid, start, **{name: speed}, neighbours=26).times
        return jnp.where(grid.mask.reshape(-1), times, 0).sum(), times

    found = []
    for planes in (False, True):
        if planes:
            monkeypatch.setattr(eikonal_module, "tiles_of", lambda mask: None)
        (_, times), slope_of = jax.value_and_grad(total, has_aux=True)(speed)
        found.append((times, slope_of))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-14)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12, atol=1e-12)
