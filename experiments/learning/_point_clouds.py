"""Tissue as a cloud of points: random outlines, coefficients and fields on fine voxels, and what points see of them."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial import cKDTree

from physics import CloudDiffusion
from solvers import Diffusion, RungeKuttaChebyshev2, VoxelGrid, stages_for
from solvers.rate import Rate, Sum, as_rate
from twinsim.closures.cloud_conductances import Cloud, cloud_of
from twinsim.precision import in_precision

EDGE, VOXEL = 96, 1 / 6  # voxels and mm: points are about one mm apart
FIELDS, SNAPSHOTS, INTERVAL = 3, 12, 0.5  # of diffusion; mm² over diffusivity
DIFFUSIVITIES = (0.3, 1.5)
GROWTH = 0.5  # of the front, whose width is a mm and a half
FRONT_SNAPSHOTS = 40
ROOM = (260, 1300)  # points and pairs


class Growth(Rate):
    """u' = r u (1 - u)."""

    rate: Float[Array, ""]

    def evaluate(self, state: Array, time: Array) -> Array:
        """See :class:`Rate`."""
        del time
        return self.rate * state * (1 - state)


class Member(NamedTuple):
    """A cloud, what is known of its tissue, and the truth at its points.

    Attributes:
        cloud: For the network.
        voronoi: Diffusion by the cells of the points, which a mesh is needed for.
        fields: ``(times, fields, points)``, diffusion from random fields.
        front: ``(times, points)``, growth and diffusion from one end.
        here: Points.
        points: Where they are, mm.
    """

    cloud: Cloud
    voronoi: CloudDiffusion
    fields: np.ndarray
    front: np.ndarray
    here: np.ndarray
    points: np.ndarray


def waves(generator: np.random.Generator, finest: int) -> np.ndarray:
    """A smooth field on all voxels, zero mean and one deviation."""
    x = (np.arange(EDGE) + 0.5) / EDGE
    found = np.zeros((EDGE, EDGE))
    for k in range(finest + 1):
        for m in range(finest + 1):
            if 0 < k * k + m * m <= finest * finest:
                turns = 2 * np.pi * generator.uniform(size=2)
                found += generator.normal() * np.outer(np.cos(np.pi * k * x + turns[0]), np.cos(np.pi * m * x + turns[1]))
    return (found - found.mean()) / found.std()


def outline(generator: np.random.Generator, hole: bool) -> np.ndarray:
    """A lobed disc, with a hole somewhere or without."""
    x = np.arange(EDGE) + 0.5 - EDGE / 2
    angle, radius = np.arctan2(x[None], x[:, None]), np.hypot(x[None], x[:, None])
    edge = np.full_like(angle, 0.8)
    for k in (2, 3, 4):
        edge += generator.uniform(0.02, 0.12) * np.cos(k * angle + generator.uniform(0, 2 * np.pi))
    mask = radius < edge / edge.max() * (EDGE / 2 - 2)
    if hole:
        place = generator.uniform(-0.2, 0.2, 2) * EDGE
        mask &= np.hypot(x[None] - place[1], x[:, None] - place[0]) > generator.uniform(0.1, 0.18) * EDGE
    return mask


def points_in(generator: np.random.Generator, mask: np.ndarray, count: int, apart: float) -> np.ndarray:
    """Middles of voxels, drawn until there are enough, none nearer than ``apart`` mm to another while room is left."""
    inside = (generator.permutation(np.argwhere(mask)) + 0.5) * VOXEL
    chosen: list[np.ndarray] = []
    for place in inside:
        if not chosen or np.linalg.norm(np.array(chosen) - place, axis=1).min() >= apart:
            chosen.append(place)
        if len(chosen) == count:
            break
    return np.array(chosen)


def member(seed: int, hole: bool, apart: tuple[float, float], density: float = 1.0) -> Member:
    """One cloud with its truth.

    Args:
        seed: Of everything.
        hole: In the tissue.
        apart: Least distance of points, mm, drawn between these: the larger, the more regular.
        density: Points per mm².
    """
    generator = np.random.default_rng(seed)
    mask = outline(generator, hole)
    area = mask.sum() * VOXEL**2
    points = points_in(generator, mask, min(round(area * density), ROOM[0]), generator.uniform(*apart) / np.sqrt(density))
    low, high = np.log(DIFFUSIVITIES)
    diffusivity = np.exp(low + (high - low) / (1 + np.exp(-1.5 * waves(generator, 3)))) * mask
    starts = np.stack([waves(generator, 6) for _ in range(FIELDS)]) * mask
    begin = points[generator.integers(len(points))]
    x = (np.arange(EDGE) + 0.5) * VOXEL
    seedling = np.exp(-((x[:, None] - begin[0]) ** 2 + (x[None] - begin[1]) ** 2) / 8) * mask
    at = tuple((points / VOXEL).astype(int).T)
    known = diffusivity[at]
    fields, front = (np.asarray(one) for one in solved(*(jnp.asarray(v) for v in (mask, diffusivity, starts, seedling))))
    seen = [values.reshape(*values.shape[:-1], EDGE, EDGE)[..., at[0], at[1]] for values in (fields, front)]
    spare = ROOM[0] - len(points)
    padded = [np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, spare)]) for values in seen]
    cloud = cloud_of(points, known, area, ROOM, lambda one, other: _open(mask, one, other))
    return Member(cloud, _voronoi(mask, points, known), padded[0], padded[1], np.arange(ROOM[0]) < len(points), points)


def _open(mask: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pairs whose straight line stays in the tissue."""
    shares = np.linspace(0, 1, 9)[:, None, None]
    at = ((one + shares * (other - one)) / VOXEL).astype(int)
    return mask[at[..., 0], at[..., 1]].all(axis=0)


def _voronoi(mask: np.ndarray, points: np.ndarray, diffusivity: np.ndarray) -> CloudDiffusion:
    """Finite volumes: area of each cell, and the part of the wall between two that faces the way from one to the other."""
    inside = np.argwhere(mask)
    label = np.full(mask.shape, -1)
    label[mask] = cKDTree(points).query((inside + 0.5) * VOXEL)[1]
    walls: dict[tuple[int, int], np.ndarray] = {}
    for axis in (0, 1):
        one, other = (np.take(label, range(k, EDGE - 1 + k), axis=axis).ravel() for k in (0, 1))
        across = (one >= 0) & (other >= 0) & (one != other)
        for i, j in zip(one[across], other[across], strict=True):
            normal = walls.setdefault((min(i, j), max(i, j)), np.zeros(2))
            normal[axis] += VOXEL if i < j else -VOXEL
    pairs = np.array(list(walls))
    offset = points[pairs[:, 1]] - points[pairs[:, 0]]
    square = (offset**2).sum(axis=1)
    d = diffusivity[pairs]
    mean = 2 * d[:, 0] * d[:, 1] / d.sum(axis=1)
    conductance = mean * np.maximum((np.array(list(walls.values())) * offset).sum(axis=1), 0) / square
    spare, last = ROOM[1] - len(pairs), ROOM[0] - 1
    ends = [jnp.asarray(np.pad(column, (0, spare), constant_values=last)) for column in pairs.T]
    area = np.bincount(label[mask], minlength=len(points)) * VOXEL**2
    volumes = np.pad(area, (0, ROOM[0] - len(points)), constant_values=1.0)
    return CloudDiffusion(jnp.asarray(np.pad(conductance, (0, spare))), jnp.asarray(volumes), *ends)


@jax.jit
def solved(mask: Array, diffusivity: Array, starts: Array, seedling: Array) -> tuple[Array, Array]:
    """On fine voxels: fields at all times, and the front."""
    grid = VoxelGrid(np.ones((EDGE, EDGE, 1), bool), (VOXEL, VOXEL, 1.0))
    operator = Diffusion(grid, diffusivity[..., None])
    inside = mask.reshape(-1)
    stages = stages_for(INTERVAL / 2 * (8 * DIFFUSIVITIES[1] / VOXEL**2 + GROWTH))
    spread = RungeKuttaChebyshev2(as_rate(operator), stages)
    grown = RungeKuttaChebyshev2(Sum((as_rate(operator), Growth(jnp.asarray(GROWTH, diffusivity.dtype)))), stages)
    fields = _marched(spread, jnp.where(inside, starts.reshape(FIELDS, -1), 0), SNAPSHOTS, 2)
    return fields, _marched(grown, jnp.where(inside, seedling.reshape(-1), 0), FRONT_SNAPSHOTS, 2)


def _marched(stepper: RungeKuttaChebyshev2, start: Array, snapshots: int, parts: int) -> Array:
    stepper, length = in_precision(stepper, start.dtype), jnp.asarray(INTERVAL / parts, start.dtype)

    def interval(state: Array, _: None) -> tuple[Array, Array]:
        state = jax.lax.fori_loop(0, parts, lambda _, now: stepper.advance(now, jnp.zeros((), state.dtype), length), state)
        return state, state

    return jnp.concatenate([start[None], jax.lax.scan(interval, start, None, length=snapshots)[1]])


@partial(jax.jit, static_argnames="stages")
def followed(diffusion: CloudDiffusion, fields: Array, front: Array, stages: int) -> tuple[Array, Array]:
    """The same on the points: fields and front at all times."""
    spread = RungeKuttaChebyshev2(diffusion, stages)
    grown = RungeKuttaChebyshev2(Sum((diffusion, Growth(jnp.asarray(GROWTH, fields.dtype)))), stages)
    return _marched(spread, fields, SNAPSHOTS, 1), _marched(grown, front, FRONT_SNAPSHOTS, 1)


def field_error(found: np.ndarray, one: Member) -> float:
    """Root mean square over points, fields and times after the first, over that of the truth's distance from its mean."""
    truth = one.fields[1:][..., one.here]
    off = np.asarray(found)[1:][..., one.here] - truth
    return float(np.sqrt(np.mean(off**2) / np.mean((truth - truth.mean(axis=-1, keepdims=True)) ** 2)))


def arrivals(front: np.ndarray) -> np.ndarray:
    """When the front passes one half at each point, linear between snapshots; NaN where it does not."""
    above = front >= 0.5
    first = np.argmax(above, axis=0)
    place = np.arange(front.shape[1])
    before, after = front[np.maximum(first - 1, 0), place], front[first, place]
    time = INTERVAL * (first - 1 + (0.5 - before) / np.where(after > before, after - before, 1.0))
    return np.where(above.any(axis=0) & (first > 0), time, np.nan)


def arrival_error(found: np.ndarray, one: Member) -> float:
    """Mean of the distance over the time, of points reached after two units of time in both."""
    wanted, got = arrivals(one.front)[one.here], arrivals(np.asarray(found))[one.here]
    late = wanted > 2
    if not np.isfinite(got[late]).all():
        return float("nan")
    return float(np.mean(np.abs(got[late] - wanted[late]) / wanted[late]))
