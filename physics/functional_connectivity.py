"""Which regions go together, and how that changes: correlations over a record and over windows of it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ROUNDING = 16.0
Signals = Float[Array, "samples regions"]


def functional_connectivity(signals: Signals) -> Float[Array, "regions regions"]:
    """Pearson's correlation of every pair of regions; 0 with a region that stands still, and its own is 1."""
    off = signals - jnp.mean(signals, axis=0, keepdims=True)
    square = jnp.sum(off**2, axis=0)
    rounding = ROUNDING * jnp.finfo(signals.dtype).eps * jnp.max(jnp.abs(signals), axis=0)  # of the mean
    still = square <= len(signals) * rounding**2
    normal = jnp.where(still[None], 0.0, off / jnp.sqrt(jnp.where(still, 1.0, square))[None])
    found = normal.T @ normal
    return jnp.where(jnp.eye(len(found), dtype=bool), 1.0, found)


def upper_triangle(matrix: Float[Array, "regions regions"]) -> Float[Array, " pairs"]:
    """Entries above the diagonal, row by row."""
    return matrix[np.triu_indices(len(matrix), 1)]


def windowed_connectivity(signals: Signals, window: int, step: int) -> Float[Array, "windows pairs"]:
    """Correlations of pairs (:func:`upper_triangle`) within windows.

    Args:
        signals: One column per region.
        window: Samples in one.
        step: From the start of one to the next; samples that fill no window at the end are left out.

    Raises:
        ValueError: A window of fewer than two samples or longer than the record, or no step.
    """
    if not (2 <= window <= len(signals)) or step < 1:
        got = f"windows of {window} every {step} of {len(signals)} samples"
        raise ValueError(f"got {got}; expected windows of 2 samples to all, a step of 1 or more; do: change one of them")
    starts = jnp.arange(0, len(signals) - window + 1, step)

    def one(start: Array) -> Array:
        return upper_triangle(functional_connectivity(jax.lax.dynamic_slice_in_dim(signals, start, window)))

    return jax.lax.map(one, starts)


def connectivity_dynamics(signals: Signals, window: int, step: int) -> Float[Array, "windows windows"]:
    """How alike the connectivity of two windows is: the correlation over pairs of regions of their correlations over time.

    Good values: windows of 40 to 60 s of BOLD, steps of one or two samples. Neighbouring windows share samples and are alike by that.
    Source: Hansen et al. (2015), *NeuroImage* 105, 525.

    Raises:
        ValueError: As :func:`windowed_connectivity`.
    """
    return functional_connectivity(windowed_connectivity(signals, window, step).T)
