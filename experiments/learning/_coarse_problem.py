"""What the coarse problems have in common: random voxel images, the same image with its voxels cut, and means over what was cut."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from physics import FACE_INPUTS, FACE_OUTPUTS, CorrectedDiffusion
from physics.face_features import GRID
from solvers import Diffusion, Stepper, VoxelGrid
from twinsim.closures import PerceptronClosure, Standardisation, TrainingRange
from twinsim.closures.unrolled import unroll

Remedy = Literal["none", "order four", "fitted"]
FINE = 4


class CoarseProblem(eqx.Module):
    """A reaction and diffusion on the voxels of an image, and on finer ones.

    The image is the patient's: its voxels carry mask and coefficient. Finer grids cut each voxel into ``r`` per axis, and nothing else
    changes, so that all grids tend to the same solution.
    """

    spacing: eqx.AbstractVar[float]
    interval: eqx.AbstractVar[float]
    unit: eqx.AbstractVar[str]
    error_unit: eqx.AbstractVar[str]
    horizons: ClassVar[tuple[int, ...]]
    iterations: ClassVar[tuple[int, ...]]
    learning_rates: ClassVar[tuple[float, ...]]
    hidden: ClassVar[tuple[int, ...]]
    activation: ClassVar[str] = "tanh"
    members: ClassVar[int] = 24
    tests: ClassVar[int] = 8
    voxels: ClassVar[int] = 20
    test_voxels: ClassVar[int] = 24
    timing_voxels: ClassVar[int] = 48

    @abstractmethod
    def steps(self, voxels: int) -> int:
        """Intervals until the front has gone through an image of this edge."""

    @abstractmethod
    def sample(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> dict[str, Any]:
        """A random image with parameters."""

    @abstractmethod
    def start(self, member: dict[str, Array], refined: int) -> Array:
        """The first state: means over the voxels of the refined grid of a function that none of them resolves worse than another."""

    @abstractmethod
    def stepper(self, member: dict[str, Array], refined: int, model: PyTree | None = None, remedy: Remedy = "none") -> Stepper:
        """The solver on the refined grid; on the image's own voxels with a closure or a classical remedy, if one is named."""

    @abstractmethod
    def corrected(self, stepper: Any) -> CorrectedDiffusion:
        """The diffusion with its closure, out of a solver made with one."""

    @abstractmethod
    def reaction_time(self, member: dict[str, Array]) -> Array:
        """Of the features."""

    @abstractmethod
    def untrained(self, seed: int, members: dict[str, Array], truth: np.ndarray, hidden: tuple[int, ...]) -> PyTree:
        """The closures, with scales from the truth."""

    @abstractmethod
    def field(self, state: Array) -> Array:
        """What diffuses."""

    @abstractmethod
    def compare(self, state: Array) -> Array:
        """What of a state is compared in training."""

    @abstractmethod
    def errors(self, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """One number per member for trajectories ``(members, times, *state)``, in ``error_unit``."""

    def substeps(self, refined: int) -> int:
        """Steps of the solver in an interval: as much shorter as the voxels are finer."""
        return refined

    def grid(self, member: dict[str, Array], refined: int) -> VoxelGrid:
        """The image's voxels, each cut."""
        mask = cut(member["mask"], refined)
        x, y, z = (self.spacing / refined if n > 1 else self.spacing for n in member["mask"].shape)
        blank = VoxelGrid(np.ones(mask.shape, bool), (x, y, z))
        return eqx.tree_at(lambda grid: grid.mask, blank, mask)

    def rollout(self, stepper: Stepper, state: Array, steps: int, substeps: int, restrict: Any = None) -> Array:
        """The first state and those after each interval, in so many steps of the solver each, on the image's voxels."""
        if substeps == 1 and restrict is None:
            return jnp.concatenate([state[None], unroll(stepper, state, self.interval, steps)])
        keep = (lambda one: one) if restrict is None else restrict

        def interval(now: Array, _: None) -> tuple[Array, Array]:
            length = jnp.asarray(self.interval / substeps, now.dtype)
            now = jax.lax.fori_loop(0, substeps, lambda _, one: stepper.advance(one, jnp.zeros((), now.dtype), length), now)
            return now, keep(now)

        return jnp.concatenate([keep(state)[None], jax.lax.scan(interval, state, None, length=steps)[1]])

    def face_closure(self, seed: int, members: dict[str, Array], truth: np.ndarray, hidden: tuple[int, ...]) -> PerceptronClosure:
        """Untrained, with scales and range from the features of the truth where the field is not flat."""

        def seen(member: dict[str, Array], states: Array) -> Array:
            grid = self.grid(member, 1)
            diffusion = Diffusion(grid, member["pattern"], member["diffusivity"])
            blank = PerceptronClosure.create(0, FACE_INPUTS, FACE_OUTPUTS)
            corrected = CorrectedDiffusion(diffusion, grid.cells(member["pattern"]), blank, self.reaction_time(member))
            length = jnp.asarray(self.interval, states.dtype)
            return jax.vmap(lambda state: corrected.features(self.field(state), length))(states)

        features = np.moveaxis(np.asarray(jax.jit(jax.vmap(seen))(members, jnp.asarray(truth[:, :: max(1, truth.shape[1] // 12)]))), 2, 0)
        features = features.reshape(len(FACE_INPUTS), -1)
        features = features[:, (features[GRID] > 0) & (np.abs(features[0]) > 1e-4)]
        return scaled_closure(seed, FACE_INPUTS, FACE_OUTPUTS, features, hidden, self.activation)


def scaled_closure(
    seed: int, inputs: Any, outputs: Any, features: np.ndarray, hidden: tuple[int, ...], activation: str = "tanh"
) -> PerceptronClosure:
    """A perceptron in the precision of the features, standardised by them, whose output is a logarithm of order one."""
    closure = PerceptronClosure.create(seed, inputs, outputs, hidden=hidden, activation=activation, dtype=features.dtype)
    spread = np.maximum(features.std(axis=1), 1e-3)  # a number that never changes must not be blown up
    scale = Standardisation(jnp.asarray(features.mean(axis=1)), jnp.asarray(spread))
    none = Standardisation(jnp.zeros(1, features.dtype), jnp.ones(1, features.dtype))
    parts = lambda c: (c.input_scale, c.output_scale, c.trained_on)  # noqa: E731
    return eqx.tree_at(parts, closure, (scale, none, TrainingRange.of(jnp.asarray(features))), is_leaf=lambda leaf: leaf is None)


def cut(image: Array, refined: int) -> Array:
    """Every voxel cut into so many per axis, along axes of more than one voxel."""
    for axis, n in enumerate(image.shape):
        image = jnp.repeat(image, refined, axis) if n > 1 else image
    return image


def block_means(cells: Float[Array, "*batch cells"], shape: tuple[int, int, int], refined: int) -> Float[Array, "*batch coarse"]:
    """Means over the cut voxels of an image of this shape."""
    x, y, z = (refined if n > 1 else 1 for n in shape)
    blocks = cells.reshape(*cells.shape[:-1], shape[0], x, shape[1], y, shape[2], z)
    return blocks.mean((-5, -3, -1)).reshape(*cells.shape[:-1], -1)


def centres(shape: tuple[int, ...], spacing: float, per_voxel: int) -> tuple[Array, ...]:
    """Coordinates along each axis of points that cut each voxel, shaped to be added; zero along an axis of one voxel."""
    found = []
    for axis, n in enumerate(shape):
        along = (jnp.arange(n * per_voxel) + 0.5) * spacing / per_voxel if n > 1 else jnp.zeros(1)
        found.append(along.reshape([-1 if a == axis else 1 for a in range(3)]))
    return tuple(found)


def random_image(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """A smooth number from 0 to 1 per voxel, by a few random waves."""
    axes = [(np.arange(n) + 0.5) / n for n in shape]
    waves = np.zeros(shape)
    for k in range(3):
        for m in range(3):
            phase = generator.uniform(0, 2 * np.pi)
            turns = k * axes[0][:, None, None] + m * axes[1][None, :, None] + (k + m) / 2 * axes[2][None, None, :] * (shape[2] > 1)
            waves += generator.normal() * np.cos(2 * np.pi * turns + phase)
    return 1 / (1 + np.exp(-1.5 * waves))


def random_mask(generator: np.random.Generator, shape: tuple[int, int, int], outline: tuple[float, float]) -> np.ndarray:
    """A ball, or the whole box, with up to three holes of one to two voxels' radius."""
    places = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), axis=-1)
    middle = np.array(shape) / 2
    mask = np.linalg.norm(places - middle, axis=-1) < shape[0] * generator.uniform(*outline)
    for _ in range(generator.integers(0, 4)):
        hole = generator.uniform(0, 1, 3) * np.array(shape)
        hole[2] = hole[2] if shape[2] > 1 else 0.5
        mask &= np.linalg.norm(places - hole, axis=-1) > generator.uniform(1.0, 2.0)
    return mask
