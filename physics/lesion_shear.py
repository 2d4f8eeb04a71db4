"""Wall shear along a narrowing: its proximal, middle and distal part, sectors of its wall, and what an error of the lumen does to it."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

PARTS = ("proximal", "middle", "distal")
"""Thirds of a narrowing along the flow (Kumar 2018)."""


class LesionWall(NamedTuple):
    """Points of a vessel's wall beside a narrowing.

    Attributes:
        radius: Of the lumen at each point, mm.
        part: 0 to 2 for ``PARTS``, -1 beside the narrowing.
        sector: Number of the sector of each point within the narrowing and one third of it before and behind, -1 beyond.
        sectors: How many there are.
    """

    radius: Float[np.ndarray, " points"]
    part: Int[np.ndarray, " points"]
    sector: Int[np.ndarray, " points"]
    sectors: int

    def mean_by_part(self, shear: Float[Array, "*draws points"]) -> Float[Array, "*draws 3"]:
        """Means over each third."""
        return _means(shear, self.part, 3)

    def lowest_sector(self, shear: Float[Array, "*draws points"]) -> Float[Array, "*draws"]:
        """The lowest mean of a sector."""
        return jnp.min(_means(shear, self.sector, self.sectors), axis=-1)


def lesion_wall(
    along: Float[np.ndarray, " points"], angle: Float[np.ndarray, " points"], span: float, radius: float, narrowing: float
) -> LesionWall:
    """Sorts points into thirds and sectors; sectors are an eighth of the circumference wide and a sixth of the narrowing long.

    Args:
        along: From the middle of the narrowing, mm.
        angle: Round the axis, rad.
        span: Length of the narrowing, mm.
        radius: Of the healthy lumen, mm.
        narrowing: Part of the diameter that is lost.

    Raises:
        ValueError: A third without a point.
    """
    inside = np.abs(along) < span / 2
    local = radius * (1 - np.where(inside, narrowing / 2 * (1 + np.cos(2 * np.pi * along / span)), 0))
    part = np.where(inside, np.clip(np.floor(3 * (along / span + 0.5)), 0, 2), -1).astype(int)
    if any((part == one).sum() == 0 for one in range(3)):
        raise ValueError(f"got a narrowing of {span} mm without a point of the wall in each third; expected some; do: use smaller voxels")
    slot = np.floor(6 * along / span).astype(int) + 5
    eighth = np.floor((angle % (2 * np.pi)) / (np.pi / 4)).astype(int) % 8
    near = (slot >= 0) & (slot < 10)
    kinds, sector = np.unique(np.where(near, 8 * slot + eighth, -1), return_inverse=True)
    first = int(kinds[0] == -1)
    return LesionWall(local, part, sector - first, len(kinds) - first)


def scaled_shear(
    shear: Float[Array, " points"],
    radius: Float[Array, " points"],
    flow: Float[Array, " draws"],
    viscosity: Float[Array, " draws"],
    error: Float[Array, " draws"],
    other: Float[Array, " draws"],
) -> Float[Array, "draws points"]:
    r"""Shear at other flows, viscosities and lumens: $\tau\,q\,m\,\bigl(r/(r+e)\bigr)^3 s$.

    The law of developed flow, taken point by point: exact in a tube, to first order where the profile keeps its form. Where flow is
    separated the sign of the change may differ.

    Args:
        shear: Time averages, any unit.
        radius: Of the lumen at the points, mm.
        flow: Over the flow that was solved for.
        viscosity: Over that viscosity.
        error: Of the radius, mm; the same everywhere.
        other: A factor for the error of the solver.
    """
    narrow = radius[None] / jnp.maximum(radius[None] + error[:, None], 0.2 * radius[None])
    return shear[None] * (flow * viscosity * other)[:, None] * narrow**3


def low_part(shear: Float[Array, "*draws points"], inside: Bool[np.ndarray, " points"], threshold: float) -> Float[Array, "*draws"]:
    """Part of the points inside that lie below a threshold."""
    return jnp.mean((shear[..., np.flatnonzero(inside)] < threshold).astype(shear.dtype), axis=-1)


def _means(shear: Float[Array, "*draws points"], group: Int[np.ndarray, " points"], count: int) -> Float[Array, "*draws groups"]:
    member = jnp.asarray(group[:, None] == np.arange(count), shear.dtype)
    return shear @ member / jnp.sum(member, axis=0).reshape(*(1,) * (shear.ndim - 1), count)
