"""A growing tumour on voxels as a twin that follows a stream of readings at places."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from physics import ProliferationInvasion
from solvers import Diffusion, VoxelGrid
from solvers.shapes import Scalar
from twinsim.assimilation.stream_model import Noise, StateVector, StreamModel, Values


class VoxelTwin(StreamModel):
    r"""Cell density per active voxel, then $\ln D_w$ and $\ln\rho$: :class:`physics.ProliferationInvasion` with a slow walk of both.

    A reading is the density at some voxels, or the mean over blocks of them.

    Args:
        grid: The voxels.
        pattern: Diffusion with the pattern of tissue inside; its scale is replaced by each member's $D_w$ (mm²/day).
        blocks: Which block each active voxel belongs to, -1 for none; ``(active voxels,)``.
        noise: Deviation of a reading (density).
        walk: Deviation of the walk of both logarithms, per square root of a day.
        max_step: Longest step, day.
        channels: Number of blocks.

    No drug and no radiation in between; a stay of treatment is an update of the model. Members whose density an update pushed out of
    0..1 are put back: :meth:`admissible`.
    """

    pattern: Diffusion
    active: Int[Array, " active"]
    blocks: Int[Array, " active"]
    noise: Scalar
    walk: Scalar
    cells: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    max_step: float = eqx.field(static=True)
    stages: int = eqx.field(static=True)
    noise_size: int = eqx.field(static=True)

    def __init__(
        self, grid: VoxelGrid, pattern: Diffusion, blocks: np.ndarray, noise: float = 0.1, walk: float = 0.005,
        max_step: float = 2.0, stages: int = 2,
    ) -> None:  # fmt: skip
        active = np.flatnonzero(np.asarray(grid.mask).reshape(-1))
        if np.shape(blocks) != active.shape or np.max(blocks) < 0 or not noise > 0 or not max_step > 0:
            raise ValueError(
                f"got blocks of shape {np.shape(blocks)}, noise {noise}, max_step {max_step}; expected one block number per active voxel "
                f"({active.size}), at least one of them >= 0, and positive numbers; do: see blocks_of"
            )
        kind = pattern.scale.dtype
        self.pattern, self.active, self.blocks = pattern, jnp.asarray(active), jnp.asarray(blocks)
        self.noise, self.walk = jnp.asarray(noise, kind), jnp.asarray(walk, kind)
        self.cells, self.channels = grid.size, int(np.max(blocks)) + 1
        self.max_step, self.stages, self.noise_size = max_step, stages, 2

    def advance(self, state: StateVector, start: Scalar, length: Scalar, noise: Noise) -> StateVector:
        """See :class:`StreamModel`; days, in equal steps no longer than ``max_step``."""
        diffusivity, proliferation = jnp.exp(state[-2]), jnp.exp(state[-1])
        pattern = eqx.tree_at(lambda d: d.scale, self.pattern, diffusivity)
        stepper = ProliferationInvasion(pattern, proliferation, stages=self.stages).stepper()
        count = jnp.ceil(length / self.max_step - 1e-6)
        step = length / jnp.maximum(count, 1.0)
        field = jnp.zeros(self.cells, state.dtype).at[self.active].set(state[:-2])
        field = jax.lax.fori_loop(0, count.astype(int), lambda i, u: stepper.advance(u, start + i * step, step), field)
        return jnp.concatenate([field[self.active], state[-2:] + self.walk * jnp.sqrt(length) * noise])

    def predict(self, state: StateVector) -> Values:
        """Mean density per block."""
        where = jnp.where(self.blocks < 0, self.channels, self.blocks)
        sums = jnp.zeros(self.channels + 1, state.dtype).at[where].add(state[:-2])
        counts = jnp.zeros(self.channels + 1, state.dtype).at[where].add(1.0)
        return (sums / jnp.maximum(counts, 1.0))[:-1]

    def error(self, predicted: Values) -> Values:
        """The same everywhere."""
        return jnp.broadcast_to(self.noise, predicted.shape)

    def admissible(self, state: StateVector) -> StateVector:
        """Densities in 0..1."""
        return jnp.concatenate([jnp.clip(state[:-2], 0.0, 1.0), state[-2:]])


def blocks_of(grid: VoxelGrid, edge: int) -> tuple[np.ndarray, Float[Array, "blocks 3"], Float[Array, "state 3"]]:
    """Cubes of ``edge`` voxels that hold active ones: number per active voxel, centres (mm), and places of the state's components (mm).

    Raises:
        ValueError: The edge is not positive.
    """
    if edge < 1:
        raise ValueError(f"got edge {edge}; expected at least one voxel; do: average over cubes of two to four")
    index = np.argwhere(np.asarray(grid.mask))
    cubes = index // edge
    _, number = np.unique(cubes, axis=0, return_inverse=True)
    number = number.reshape(-1)
    places = index * np.asarray(grid.spacing)
    centres = np.stack([np.bincount(number, places[:, axis]) / np.bincount(number) for axis in range(3)], -1)
    nowhere = np.full((2, 3), np.nan)
    return number, jnp.asarray(centres), jnp.asarray(np.concatenate([places, nowhere]))
