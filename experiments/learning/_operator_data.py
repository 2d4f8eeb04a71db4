"""What the neural operators learn: a step of Gray-Scott between walls, and activation times in tissue, by the classical solvers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import Variable
from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, eikonal, stages_for
from solvers.rate import Rate, Sum, as_rate
from solvers.shapes import Scalar
from solvers.space.stacked import PerComponent
from solvers.status import raise_for_status
from twinsim.precision import in_precision

GRAY_SCOTT_SIDE = 0.4  # with the diffusivities of benchmarks/gray_scott some three spots across
DIFFUSIVITIES = (2e-5, 1e-5)
FEED, KILL = 0.04, 0.06
INTERVAL = 50.0
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
    stepper = in_precision(RungeKuttaChebyshev2(rate, stages_for(length * bound)), dtype)

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
    """Two to six blobs of the autocatalyst at random places, at the voxel centres."""
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
                wave += (
                    generator.normal() / (1 + k * k + m * m) * np.outer(np.cos(np.pi * k * x / SHEET_MM), np.cos(np.pi * m * x / SHEET_MM))
                )
        share = 1 / (1 + np.exp(-2 * wave))
        if generator.uniform() < 0.5:
            (a, b), radius = generator.uniform(0.2, 0.8, 2) * SHEET_MM, generator.uniform(4, 9)
            distance = np.hypot(x[:, None] - a, x[None, :] - b)
            share = share * (1 - 0.9 / (1 + np.exp((distance - radius) / 1.0)))
        field[...] = np.exp(low + (high - low) * share)
    return {"speed": speed, "source": source.astype(np.float32)}


@jax.jit
def activation_of(speed: Float[Array, "x y"], source: Float[Array, "2"]) -> tuple[Float[Array, "x y"], Array]:
    """Arrival times from a ball of 3 mm round the source that is excited as in uniform tissue, and the status of the eikonal solver."""
    voxels = speed.shape[-1]
    far = distances(source, voxels).astype(speed.dtype)
    own = speed[tuple(jnp.clip((source / SHEET_MM * voxels).astype(int), 0, voxels - 1))]
    start = jnp.where(far <= jnp.maximum(3.0, 1.5 * SHEET_MM / voxels), far / own, jnp.inf)
    found = eikonal(square(voxels, SHEET_MM), start.reshape(-1), speed=speed[..., None])
    return found.times.reshape(voxels, voxels), found.status


@jax.jit
def _activations(speed: Array, source: Array) -> tuple[Array, Array]:
    return jax.lax.map(lambda pair: activation_of(*pair), (speed, source))


def activation(speed: Float[Array, "members x y"], source: Float[Array, "members 2"]) -> Float[Array, "members x y"]:
    """Of several sheets; raises where one did not converge."""
    times, status = _activations(speed, source)
    raise_for_status(status)
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


class Pairs(NamedTuple):
    """Samples along the first axis: what goes in and what comes out."""

    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Scheme:
    """A classical solver: its answers for the tests, and a program with arguments for one field, to be timed."""

    name: str
    found: np.ndarray
    program: Callable[..., Any]
    example: tuple[Any, ...]


class OperatorProblem(Protocol):
    """What can be learned."""

    name: str
    title: str
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    rolls: bool

    def data(self, seed: int, samples: int, voxels: int) -> Pairs:
        """From the truth on twice as many voxels."""
        ...

    def classical(self, seed: int, samples: int, voxels: int) -> list[Scheme]:
        """Solvers of several resolutions on the same fields."""
        ...

    def error(self, found: np.ndarray, truth: np.ndarray) -> float:
        """Relative, the mean over the samples."""
        ...

    def guess(self, data: Pairs) -> np.ndarray:
        """The best answer that does not look at the input."""
        ...

    def rollout(self, seed: int, members: int, voxels: int) -> np.ndarray:
        """``(members, times, components, x, y)``, where the map can be repeated."""
        ...


def relative(found: np.ndarray, truth: np.ndarray) -> float:
    """Of the last component, root of the sum of squares over that of the truth, mean over the samples."""
    gap = ((found - truth)[:, -1] ** 2).sum((-2, -1))
    return float(np.sqrt(gap / (truth[:, -1] ** 2).sum((-2, -1))).mean())


SNAPSHOTS, TRUE_STEPS = 10, 20


class GrayScottProblem:
    """The state of Gray-Scott to that 50 units of time later."""

    name, title, rolls = "gray_scott", "Gray-Scott between walls", True
    inputs = outputs = SPECIES

    def rollout(self, seed: int, members: int, voxels: int) -> np.ndarray:
        """Of spots that grow and divide."""
        start = gray_scott_starts(np.random.default_rng(seed), members, 2 * voxels)
        return means(np.asarray(gray_scott(jnp.asarray(start), TRUE_STEPS * max(1, voxels // 32), SNAPSHOTS)), voxels)

    def data(self, seed: int, samples: int, voxels: int) -> Pairs:
        """All intervals of some rollouts."""
        states = self.rollout(seed, -(-samples // SNAPSHOTS), voxels)
        before, after = (part.reshape(-1, *states.shape[2:])[:samples] for part in (states[:, :-1], states[:, 1:]))
        return Pairs(before, after)

    def classical(self, seed: int, samples: int, voxels: int) -> list[Scheme]:
        """Stabilised Runge-Kutta, order four in space, on as many and on half the voxels."""
        before = self.data(seed, samples, voxels).before
        found = []
        for divided, steps in ((1, 20), (1, 10), (2, 20), (2, 10)):
            start = jnp.asarray(means(before, voxels // divided))
            solve = partial(_gray_scott_once, steps=steps)
            after = np.asarray(solve(start)).repeat(divided, -1).repeat(divided, -2)
            found.append(Scheme(f"solver {voxels // divided} voxels {steps} steps", after, solve, (start[:1],)))
        return found

    def error(self, found: np.ndarray, truth: np.ndarray) -> float:
        """Of the autocatalyst."""
        return relative(found, truth)

    def guess(self, data: Pairs) -> np.ndarray:
        """The mean."""
        return data.after.mean(0)


class ActivationProblem:
    """Speeds and a source to activation times."""

    name, title, rolls = "activation", "Activation times of sheets", False
    inputs, outputs = TISSUE_INPUTS, TISSUE_OUTPUTS

    def sheets(self, seed: int, samples: int, voxels: int) -> dict[str, np.ndarray]:
        """On twice as many voxels."""
        return tissue_samples(np.random.default_rng(seed), samples, 2 * voxels)

    def data(self, seed: int, samples: int, voxels: int) -> Pairs:
        """Means over the voxels of what the eikonal solver gives on half as wide ones."""
        sheets = self.sheets(seed, samples, voxels)
        times = np.asarray(activation(jnp.asarray(sheets["speed"]), jnp.asarray(sheets["source"])))
        speed = jnp.asarray(means(sheets["speed"], voxels))
        return Pairs(np.asarray(tissue_inputs(speed, jnp.asarray(sheets["source"]))), means(times, voxels)[:, None])

    def classical(self, seed: int, samples: int, voxels: int) -> list[Scheme]:
        """The eikonal solver on as many, half and a quarter of the voxels, interpolated."""
        sheets = self.sheets(seed, samples, voxels)
        source, found = jnp.asarray(sheets["source"]), []
        for divided in (1, 2, 4):
            speed = jnp.asarray(means(sheets["speed"], voxels // divided))
            times = jnp.asarray(activation(speed, source))
            finer = np.asarray(jax.image.resize(times, (samples, voxels, voxels), "linear"))
            found.append(Scheme(f"eikonal {voxels // divided} voxels", finer[:, None], activation_of, (speed[0], source[0])))
        return found

    def error(self, found: np.ndarray, truth: np.ndarray) -> float:
        """Of the times."""
        return relative(found, truth)

    def guess(self, data: Pairs) -> np.ndarray:
        """The mean."""
        return data.after.mean(0)

    def rollout(self, seed: int, members: int, voxels: int) -> np.ndarray:
        """There is none."""
        raise NotImplementedError("got a rollout of activation times; expected none, they are no state; do: look at rolls first")


@partial(jax.jit, static_argnames="steps")
def _gray_scott_once(start: Array, steps: int) -> Array:
    return gray_scott(start, steps, 1)[:, 1]


PROBLEMS: dict[str, OperatorProblem] = {one.name: one for one in (GrayScottProblem(), ActivationProblem())}
