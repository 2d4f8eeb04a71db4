"""A tracer that diffuses in a slice of tissue with a hole: hidden diffusivities, sparse noisy samples, and four ways back."""

from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, simulate, stages_for, time_mesh
from twinsim.batched_least_squares import least_squares
from twinsim.informed import InformedProblem, Jet, Rows, SmoothPerceptron, coordinate, exponential, reciprocal

SIZE_MM = (12.0, 10.0)
OUTER = ((6.0, 5.0), (5.6, 4.6))  # centre and half axes of an ellipse
HOLE = ((7.2, 5.5), (1.3, 1.0))
DIFFUSIVITY = 0.03  # mm^2/min, of small molecules in the extracellular space of brain
LENGTH_MM, SPREAD = 3.0, 0.45  # of the logarithm of the diffusivity, a priori
MODES = (8, 7)
TIMES_MIN = tuple(15.0 * k for k in range(1, 9))
INJECTIONS = ((2.6, 4.2), (8.6, 2.8), (5.6, 7.6))
WIDTH_MM = 1.2
RISE_MIN = 20.0  # in which what the network says comes in
COARSE_MM, REFINED = 0.4, 3  # edges of the voxels of the inversion; those of the truth are a third, so that centres are shared
STEP_MIN = 3.0
LARGEST = 4.0  # times the middle diffusivity, for which the stages of the stepper are chosen


class Data(NamedTuple):
    """What is hidden and what is known.

    Attributes:
        diffusivity: Of the active voxels of the inversion's grid, mm²/min; hidden.
        sites: Numbers of the voxels in which samples are taken, among all cells of the grid.
        samples: ``(times, sites)``, the first injection being one.
        sigma: Standard deviation of their errors.
    """

    diffusivity: np.ndarray
    sites: np.ndarray
    samples: np.ndarray
    sigma: float


def inside(x: Array, y: Array) -> Array:
    """Whether points lie in the tissue."""

    def level(shape: tuple[tuple[float, float], tuple[float, float]]) -> Array:
        (cx, cy), (a, b) = shape
        return ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2

    return (level(OUTER) < 1) & (level(HOLE) > 1)


@lru_cache
def grid(refined: int = 1) -> VoxelGrid:
    """The slice on voxels of ``COARSE_MM / refined``."""
    x, y = _centres(refined)
    h = COARSE_MM / refined
    with jax.ensure_compile_time_eval():  # kept: it must not belong to whichever program asked first
        return VoxelGrid(np.asarray(inside(jnp.asarray(x)[:, None], jnp.asarray(y)[None, :]))[..., None], (h, h, h))


def _centres(refined: int = 1) -> tuple[np.ndarray, np.ndarray]:
    h = COARSE_MM / refined
    x, y = ((np.arange(round(length / h)) + 0.5) * h for length in SIZE_MM)
    return x, y


def places(refined: int = 1) -> Float[Array, "cells 2"]:
    """Centres of all cells of the box, mm."""
    x, y = _centres(refined)
    return jnp.asarray(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2))


def _wave_numbers() -> tuple[np.ndarray, np.ndarray]:
    """Half periods along x and y of every mode, and their standard deviations."""
    i, j = (k.ravel() for k in np.meshgrid(*(np.arange(n) for n in MODES), indexing="ij"))
    square = (np.pi * i / SIZE_MM[0]) ** 2 + (np.pi * j / SIZE_MM[1]) ** 2
    power = np.exp(-0.5 * LENGTH_MM**2 * square) * np.where(i == 0, 0.5, 1.0) * np.where(j == 0, 0.5, 1.0)
    return np.stack([i, j], axis=1), SPREAD * np.sqrt(4 * power / (4 * power).sum()) * 2  # cosines squared have a mean of a quarter


HALF_PERIODS, DEVIATIONS = _wave_numbers()


def log_diffusivity(z: Float[Array, " modes"], point: Float[Array, " axes"], bent: tuple[int, ...] = ()) -> Jet:
    r"""$\log D=\log D_0+\sum_k\sigma_kz_k\cos\tfrac{\pi i_kx}{L_x}\cos\tfrac{\pi j_ky}{L_y}$ with its slopes; $z$ standard normal.

    The variances are those of the squared-exponential kernel of length ``LENGTH_MM``.
    """
    kx, ky = (jnp.asarray(np.pi * HALF_PERIODS[:, a] / SIZE_MM[a]) for a in (0, 1))
    x, y = kx * point[0], ky * point[1]
    amplitude = jnp.asarray(DEVIATIONS) * z
    value = jnp.log(DIFFUSIVITY) + amplitude @ (jnp.cos(x) * jnp.cos(y))
    slopes = [amplitude @ (-kx * jnp.sin(x) * jnp.cos(y)), amplitude @ (-ky * jnp.cos(x) * jnp.sin(y))]
    slopes += [jnp.zeros_like(value)] * (point.shape[0] - 2)
    return Jet(value, jnp.stack(slopes), jnp.zeros(len(bent), value.dtype), bent)


@lru_cache
def basis(refined: int = 1) -> np.ndarray:
    """Slope of the logarithm with respect to z, ``(cells, modes)``."""
    x, y = np.asarray(places(refined)).T
    waves = [np.cos(np.pi * np.outer(p, HALF_PERIODS[:, a]) / SIZE_MM[a]) for a, p in enumerate((x, y))]
    return waves[0] * waves[1] * DEVIATIONS


def first(point: Float[Array, " axes"], bent: tuple[int, ...]) -> Jet:
    """The tracer after the injections."""
    x, y = (coordinate(point, axis, bent) for axis in (0, 1))
    blobs = [exponential((x - a) * (x - a) * (-0.5 / WIDTH_MM**2) + (y - b) * (y - b) * (-0.5 / WIDTH_MM**2)) for a, b in INJECTIONS]
    return blobs[0] + blobs[1] + blobs[2]


def simulated(logarithms: Float[Array, " cells"], refined: int = 1, step: float = STEP_MIN) -> Float[Array, "times cells"]:
    """The tracer at ``TIMES_MIN`` by the project's solver, from the logarithm of the diffusivity in every cell."""
    voxels = grid(refined)
    start = voxels.cells(jax.vmap(lambda p: first(p, ()).value)(places(refined)).reshape(voxels.shape))
    bound = 8 * DIFFUSIVITY * LARGEST / voxels.spacing[0] ** 2 * 4 / 3  # what order four in the interior asks for
    diffusion = Diffusion(voxels, jnp.exp(logarithms).reshape(voxels.shape), interior_order=4)
    stepper = RungeKuttaChebyshev2(diffusion, stages_for(step * bound))
    return simulate(stepper, start, time_mesh(0.0, list(TIMES_MIN), step)).states


def make_data(seed: int, sites: int, noise: float) -> Data:
    """A map drawn from the prior, run on fine voxels, sampled in some voxels with errors of ``noise`` times the mean square."""
    random = np.random.default_rng(seed)
    while True:
        z = random.normal(size=len(DEVIATIONS))
        logarithms = basis(REFINED) @ z + np.log(DIFFUSIVITY)
        if logarithms.max() < np.log(LARGEST * DIFFUSIVITY) - 0.2:  # for which the stepper is stable with something to spare
            break
    fine = np.asarray(jax.jit(lambda m: simulated(m, REFINED, STEP_MIN / 2))(jnp.asarray(logarithms)))
    shape, active = grid().shape[:2], np.asarray(grid().mask).ravel()
    middle = fine.reshape(len(TIMES_MIN), *grid(REFINED).shape[:2])[:, 1::REFINED, 1::REFINED].reshape(len(TIMES_MIN), -1)
    # Every fine voxel round the middle of a coarse one has to be tissue, so that the sample means the same on both.
    whole = np.asarray(grid(REFINED).mask)[..., 0].reshape(shape[0], REFINED, shape[1], REFINED).all(axis=(1, 3)).ravel()
    chosen = np.sort(random.choice(np.flatnonzero(active & whole), sites, replace=False))
    clean = middle[:, chosen]
    sigma = noise * float(np.sqrt(np.mean(clean**2)))
    truth = np.exp(basis() @ z + np.log(DIFFUSIVITY))
    return Data(truth[active], chosen, clean + sigma * random.normal(size=clean.shape), sigma)


class TracerModel(eqx.Module):
    r"""$u=u_f(x,t)+\tfrac t{t+\tau}N(x,t)$, whose start is exact, and the diffusivity.

    $u_f$ is what the injections would become in endless tissue of the middle diffusivity: the network brings in only walls and map.

    Args:
        network: $N$.
        z: Standard-normal coordinates of the map.
    """

    network: SmoothPerceptron
    z: Float[Array, " modes"]

    def jet(self, point: Float[Array, " 3"]) -> Jet:
        """$u$ with its slopes and the bends along x and y."""
        bent = (0, 1)
        inner = self.network.jet(point, bent)
        inner = Jet(inner.value[0], inner.first[:, 0], inner.second[:, 0], bent)
        t = coordinate(point, 2, bent)
        return _free(point, bent) + t * reciprocal(t + RISE_MIN) * inner

    def __call__(self, point: Float[Array, " 3"]) -> Float[Array, ""]:
        """$u$ alone."""
        return _free(point, ()).value + point[2] / (point[2] + RISE_MIN) * self.network(point)[0]


def _free(point: Float[Array, " 3"], bent: tuple[int, ...]) -> Jet:
    """Gaussians that widen without walls."""
    x, y, t = (coordinate(point, axis, bent) for axis in (0, 1, 2))
    inverse = reciprocal(t * (2 * DIFFUSIVITY) + WIDTH_MM**2)
    blobs = [exponential(((x - a) * (x - a) + (y - b) * (y - b)) * inverse * -0.5) for a, b in INJECTIONS]
    return (blobs[0] + blobs[1] + blobs[2]) * inverse * WIDTH_MM**2


def tracer_model(seed: int, width: int) -> TracerModel:
    """As drawn, with the middle of the prior as the map."""
    network = SmoothPerceptron(
        (0.0, 0.0, 0.0), (*SIZE_MM, TIMES_MIN[-1]), (width,) * 3, key=jax.random.key(seed), steepness=(2.0, 2.0, 1.0)
    )
    return TracerModel(network, jnp.zeros(len(DEVIATIONS)))


def _equation(model: TracerModel, point: Float[Array, " 3"]) -> Float[Array, ""]:
    r"""$T\,(u_t-D\,\Delta u-\nabla D\cdot\nabla u)$."""
    u, log_d = model.jet(point), log_diffusivity(model.z, point)
    drift = log_d.slope(0) * u.slope(0) + log_d.slope(1) * u.slope(1)
    return TIMES_MIN[-1] * (u.slope(2) - jnp.exp(log_d.value) * (u.bend(0) + u.bend(1) + drift))


def _draw(key: Array, count: int) -> Float[Array, "points 3"]:
    """Uniform in tissue and time: four times as many in the box, those in tissue first."""
    high = jnp.array([*SIZE_MM, TIMES_MIN[-1]])
    box = jax.random.uniform(key, (4 * count, 3)) * high[None, :]
    order = jnp.argsort(~inside(box[:, 0], box[:, 1]), stable=True)
    return box[order[:count]]


def _wall_rows(count: int, weight: float, seed: int) -> Rows:
    """No flux through both ellipses, at random times."""
    random = np.random.default_rng(seed)
    points, normals = [], []
    for (centre, axes), share in ((OUTER, 0.75), (HOLE, 0.25)):
        angle = random.uniform(0, 2 * np.pi, round(share * count))
        way = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points.append(np.array(centre) + way * np.array(axes))
        normal = way / np.array(axes)
        normals.append(normal / np.linalg.norm(normal, axis=1, keepdims=True))
    times = random.uniform(0, TIMES_MIN[-1], sum(map(len, points)))
    located = jnp.asarray(np.column_stack([np.concatenate(points), times]))
    return Rows(_flux, (located, jnp.asarray(np.concatenate(normals))), jnp.full(len(located), weight / len(located) ** 0.5))


def _flux(model: TracerModel, point: tuple[Array, Array]) -> Float[Array, ""]:
    place, normal = point
    u = model.jet(place)
    return u.slope(0) * normal[0] + u.slope(1) * normal[1]


def _datum(model: TracerModel, point: tuple[Array, Array]) -> Float[Array, ""]:
    place, value = point
    return model(place) - value


def _prior(model: TracerModel, point: Float[Array, ""]) -> Float[Array, " modes"]:
    return model.z * point


def _small(model: TracerModel, point: Float[Array, ""]) -> Float[Array, "..."]:
    network = model.network
    return point * jnp.concatenate([leaf.ravel() for leaf in (*network.weights, *network.biases)])


def informed_problem(data: Data, equation: float, wall: float, decay: float = 0.03) -> InformedProblem:
    """Samples over their error, the prior of the map, walls and the equation with weights of their mean squares."""
    where = np.asarray(places())[data.sites]
    points = np.concatenate([np.column_stack([where, np.full(len(where), t)]) for t in TIMES_MIN])
    samples = Rows(_datum, (jnp.asarray(points), jnp.asarray(data.samples.ravel())), jnp.full(len(points), 1 / data.sigma))
    one = jnp.ones(1)
    known = (samples, Rows(_prior, one, one), Rows(_small, one, decay * one), _wall_rows(400, wall, 0))
    return InformedProblem(_equation, _draw, known, weight=equation, span=(0.0, TIMES_MIN[-1]))


STRENGTHS = (30.0, 10.0, 5.0, 2.5, 1.2, 0.6)  # of Tikhonov's regularisation


def block_map(blocks: int) -> np.ndarray:
    """Which of the squares of ``blocks`` voxels that hold tissue a cell belongs to, as ``(cells, squares)`` of zeros and ones."""
    shape = grid().shape[:2]
    x, y = (np.arange(n) // blocks for n in shape)
    number = (x[:, None] * (y.max() + 1) + y[None, :]).ravel()
    used = np.unique(number[np.asarray(grid().mask).ravel()])
    return (number[:, None] == used[None, :]).astype(float)


def smoothness(blocks: int) -> np.ndarray:
    """Differences between neighbouring squares, ``(pairs, squares)``."""
    shape = grid().shape[:2]
    squares = block_map(blocks)
    owner = np.where(squares.any(axis=1), squares.argmax(axis=1), -1).reshape(shape)
    rows = set()
    for axis in (0, 1):
        one, other = (np.take(owner, range(k, shape[axis] - 1 + k), axis=axis).ravel() for k in (0, 1))
        rows |= {(min(a, b), max(a, b)) for a, b in zip(one, other, strict=True) if a != b and min(a, b) >= 0}
    matrix = np.zeros((len(rows), squares.shape[1]))
    for row, (a, b) in enumerate(sorted(rows)):
        matrix[row, a], matrix[row, b] = -1.0, 1.0
    return matrix


class Inversion(NamedTuple):
    """What a classical inversion found.

    Attributes:
        diffusivity: Of the active voxels, mm²/min.
        deviation: Posterior standard deviation of its logarithm there; None for Tikhonov, which has none.
        misfit: Mean square of the residuals over their error.
        strength: Of the regularisation; one for the prior.
    """

    diffusivity: np.ndarray
    deviation: np.ndarray | None
    misfit: float
    strength: float


def solver_with_prior(data: Data, iterations: int = 10) -> Inversion:
    """Gauss and Newton through the project's solver with the prior that the informed network has: the most that can be asked for."""
    modes = jnp.asarray(basis())

    def residuals(z: Array) -> Array:
        seen = simulated(modes @ z + np.log(DIFFUSIVITY))[:, data.sites]
        return jnp.concatenate([((seen - data.samples) / data.sigma).reshape(-1), z])

    found = jax.jit(lambda z: least_squares(residuals, z, iterations))(jnp.zeros(modes.shape[1]))
    misfit = float(jnp.mean(residuals(found.z)[: data.samples.size] ** 2))
    return Inversion(*_map(np.asarray(found.z), np.linalg.inv(np.asarray(found.curvature))), misfit, 1.0)


def _map(z: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diffusivity of the active voxels, and the standard deviation of its logarithm."""
    active = basis()[np.asarray(grid().mask).ravel()]
    return DIFFUSIVITY * np.exp(active @ z), np.sqrt(np.einsum("ij,jk,ik->i", active, covariance, active))


def tikhonov(data: Data, blocks: int = 2, strengths: tuple[float, ...] = STRENGTHS, iterations: int = 4) -> Inversion:
    r"""$\min\sum(u-d)^2/\sigma^2+\lambda^2|\nabla\log D|^2$ through the same solver, $\lambda$ the largest whose misfit is the noise's.

    The map is constant on squares of ``blocks`` voxels. From the strongest down, each from the one before (discrepancy principle, Morozov
    1966); where none fits to 1.05 of the noise, the one with the least misfit.
    """
    squares, pairs = jnp.asarray(block_map(blocks)), jnp.asarray(smoothness(blocks))

    def residuals(m: Array, strength: Array) -> Array:
        seen = simulated(squares @ m + np.log(DIFFUSIVITY))[:, data.sites]
        return jnp.concatenate([((seen - data.samples) / data.sigma).reshape(-1), strength * (pairs @ m), 1e-3 * m])

    search = jax.jit(lambda m, strength: least_squares(lambda at: residuals(at, strength), m, iterations))
    best = Inversion(np.zeros(0), None, np.inf, np.inf)
    m = jnp.zeros(squares.shape[1])
    active = np.asarray(grid().mask).ravel()
    for strength in strengths:
        m = search(m, jnp.asarray(strength)).z
        misfit = float(jnp.mean(residuals(m, jnp.asarray(strength))[: data.samples.size] ** 2))
        found = Inversion(DIFFUSIVITY * np.exp(np.asarray(squares @ m)[active]), None, misfit, strength)
        if misfit < best.misfit:
            best = found
        if misfit <= 1.05:
            return found
    return best
