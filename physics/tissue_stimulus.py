"""Stimuli of tissue as data: where, from when, how long, how strong."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.cell_model import Scalar, Stimulus
from physics.pulse_train import check_pulses, pulse_edges, pulse_is_on
from solvers import VoxelGrid


class TissueStimulus(Stimulus):
    """A current into the cells of a region, the same at its ``starts``, for ``duration``; positive depolarises.

    Args:
        grid: The voxels.
        region: Volume ``(x, y, z)`` of booleans, or of the fraction of each voxel that is stimulated, 0 to 1.
        amplitude: A/F (mV/ms).
        duration: ms.
        starts: ms, one number or several: a train, an S1-S2 pair.

    Raises:
        ValueError: A region of another shape, with values outside of 0 to 1, empty, or reaching outside of the tissue; a duration that
            is not positive; starts closer than the duration; an amplitude that is not finite.

    Good values: twice the threshold, some 50 A/F for 1 to 2 ms in a region wider than $\\sqrt{D\\cdot 1\\,ms}$ (0.3 mm along fibres); a
    smaller one needs more, since current leaks away.
    """

    region: Float[Array, " cells"]
    amplitude: Scalar
    duration: Scalar
    starts: Float[Array, " starts"]

    def __init__(
        self, grid: VoxelGrid, region: ArrayLike, amplitude: ArrayLike, duration: ArrayLike, starts: ArrayLike | Sequence[float] = 0.0
    ) -> None:
        self.region = _checked_region(grid, region)
        self.amplitude, self.duration = jnp.asarray(amplitude, dtype=float), jnp.asarray(duration, dtype=float)
        self.starts = jnp.sort(jnp.atleast_1d(jnp.asarray(starts, dtype=float)))
        if isinstance(self.amplitude, Tracer):
            return
        if not np.isfinite(self.amplitude):
            raise ValueError(f"got an amplitude of {self.amplitude}; expected a finite number of A/F; do: check it")
        check_pulses(self.duration, self.starts)

    def current(self, time: Scalar) -> Float[Array, " cells"]:
        """A/F in every cell at a time in ms."""
        on = pulse_is_on(time, self.duration, self.starts)
        return jnp.where(on, self.amplitude, jnp.zeros_like(self.amplitude)).astype(self.region.dtype) * self.region

    def edges(self) -> list[float]:
        """See :class:`Stimulus`."""
        return pulse_edges(self.duration, self.starts)


def box_fraction(grid: VoxelGrid, low: Sequence[float], high: Sequence[float]) -> Array:
    """The fraction of every voxel inside of a box from ``low`` to ``high``, in the unit of the spacing from the corner of the grid.

    A region whose edge lies between voxel edges keeps its size, so that what it starts does not jump with the spacing.
    """
    parts = []
    for n, h, below, above in zip(grid.shape, grid.spacing, low, high, strict=True):
        edge = np.arange(n) * h
        parts.append(np.clip(np.minimum(edge + h, above) - np.maximum(edge, below), 0, h) / h)
    x, y, z = parts
    return jnp.asarray(x[:, None, None] * y[None, :, None] * z[None, None, :]) * grid.mask


def _checked_region(grid: VoxelGrid, given: ArrayLike) -> Float[Array, " cells"]:
    region = jnp.asarray(given, dtype=float)
    if region.shape != grid.shape:
        raise ValueError(f"got a stimulus region of shape {region.shape}; expected {grid.shape}; do: resample it to the grid")
    if isinstance(region, Tracer) or isinstance(grid.mask, Tracer):
        return jnp.where(grid.mask, region, 0).reshape(-1)
    values, mask = np.asarray(region), np.asarray(grid.mask)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("got a stimulus region with values outside of 0 to 1; expected booleans or fractions; do: scale the amplitude")
    outside = int(((values > 0) & ~mask).sum())
    if outside:
        raise ValueError(
            f"got a stimulus in {outside} voxels outside of the tissue; expected it inside of the mask; do: take region & mask, or move it"
        )
    if not values.any():
        raise ValueError("got a stimulus region without a voxel; expected at least one; do: check its position and the spacing")
    return region.reshape(-1)
