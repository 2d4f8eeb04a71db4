"""What the neural operators learn: a step of Gray-Scott between walls, and activation times in tissue, by the classical solvers."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import Variable
from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, eikonal, stages_for
from solvers.rate import Rate, Sum, as_rate
from solvers.shapes import Scalar
from solvers.space.stacked import PerComponent

GRAY_SCOTT_SIDE = 0.64  # with the diffusivities of benchmarks/gray_scott some five spots across
DIFFUSIVITIES = (2e-5, 1e-5)
FEED, KILL = 0.04, 0.06
INTERVAL = 100.0
SPECIES = (Variable("substrate", "1"), Variable("autocatalyst", "1"))

SHEET_MM = 48.0
SPEEDS_MM_PER_MS = (0.25, 0.9)
TISSUE_INPUTS = (Variable("log_slowness", "1"), Variable("distance_from_source", "mm"))
TISSUE_OUTPUTS = (Variable("activation_time", "ms"),)


class GrayScott(Rate):
    """u' = -u v² + F(1 - u), v' = u v² - (F + k) v."""

    feed: Scalar
    kill: Scalar

    def evaluate(self, state: Array, time: Array) -> Array:
        u, v = state
        made = u * v * v
        return jnp.stack([self.feed * (1 - u) - made, made - (self.feed + self.kill) * v])


def square(voxels: int, side: float) -> VoxelGrid:
    """One layer of voxels."""
    return VoxelGrid(np.ones((voxels, voxels, 1), bool), (side / voxels, side / voxels, side))


@partial(jax.jit, static_argnames=("steps", "snapshots"))
def gray_scott(start: Float[Array, "members species x y"], steps: int, snapshots: int) -> Float[Array, "members snapshots species x y"]:
    """The states after every ``INTERVAL``, by ``steps`` stabilised Runge-Kutta steps each; order four in the interior."""
    voxels, dtype = start.shape[-1], start.dtype
    grid = square(voxels, GRAY_SCOTT_SIDE)
    operator = PerComponent(Diffusion(grid, jnp.ones(grid.shape, dtype), interior_order=4), jnp.asarray(DIFFUSIVITIES, dtype))
    rate = Sum((as_rate(operator), GrayScott(jnp.asarray(FEED, dtype), jnp.asarray(KILL, dtype))))
    length = INTERVAL / steps
    bound = 4 / 3 * 8 * DIFFUSIVITIES[0] * (voxels / GRAY_SCOTT_SIDE) ** 2 + FEED + KILL + 0.1  # u v² between 0 and 1 as it occurs
    stepper = RungeKuttaChebyshev2(rate, stages_for(length * bound))

    def interval(state: Array, _: None) -> tuple[Array, Array]:
        step = lambda _, now: stepper.advance(now, jnp.zeros((), dtype), jnp.asarray(length, dtype))  # noqa: E731
        state = jax.lax.fori_loop(0, steps, step, state)
        return state, state

    def member(state: Array) -> Array:
        first = state.reshape(2, -1)
        states = jax.lax.scan(interval, first, None, length=snapshots)[1]
        return jnp.concatenate([first[None], states]).reshape(-1, 2, voxels, voxels)

    return jax.lax.map(member, start)


def gray_scott_starts(generator: np.random.Generator, members: int, voxels: int) -> np.ndarray:
    """Two to six blobs of the autocatalyst at random places, cell means on a grid that is four times finer than 16."""
    x = (np.arange(voxels) + 0.5) * GRAY_SCOTT_SIDE / voxels
    found = np.zeros((members, 2, voxels, voxels), np.float32)
    for state in found:
        v = np.zeros((voxels, voxels))
        for _ in range(generator.integers(2, 7)):
            (a, b), width = generator.uniform(0, GRAY_SCOTT_SIDE, 2), generator.uniform(0.03, 0.06)
            v += 0.5 * np.exp(-((x[:, None] - a) ** 2 + (x[None, :] - b) ** 2) / (2 * width**2))
        v = np.minimum(v, 0.6)
        state[0], state[1] = 1 - v, v
    return found


def tissue_samples(generator: np.random.Generator, samples: int, voxels: int) -> dict[str, np.ndarray]:
    """Sheets with a smooth random speed, a slow scar in half of them, and one source each, on ``voxels`` per axis."""
    low, high = np.log(SPEEDS_MM_PER_MS)
    x = (np.arange(voxels) + 0.5) * SHEET_MM / voxels
    speed = np.zeros((samples, voxels, voxels), np.float32)
    source = generator.uniform(0.05, 0.95, (samples, 2)) * SHEET_MM
    for field in speed:
        wave = np.zeros((voxels, voxels))
        for k in range(4):
            for m in range(4):
                wave += generator.normal() / (1 + k * k + m * m) * np.outer(np.cos(np.pi * k * x / SHEET_MM), np.cos(np.pi * m * x / SHEET_MM))
        share = 1 / (1 + np.exp(-2 * wave))
        if generator.uniform() < 0.5:
            (a, b), radius = generator.uniform(0.2, 0.8, 2) * SHEET_MM, generator.uniform(4, 9)
            distance = np.hypot(x[:, None] - a, x[None, :] - b)
            share = share * (1 - 0.9 / (1 + np.exp((distance - radius) / 1.0)))
        field[...] = np.exp(low + (high - low) * share)
    return {"speed": speed, "source": source.astype(np.float32)}


def activation(speed: Float[Array, "members x y"], source: Float[Array, "members 2"]) -> Float[Array, "members x y"]:
    """Arrival times from a ball of 3 mm round each source that is excited as in uniform tissue, by the eikonal solver."""
    voxels = speed.shape[-1]
    grid = square(voxels, SHEET_MM)

    @jax.jit
    def member(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        field, at = pair
        far = distances(at, voxels).astype(field.dtype)
        own = field[tuple(jnp.clip((at / SHEET_MM * voxels).astype(int), 0, voxels - 1))]
        start = jnp.where(far <= jnp.maximum(3.0, 1.5 * SHEET_MM / voxels), far / own, jnp.inf)
        found = eikonal(grid, start.reshape(-1), speed=field[..., None])
        return found.times.reshape(voxels, voxels), found.status

    times, status = jax.lax.map(member, (speed, source))
    if int(jnp.max(status)):
        raise RuntimeError(f"got status {int(jnp.max(status))} from the eikonal solver; expected success; do: raise its rounds")
    return times


def distances(source: Float[Array, "2"], voxels: int) -> Float[Array, "x y"]:
    """Of the voxel centres from a source, mm."""
    x = (jnp.arange(voxels) + 0.5) * SHEET_MM / voxels
    return jnp.hypot(x[:, None] - source[0], x[None, :] - source[1])


def tissue_inputs(speed: Float[Array, "members x y"], source: Float[Array, "members 2"]) -> Float[Array, "members 2 x y"]:
    """What the operators get: minus the logarithm of the speed in mm/ms, and the distance from the source in mm."""
    far = jax.vmap(partial(distances, voxels=speed.shape[-1]))(source).astype(speed.dtype)
    return jnp.stack([-jnp.log(speed), far], axis=1)


def means(fields: Any, voxels: int) -> Any:
    """Of blocks of the last two axes, down to ``voxels`` per axis."""
    factor = fields.shape[-1] // voxels
    return fields.reshape(*fields.shape[:-2], voxels, factor, voxels, factor).mean((-3, -1))
