"""A tracer that diffuses in a slice of tissue with a hole: hidden diffusivities, sparse noisy samples, and the informed network's rows."""

from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, simulate, stages_for, time_mesh
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
COARSE_MM = 0.4  # edges of the voxels in which samples are taken and maps compared; odd refinements share their centres
TRUTH_REFINED, TRUTH_STEP_MIN = 5, 0.75
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


HALF_PERIODS = np.stack([k.ravel() for k in np.meshgrid(*(np.arange(n) for n in MODES), indexing="ij")], axis=1)


def deviations(length: float, spread: float) -> np.ndarray:
    """Standard deviations of the modes' amplitudes for a squared-exponential kernel of ``length`` (mm) and ``spread``."""
    i, j = HALF_PERIODS.T
    square = (np.pi * i / SIZE_MM[0]) ** 2 + (np.pi * j / SIZE_MM[1]) ** 2
    power = np.exp(-0.5 * length**2 * square) * np.where(i == 0, 0.5, 1.0) * np.where(j == 0, 0.5, 1.0)
    return 2 * spread * np.sqrt(power / power.sum())  # cosines squared have a mean of a quarter


DEVIATIONS = deviations(LENGTH_MM, SPREAD)


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
def waves(refined: int = 1) -> np.ndarray:
    """The modes with an amplitude of one, ``(cells, modes)``."""
    x, y = np.asarray(places(refined)).T
    along = [np.cos(np.pi * np.outer(p, HALF_PERIODS[:, a]) / SIZE_MM[a]) for a, p in enumerate((x, y))]
    return along[0] * along[1]


def basis(refined: int = 1) -> np.ndarray:
    """Slope of the logarithm with respect to z, ``(cells, modes)``."""
    return waves(refined) * DEVIATIONS


def middles(states: np.ndarray, refined: int) -> np.ndarray:
    """Values in the middle of every voxel of ``COARSE_MM``, ``(times, cells)``, from those of odd ``refined`` times finer ones."""
    inner = slice(refined // 2, None, refined)
    return states.reshape(len(states), *grid(refined).shape[:2])[:, inner, inner].reshape(len(states), -1)


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


def make_data(seed: int, sites: int, noise: float, refined: int = TRUTH_REFINED) -> Data:
    """A map drawn from the prior, run on voxels finer than an inversion's, sampled with errors of ``noise`` times the mean square."""
    random = np.random.default_rng(seed)
    while True:
        z = random.normal(size=len(DEVIATIONS))
        logarithms = basis(refined) @ z + np.log(DIFFUSIVITY)
        if logarithms.max() < np.log(LARGEST * DIFFUSIVITY) - 0.2:  # for which the stepper is stable with something to spare
            break
    middle = middles(np.asarray(_simulate(jnp.asarray(logarithms), refined, TRUTH_STEP_MIN if refined > 1 else STEP_MIN)), refined)
    shape, active = grid().shape[:2], np.asarray(grid().mask).ravel()
    # Voxels that are tissue throughout, so that no sample hangs on how a wall is cut into voxels.
    whole = np.asarray(grid(3).mask)[..., 0].reshape(shape[0], 3, shape[1], 3).all(axis=(1, 3)).ravel()
    chosen = np.sort(random.choice(np.flatnonzero(active & whole), sites, replace=False))
    clean = middle[:, chosen]
    sigma = noise * float(np.sqrt(np.mean(clean**2)))
    truth = np.exp(basis() @ z + np.log(DIFFUSIVITY))
    return Data(truth[active], chosen, clean + sigma * random.normal(size=clean.shape), sigma)


_simulate = jax.jit(simulated, static_argnums=(1, 2))


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
