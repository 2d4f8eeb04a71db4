"""The diffusivity of an insulated rod from few noisy temperatures: an informed network, and a fit through the project's solver."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.learning._informed_case import Case, Level, relative_error, timed
from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, simulate, stages_for, time_mesh
from twinsim.batched_least_squares import Fit, least_squares
from twinsim.informed import (
    InformedProblem,
    Jet,
    Rows,
    Sampling,
    SmoothPerceptron,
    Stage,
    coordinate,
    cosine,
    normal_equations,
    reciprocal,
    split,
    stacked,
)  # fmt: skip

MIDDLE, SPREAD = 0.05, 0.5  # of the diffusivity of a rod of length one in time one; of its logarithm's coefficients, a priori
TIMES = tuple(0.1 * k for k in range(1, 11))
RISE = 0.05
CELLS, STEP, LARGEST = 64, 0.02, 8.0  # of the inversion by the solver; the largest diffusivity over the middle that it is stable for
NORMAL_90 = 1.6449
BENT = (0,)
MODES, SITES, NOISE = 3, 12, 0.02  # unknown coefficients, places of samples, errors over the root mean square
WAVES = ((1.0, 0.6), (3.0, 0.4))  # half periods and amplitudes of the start


class Data(NamedTuple):
    """What is hidden and what is known.

    Attributes:
        theta: Coefficients of $\\log D/D_0=\\sum_k\\theta_k\\cos k\\pi x$; one for a constant.
        places: ``(samples, 2)``, x and t.
        values: With errors.
        sigma: Their standard deviation.
    """

    theta: np.ndarray
    places: np.ndarray
    values: np.ndarray
    sigma: float


def start(x: Jet | Array, cos: Any = jnp.cos) -> Any:
    """Cosines: no flux at both ends."""
    return sum((cos(x * (k * np.pi)) * a for k, a in WAVES[1:]), cos(x * (WAVES[0][0] * np.pi)) * WAVES[0][1]) + 1.0


def log_diffusivity(theta: Float[Array, " modes"] | np.ndarray, x: Jet | Array | np.ndarray, cos: Any = jnp.cos) -> Any:
    """As number, array or jet, as ``x`` is."""
    total = cos(x * 0.0) * theta[0]
    for k in range(1, theta.shape[0]):
        total = total + cos(x * (k * np.pi)) * theta[k]
    return total + float(np.log(MIDDLE))


def series(theta: np.ndarray, x: np.ndarray, t: np.ndarray, cells: int = 400) -> np.ndarray:
    """The temperature by eigenvectors of finite volumes, exact in time, by NumPy alone; of order two in the cells."""
    h = 1 / cells
    centre = (np.arange(cells) + 0.5) * h
    face = np.exp(np.log(MIDDLE) + sum(c * np.cos(k * np.pi * np.arange(1, cells) * h) for k, c in enumerate(theta))) / h**2
    matrix = np.diag(-np.pad(face, (0, 1)) - np.pad(face, (1, 0))) + np.diag(face, 1) + np.diag(face, -1)
    values, vectors = np.linalg.eigh(matrix)
    first = 1 + sum(a * np.cos(k * np.pi * centre) for k, a in WAVES)
    when, where = np.unique(t, return_inverse=True)
    fields = (vectors * (vectors.T @ first)) @ np.exp(values[:, None] * when[None])
    # Even continuation beyond the ends, then the cubic through the four nearest centres.
    from scipy.interpolate import CubicSpline

    padded = np.concatenate([fields[1::-1], fields, fields[:-3:-1]])
    at = np.concatenate([[-1.5 * h, -0.5 * h], centre, [1 + 0.5 * h, 1 + 1.5 * h]])
    found = np.empty(len(x))
    for k in range(len(when)):
        found[where == k] = CubicSpline(at, padded[:, k])(x[where == k])
    return found


def make_data(seed: int, modes: int, sites: int, noise: float) -> Data:
    """Coefficients drawn from the prior; temperatures at random voxels of the solver's grid, at all times."""
    random = np.random.default_rng(seed)
    theta = SPREAD * random.normal(size=modes)
    theta *= min(1.0, 0.9 * np.log(LARGEST) / np.abs(theta).sum())  # a draw beyond what the solver's step is stable for is shortened
    x = (np.sort(random.choice(CELLS, sites, replace=False)) + 0.5) / CELLS
    places = np.column_stack([np.tile(x, len(TIMES)), np.repeat(TIMES, sites)])
    clean = series(theta, places[:, 0], places[:, 1])
    sigma = noise * float(np.sqrt(np.mean(clean**2)))
    return Data(theta, places, clean + sigma * random.normal(size=clean.shape), sigma)


class RodModel(eqx.Module):
    r"""$u=u_0(x)+\tfrac t{t+\tau}N(\cos\pi x,t)$: start and both insulated ends hold whatever $N$ is; and $\theta$ over its spread.

    Args:
        network: $N$.
        z: $\theta$ over its prior standard deviation.
    """

    network: SmoothPerceptron
    z: Float[Array, " modes"]

    def jet(self, point: Float[Array, " 2"]) -> Jet:
        """$u$ with $u_x$, $u_t$ and $u_{xx}$."""
        x, t = (coordinate(point, axis, BENT) for axis in (0, 1))
        inner = self.network.of(stacked([cosine(x * np.pi), t]))
        inner = Jet(inner.value[0], inner.first[:, 0], inner.second[:, 0], BENT)
        return start(x, cosine) + t * reciprocal(t + RISE) * inner

    def __call__(self, point: Float[Array, " 2"]) -> Float[Array, ""]:
        """$u$ alone."""
        x, t = point
        return start(x) + t / (t + RISE) * self.network(jnp.stack([jnp.cos(np.pi * x), t]))[0]


def residual(model: RodModel, point: Float[Array, " 2"]) -> Float[Array, ""]:
    r"""$u_t-D\,(u_{xx}+(\log D)_xu_x)$."""
    u, log_d = model.jet(point), log_diffusivity(SPREAD * model.z, coordinate(point, 0, BENT), cosine)
    return u.slope(1) - jnp.exp(log_d.value) * (u.bend(0) + log_d.slope(0) * u.slope(0))


def draw(key: Array, count: int) -> Float[Array, "points 2"]:
    """Uniform points of the unit square."""
    return jax.random.uniform(key, (count, 2))


def _datum(model: RodModel, point: tuple[Array, Array]) -> Float[Array, ""]:
    place, value = point
    return model(place) - value


def _prior(model: RodModel, point: Float[Array, ""]) -> Float[Array, " modes"]:
    return model.z * point


def case(
    seed: int, width: int = 12, layers: int = 2, scale: float = 1.0, modes: int = MODES, sites: int = SITES, noise: float = NOISE
) -> Case:
    """A hidden diffusivity and a network with it; ``scale`` multiplies the iterations."""
    data = make_data(seed, modes, sites, noise)
    network = SmoothPerceptron((-1.0, 0.0), (1.0, 1.0), (width,) * layers, key=jax.random.key(seed), steepness=(1.5, 1.0))
    samples = Rows(_datum, (jnp.asarray(data.places), jnp.asarray(data.values)), jnp.full(len(data.values), 1 / data.sigma))
    # The residual may be a thousandth of the temperature per duration: what the network cannot meet, and far below what noise can tell.
    problem = InformedProblem(residual, draw, (samples, Rows(_prior, jnp.ones(1), jnp.ones(1))), weight=1000.0)
    x = np.linspace(0, 1, 101)
    truth = diffusivity(data.theta, x)

    def more(fitted: Any) -> dict[str, float]:
        vector, restore = split(fitted.model)
        curvature = np.asarray(jax.jit(lambda at: normal_equations(fitted.rows, at, restore)[2])(vector))
        covariance = np.linalg.inv(curvature)[-modes:, -modes:]  # the network's numbers stand first
        return interval(np.asarray(fitted.model.z), covariance, data)

    answer = jax.jit(lambda model: jnp.exp(log_diffusivity(SPREAD * model.z, jnp.asarray(x))))
    stages = (Stage(500, max(1, round(20 * scale)), 10),)
    return Case(problem, RodModel(network, jnp.zeros(modes)), stages, Sampling(exponent=0.0), answer, truth, more)


def diffusivity(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """$D(x)$."""
    return np.asarray(np.exp(log_diffusivity(np.asarray(theta), x, np.cos)))


def interval(z: np.ndarray, covariance: np.ndarray, data: Data) -> dict[str, float]:
    """How wide the 90 % interval of the diffusivity is, and on which share of the rod it has the truth."""
    x = np.linspace(0, 1, 101)
    basis = SPREAD * np.cos(np.pi * np.outer(x, np.arange(len(z))))
    deviation = np.sqrt(np.einsum("ij,jk,ik->i", basis, covariance, basis))
    off = np.log(diffusivity(data.theta, x) / diffusivity(SPREAD * z, x))
    return {
        "interval90_percent": float(100 * NORMAL_90 * np.median(deviation)),
        "share_in_interval90": float(np.mean(np.abs(off) <= NORMAL_90 * deviation)),
    }


@partial(jax.jit, static_argnums=(4, 5))
def _gauss_newton(cells: Array, rows: Array, values: Array, sigma: Array, modes: int, iterations: int) -> Fit:
    grid = VoxelGrid(np.ones((CELLS, 1, 1), bool), (1 / CELLS, 1.0, 1.0))
    x = jnp.asarray((np.arange(CELLS) + 0.5) / CELLS)
    bound = 4 * MIDDLE * LARGEST * CELLS**2 * 4 / 3  # what order four in the interior asks for

    def residuals(z: Array) -> Array:
        diffusion = Diffusion(grid, jnp.exp(log_diffusivity(SPREAD * z, x)).reshape(CELLS, 1, 1), interior_order=4)
        stepper = RungeKuttaChebyshev2(diffusion, stages_for(STEP * bound))
        states = simulate(stepper, start(x), time_mesh(0.0, list(TIMES), STEP)).states
        return jnp.concatenate([(states[rows, cells] - values) / sigma, z])

    return least_squares(residuals, jnp.zeros(modes), iterations)


def by_solver(data: Data, iterations: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Gauss and Newton through the project's diffusion with the same prior: coefficients over their spread, and their covariance."""
    cells = jnp.asarray(np.floor(data.places[:, 0] * CELLS).astype(int))
    rows = jnp.asarray(np.rint(data.places[:, 1] / TIMES[0]).astype(int) - 1)
    found = _gauss_newton(cells, rows, jnp.asarray(data.values), jnp.asarray(data.sigma), len(data.theta), iterations)
    return np.asarray(found.z), np.linalg.inv(np.asarray(found.curvature))


def levels(seeds: Sequence[int] = (0,), modes: int = MODES, sites: int = SITES, noise: float = NOISE) -> tuple[Level, ...]:
    """The same data through the solver, medians over the seeds; one level, since the error is that of the data."""
    x = np.linspace(0, 1, 101)

    def run() -> tuple[float, float]:
        found = []
        for seed in seeds:
            data = make_data(seed, modes, sites, noise)
            (z, _), seconds = timed(lambda data=data: by_solver(data))
            found.append((relative_error(diffusivity(SPREAD * z, x), diffusivity(data.theta, x)), seconds))
        error, seconds = np.median(found, axis=0)
        return float(error), float(seconds)

    return (Level(f"Gauss-Newton through Diffusion, {CELLS} voxels", run),)


def paint(axes: Any, values: np.ndarray, truth: np.ndarray) -> None:
    """The diffusivity along the rod, the hidden one behind."""
    x = np.linspace(0, 1, len(truth))
    axes.plot(x, truth, color="0.75", linewidth=3, label="hidden")
    axes.plot(x, values, linewidth=1.2, label="found")
    axes.set_xlabel("x")
    axes.set_ylabel("diffusivity")
    axes.legend(frameon=False, fontsize=8)
