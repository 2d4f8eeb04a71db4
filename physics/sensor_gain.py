r"""From the activity of brain regions to the potentials of sensors: gain matrices $\varphi = G\,a$."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int


def monopole_gain(
    contacts: Float[ArrayLike, "contacts 3"],
    sources: Float[ArrayLike, "sources 3"],
    conductivity: float = 0.3,
    law: Literal["inverse distance", "inverse square"] = "inverse distance",
    nearest_mm: float = 1.0,
) -> Float[Array, "contacts sources"]:
    r"""$G = 1/(4\pi\sigma r)$, a source of current in an infinite conductor; or $1/r^2$, of no unit, as virtual epileptic patients take it.

    Args:
        contacts: Of depth electrodes, mm.
        sources: mm in the same frame.
        conductivity: $\sigma$ in S/m; used by ``"inverse distance"`` only: mV per µA.
        law: Which of the two.
        nearest_mm: Distances below it count as this one: a contact has a size.

    Raises:
        ValueError: Positions that are not finite or have another shape, another law, a conductivity or distance that is not positive.

    Source: the inverse square: Wang et al. (2023), Sci. Transl. Med. 15, eabp8982 (virtual epileptic patients; recalled).
    """
    contacts, sources = _checked(contacts, "contacts"), _checked(sources, "sources")
    if law not in ("inverse distance", "inverse square"):
        raise ValueError(f"got law {law!r}; expected 'inverse distance' or 'inverse square'; do: choose one of them")
    if not (conductivity > 0 and nearest_mm > 0):
        raise ValueError(f"got {conductivity:g} S/m and {nearest_mm:g} mm; expected both positive; do: check them")
    distance = jnp.maximum(jnp.sqrt(((contacts[:, None] - sources[None]) ** 2).sum(axis=-1)), nearest_mm)
    return 1 / (4 * jnp.pi * conductivity * distance) if law == "inverse distance" else 1 / distance**2


def dipole_gain(
    contacts: Float[ArrayLike, "contacts 3"],
    sources: Float[ArrayLike, "sources 3"],
    orientations: Float[ArrayLike, "sources 3"],
    conductivity: float = 0.3,
    nearest_mm: float = 1.0,
) -> Float[Array, "contacts sources"]:
    r"""$G = q\cdot(r-r_0)/(4\pi\sigma|r-r_0|^3)$: dipoles of unit length in an infinite conductor; mV per µA mm, which is nA m.

    Args:
        contacts: mm.
        sources: $r_0$, mm.
        orientations: $q$, such as the normals of a cortical surface; any length but zero.
        conductivity: $\sigma$ in S/m.
        nearest_mm: As in :func:`monopole_gain`.

    Raises:
        ValueError: As there; an orientation of length zero.
    """
    contacts, sources, orientations = (
        _checked(part, name) for part, name in ((contacts, "contacts"), (sources, "sources"), (orientations, "orientations"))
    )
    if sources.shape != orientations.shape:
        raise ValueError(f"got {len(sources)} sources and {len(orientations)} orientations; expected as many; do: give one per source")
    length = np.linalg.norm(np.asarray(orientations), axis=-1)
    if not (length > 0).all() or not (conductivity > 0 and nearest_mm > 0):
        raise ValueError("got an orientation of length zero, or a conductivity or distance that is not positive; expected none; do: check")
    away = contacts[:, None] - sources[None]
    distance = jnp.maximum(jnp.sqrt((away**2).sum(axis=-1)), nearest_mm)
    unit = orientations / jnp.asarray(length)[:, None]
    return (away * unit[None]).sum(axis=-1) / (4 * jnp.pi * conductivity * distance**3)


def region_gain(
    gain: Float[Array, "sensors sources"],
    region: Int[ArrayLike, " sources"],
    regions: int,
    weights: Float[ArrayLike, " sources"] | None = None,
) -> Float[Array, "sensors regions"]:
    """Sums what sources, the vertices of a surface say, give to sensors over the region that each belongs to.

    Args:
        gain: Of every source.
        region: Number of its region, 0 to ``regions`` - 1; -1 for none (the medial wall).
        regions: How many.
        weights: What a source counts for, the area of its patch say; None for the mean over each region's sources.

    Raises:
        ValueError: A number outside, or a region without a source.
    """
    region = np.asarray(region)
    if region.shape != (gain.shape[1],) or region.min() < -1 or region.max() >= regions:
        raise ValueError(f"got regions {region.min()} to {region.max()} ; expected -1 to {regions - 1}, one per source; do: check")
    counts = np.bincount(region[region >= 0], minlength=regions)
    if (counts == 0).any():
        raise ValueError(f"got no source in region {int(np.argmin(counts))}; expected one in each; do: leave that region out")
    own = np.where(region >= 0, 1 / counts[region], 0) if weights is None else np.where(region >= 0, np.asarray(weights, float), 0)
    return (
        jnp.zeros((gain.shape[0], regions), gain.dtype)
        .at[:, jnp.asarray(np.maximum(region, 0))]
        .add(gain * jnp.asarray(own, gain.dtype)[None])
    )


def _checked(positions: ArrayLike, name: str) -> Array:
    positions = jnp.asarray(positions, dtype=float)
    if positions.ndim != 2 or positions.shape[1] != 3 or not np.isfinite(np.asarray(positions)).all():
        raise ValueError(f"got {name} of shape {positions.shape}; expected finite positions (n, 3) in mm; do: check them")
    return positions
