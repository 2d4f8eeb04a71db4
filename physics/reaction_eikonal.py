"""Electrocardiograms from activation times: every cell repeats the action potential of its kind, started when the front arrives."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from physics.fibres import FASTEST
from solvers import VoxelGrid
from solvers.shapes import Cells, Tensor


def electrocardiogram_of_activation(
    fields: Float[Array, "electrodes cells"],
    activation: Cells,
    kind: Int[Array, " cells"],
    action_potentials: Float[Array, "kinds given"],
    step: float,
    samples: int,
) -> Float[Array, "electrodes samples"]:
    r"""$\varphi_e(t_j) = \sum_k L_{ek}\,U_{c(k)}(t_j - T_k)$ at $t_j = j\,\Delta t$, $U$ linear between its samples.

    With $T_k = (n + f)\Delta t$, $U(t_j - T_k) = (1-f)\,U_{j-n} + f\,U_{j-n-1}$, so that all cells of a kind add their lead field to two
    bins of a histogram over activation time and one convolution with the action potential does the rest: the cost is that of reading
    the lead fields once, not once per sample. It is the same number as the sum over cells, and differentiable with respect to $T$.

    Args:
        fields: From :func:`physics.lead_fields`.
        activation: $T$ in ms, zero or later; cells that are not reached (infinite, or later than the last sample) stay at rest.
        kind: Which action potential each cell has.
        action_potentials: $U$ in mV from activation on, samples ``step`` apart; before them the cell is at its first value, after them
            at its last.
        step: $\Delta t$, ms. Good values: 1 for twelve leads; the upstroke in 1 ms is then a ramp.
        samples: How many.

    It fails where an upstroke is not that of the template: at collisions and next to stimuli, where electrotonic current changes
    shape and duration by some percent; repolarisation is not smoothed by coupling. Source: Neic et al. (2017), J. Comput. Phys. 346,
    191 (reaction-eikonal, here without diffusion).
    """
    bins = samples + 2  # per kind; the last two are past the end
    place = jnp.clip(jnp.where(jnp.isfinite(activation), activation, 0) / step, 0, samples)
    whole = jnp.floor(place)
    part = place - whole
    whole = whole.astype(int)
    reached = jnp.isfinite(activation) & (place < samples)
    kinds = action_potentials.shape[0]
    index = jnp.where(reached, kind * bins + whole, kinds * bins)  # what is never reached goes to a bin that nobody reads
    weight = jnp.where(reached[None], fields, 0)
    source = jnp.zeros((fields.shape[0], kinds * bins + 2), fields.dtype)
    source = source.at[:, index].add(weight * (1 - part)[None]).at[:, index + 1].add(weight * part[None])
    source = source[:, : kinds * bins].reshape(fields.shape[0], kinds, bins)[..., :samples]
    rise = _padded(action_potentials - action_potentials[:, :1], samples)
    rest = fields @ action_potentials[kind, 0]
    lags = jnp.arange(samples)[:, None] - jnp.arange(samples)[None, :]
    shifted = jnp.where((lags >= 0)[None], rise[:, jnp.maximum(lags, 0)], 0)
    return jnp.einsum("ekn,kjn->ej", source, shifted) + rest[:, None]


def _padded(rise: Float[Array, "kinds given"], samples: int) -> Float[Array, "kinds samples"]:
    missing = max(0, samples - rise.shape[1])
    return jnp.pad(rise, ((0, 0), (0, missing)), mode="edge")[:, :samples]


def squared_velocity(
    grid: VoxelGrid,
    along: ArrayLike,
    across: ArrayLike,
    fibres: ArrayLike,
    layer: ArrayLike | None = None,
    fast: ArrayLike = 1.0,
) -> Tensor:
    r"""$V = c_\perp^2 I + (c_\parallel^2 - c_\perp^2)\,ff^T$ in (m/s)², which is (mm/ms)²; times ``fast`` squared in a layer.

    Args:
        grid: The voxels.
        along: $c_\parallel$, m/s, a number or one per voxel ``(x, y, z)``; 0.6 in a human ventricle.
        across: $c_\perp$, the same; 0.3.
        fibres: Unit vectors, ``(x, y, z, 3)``.
        layer: Where conduction is faster ``(x, y, z)``: the endocardium with its Purkinje fibres; None for nowhere.
        fast: How many times as fast; 2 to 4 for an endocardial layer.

    Raises:
        ValueError: Velocities that are not positive or not those of tissue (above 6 m/s); other shapes. Traced values pass.
    """
    vectors = jnp.asarray(fibres, float)
    if vectors.shape != (*grid.shape, 3):
        raise ValueError(f"got fibres of shape {vectors.shape}; expected {(*grid.shape, 3)}; do: resample them to the grid")
    fastest, slowest, times = (_velocity(grid, value, name) for value, name in ((along, "along"), (across, "across"), (fast, "fast")))
    identity = jnp.broadcast_to(jnp.eye(3, dtype=vectors.dtype), (*grid.shape, 3, 3))
    difference = (fastest**2 - slowest**2)[..., None, None]
    tensor = slowest[..., None, None] ** 2 * identity + difference * vectors[..., :, None] * vectors[..., None, :]
    if layer is None:
        return tensor
    return tensor * jnp.where(jnp.asarray(layer, bool), times**2, 1.0)[..., None, None].astype(tensor.dtype)


def _velocity(grid: VoxelGrid, given: ArrayLike, name: str) -> Float[Array, "x y z"]:
    value = jnp.asarray(given, float)
    if value.shape not in ((), grid.shape):
        raise ValueError(f"got {name} of shape {value.shape}; expected a number or {grid.shape}; do: resample it to the grid")
    if not isinstance(value, Tracer):
        low, high = float(value.min()), float(value.max())
        if not (np.isfinite([low, high]).all() and low > 0 and high <= FASTEST):
            worst = high if low > 0 else low
            raise ValueError(f"got {name} = {worst:g}; expected more than 0 and at most {FASTEST:g} (m/s, or times); do: check the unit")
    return jnp.broadcast_to(value, grid.shape)
