"""Growth of a tumour in a box, anisotropic in three dimensions: a separable network beside a plain one and the exponential solver."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.learning._informed_case import Case, Level, relative_error, timed
from physics import ProliferationInvasion
from physics.logistic_log_kill import LogisticLogKill
from solvers import Diffusion, ExactFlow, ExponentialRungeKutta, Rate, Solution, SpectralDiffusion, Stepper, VoxelGrid, simulate, time_mesh
from twinsim.informed import (
    InformedProblem,
    Jet,
    Sampling,
    SeparableNetwork,
    SmoothPerceptron,
    Stage,
    coordinate,
    cosine,
    exponential,
    rate_of,
    reciprocal,
    stacked,
    stratified,
)

SIDES_MM, DAYS = (40.0, 32.0, 24.0), 20.0
DIFFUSIVITY = (0.9, 0.4, 0.2)  # mm^2/day along x, y, z: fibres along x
PROLIFERATION = 0.05  # 1/day
BENT = (0, 1, 2)
PEAK, WIDENING = 0.4, (3.0, 2.5, 2.0)  # of the start, and how sharply it falls in the cosine along each axis
SETTLES = 20.0  # days, of the lift
PLACES, TIMES = 16, np.linspace(2.0, 20.0, 10)


def growth(state: Array, time: Array) -> Array:
    """That of :class:`physics.ProliferationInvasion` as it stands; made here, since the precision is chosen after the import."""
    return rate_of(ExactFlow(LogisticLogKill(jnp.asarray(PROLIFERATION))))(state[None], time)[0]


def start(point: Float[Array, " 4"]) -> Jet:
    r"""$u_0=0.4\prod_ie^{a_i(\cos(\pi x_i/L_i)-1)}$, a lump in a corner without flux through any wall; as a jet over $(x,y,z,t)$."""
    turns = [cosine(coordinate(point, axis, BENT) * (np.pi / side)) for axis, side in enumerate(SIDES_MM)]
    x, y, z = (a * (turn - 1.0) for a, turn in zip(WIDENING, turns, strict=True))
    return PEAK * exponential(x + y + z)


def grown(point: Float[Array, " 4"]) -> Jet:
    r"""What the start becomes where nothing spreads, $u_0e^{\rho t}/(1+u_0(e^{\rho t}-1))$."""
    u, gain = start(point), exponential(coordinate(point, 3, BENT) * PROLIFERATION)
    return u * gain * reciprocal(1.0 + u * (gain - 1.0))


class GrowthField(eqx.Module):
    r"""$u=u_g+\tfrac t{t+\tau}N$ with :func:`grown` $u_g$, $N$ even at every wall: start and walls hold whatever its weights are.

    With the start alone in place of $u_g$ a fit on few instants fell to the other solution, $u=0$ from the first instant on.

    Args:
        network: $N$; separable, or a perceptron of $\cos(\pi x_i/L_i)$ and $t$.
    """

    network: SeparableNetwork | SmoothPerceptron

    def _network_jet(self, point: Float[Array, " 4"]) -> Jet:
        if not isinstance(self.network, SmoothPerceptron):
            return self.network.jet(point, BENT)
        turns = [cosine(coordinate(point, axis, BENT) * (np.pi / side)) for axis, side in enumerate(SIDES_MM)]
        return self.network.of(stacked([*turns, coordinate(point, 3, BENT)]))

    def jet(self, point: Float[Array, " 4"]) -> Jet:
        """Density with its slopes and its three bends."""
        t, inner = coordinate(point, 3, BENT), self._network_jet(point)
        inner = Jet(inner.value[0], inner.first[:, 0], inner.second[:, 0], BENT)
        return grown(point) + t * reciprocal(t + SETTLES) * inner

    def __call__(self, point: Float[Array, " 4"]) -> Float[Array, ""]:
        """Density alone."""
        return self.jet(point).value


def residual(model: GrowthField, point: Float[Array, " 4"]) -> Float[Array, ""]:
    r"""$(u_t-\sum_iD_iu_{ii}-f(u))/\rho$ with $f$ that of :class:`physics.ProliferationInvasion`; the same function for both networks."""
    u = model.jet(point)
    spread = DIFFUSIVITY[0] * u.bend(0) + DIFFUSIVITY[1] * u.bend(1) + DIFFUSIVITY[2] * u.bend(2)
    return (u.slope(3) - spread - growth(u.value, point[3])) / PROLIFERATION


LOW, HIGH = (0.0,) * 4, (*SIDES_MM, DAYS)


def draw_axes(key: Array, count: int) -> Float[Array, "count 4"]:
    """Axes of a tensor grid."""
    return stratified(key, count, LOW, HIGH)


def draw(key: Array, count: int) -> Float[Array, "points 4"]:
    """Single points, uniformly."""
    return jax.random.uniform(key, (count, 4)) * jnp.asarray(HIGH)[None]


def places() -> list[np.ndarray]:
    """At which errors are taken: centres of 16 parts of every side."""
    return [(np.arange(PLACES) + 0.5) * side / PLACES for side in SIDES_MM]


class Growth(Rate):
    """The growth of every voxel."""

    def evaluate(self, state: Array, time: Array) -> Array:
        """See :class:`solvers.Rate`."""
        return growth(state, time)


def _course(stepper: Stepper, grid: VoxelGrid, step_days: float) -> np.ndarray:
    """Densities at the times and places, by cosines between the centres of the voxels."""
    centres = [(np.arange(n) + 0.5) * side / n for n, side in zip(grid.shape, SIDES_MM, strict=True)]
    shape = [np.exp(a * (np.cos(np.pi * x / side) - 1)) for a, x, side in zip(WIDENING, centres, SIDES_MM, strict=True)]
    begin = jnp.asarray(PEAK * np.einsum("i,j,k->ijk", *shape).ravel())
    found = _states(stepper, begin, step_days)
    found.raise_for_status()
    fields = np.asarray(found.states).reshape(-1, *grid.shape)
    between = [_between(n, side, x) for n, side, x in zip(grid.shape, SIDES_MM, places(), strict=True)]
    return np.einsum("tijk,ai,bj,ck->abct", fields, *between, optimize=True)


@eqx.filter_jit
def _states(stepper: Stepper, begin: Array, step_days: float) -> Solution:
    return simulate(stepper, begin, time_mesh(0.0, list(TIMES), step_days))


def _between(count: int, side: float, x: np.ndarray) -> np.ndarray:
    """From values at the centres of ``count`` parts to those at ``x``."""
    waves = np.arange(count)
    weights = np.where(waves, 2.0, 1.0) / count
    return (weights * np.cos(np.pi * x[:, None] * waves / side)) @ np.cos(np.pi * waves[:, None] * (np.arange(count) + 0.5) / count)


def by_voxels(count: int, step_days: float) -> np.ndarray:
    """The project's equation as it stands on ``count`` voxels along every side."""
    x, y, z = (side / count for side in SIDES_MM)
    grid = VoxelGrid(np.ones((count,) * 3, bool), (x, y, z))
    along, across, through = (jnp.full(grid.shape, one) for one in DIFFUSIVITY)
    equation = ProliferationInvasion(Diffusion(grid, (along, across, through)), jnp.asarray(PROLIFERATION), stages=6)
    return _course(equation.stepper(), grid, step_days)


def by_cosines(count: int, step_days: float) -> np.ndarray:
    """Cosines in space, exponential Runge-Kutta of order four in time: on sides over the root of their diffusivity all of them are one."""
    sides = [side / d**0.5 for side, d in zip(SIDES_MM, DIFFUSIVITY, strict=True)]
    grid = VoxelGrid(np.ones((count,) * 3, bool), tuple(side / count for side in sides))
    return _course(ExponentialRungeKutta(SpectralDiffusion(grid, 1.0, symbol="exact"), Growth(), accuracy=4), grid, step_days)


@lru_cache
def exact() -> np.ndarray:
    """By cosines, 32 along every side."""
    return by_cosines(32, 1.0).ravel()


def case(seed: int, width: int = 12, layers: int = 2, scale: float = 1.0, rank: int = 6, points: int = 12) -> Case:
    """A separable network on tensor grids; ``scale`` multiplies the iterations."""
    network = SeparableNetwork(LOW, HIGH, (width,) * layers, rank, key=jax.random.key(seed), ends=("insulated",) * 3 + ("free",))
    axes = [jnp.asarray(x) for x in (*places(), TIMES)]

    @jax.jit
    def answer(model: GrowthField) -> Array:
        inner = model.network.on_grid(axes)[..., 0]  # pyright: ignore[reportAttributeAccessIssue] (a separable one here)
        begin = [jnp.exp(a * (jnp.cos(np.pi * x / side) - 1)) for a, x, side in zip(WIDENING, axes[:3], SIDES_MM, strict=True)]
        begin, time = PEAK * jnp.einsum("i,j,k->ijk", *begin)[..., None], axes[3][None, None, None]
        gain = jnp.exp(PROLIFERATION * time)
        return (begin * gain / (1 + begin * (gain - 1)) + time / (time + SETTLES) * inner).reshape(-1)

    stages = (Stage(points, max(1, round(40 * scale)), 5),)
    return Case(InformedProblem(residual, draw_axes, tensor=True), GrowthField(network), stages, Sampling(), answer, exact())


def rival(seed: int, width: int = 20, layers: int = 3) -> Case:
    """A plain network for the same residual on single points drawn by residual; it ends when its time is over."""
    network = SmoothPerceptron((-1.0,) * 3 + (0.0,), (1.0,) * 3 + (DAYS,), (width,) * layers, key=jax.random.key(seed))
    where = jnp.asarray(np.stack(np.meshgrid(*places(), TIMES, indexing="ij"), axis=-1).reshape(-1, 4))
    answer = jax.jit(lambda model: jax.vmap(model)(where))
    return Case(InformedProblem(residual, draw), GrowthField(network), (Stage(2500, 10_000, 5),), Sampling(), answer, exact())


def levels(seeds: Sequence[int] = (0,)) -> tuple[Level, ...]:
    """The project's exponential solver on ever more cosines."""
    del seeds  # the problem has no data

    def run(count: int) -> tuple[float, float]:
        found, seconds = timed(lambda: by_cosines(count, 2.0))
        return relative_error(found.ravel(), exact()), seconds

    return tuple(Level(f"cosines and exponential Runge-Kutta, {n} cubed", lambda n=n: run(n)) for n in (4, 6, 8, 12, 16, 24))


def paint(axes: Any, values: np.ndarray, truth: np.ndarray) -> None:
    """The section nearest to the tumour at the end, and in black where it is wrong by more than a thousandth."""
    shape = (PLACES, PLACES, PLACES, len(TIMES))
    drawn, off = (field.reshape(shape)[:, :, 0, -1].T for field in (values, np.abs(values - truth)))
    extent = (0, SIDES_MM[0], 0, SIDES_MM[1])
    axes.imshow(drawn, origin="lower", extent=extent, cmap="viridis", vmin=0, vmax=1)
    axes.contour(off, levels=[1e-3], extent=extent, colors="black", linewidths=0.6)
    axes.set_xlabel("x (mm)")
    axes.set_ylabel("y (mm)")
