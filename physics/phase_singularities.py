"""Where waves turn: phase singularities of a sheet, filaments of a volume, from two fields that circle round a point."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from solvers import VoxelGrid
from solvers.shapes import Cells

PLANES = ((1, 2), (2, 0), (0, 1))  # the axes that span the plaquettes of each normal, right-handed


class Singularities(eqx.Module):
    """The first ``most`` plaquettes round which the phase turns.

    Attributes:
        position: Where they are pierced, from the corner of the grid, mm; NaN where there is none.
        charge: +1 where the phase grows counter-clockwise as seen from the tip of the normal, -1 where clockwise, 0 where there is none.
        normal: Axis of the plaquette's normal; -1 where there is none.
        count: How many there are in all, also beyond ``most``.
    """

    position: Float[Array, "most 3"]
    charge: Int[Array, " most"]
    normal: Int[Array, " most"]
    count: Int[Array, ""]


def phase(first: Cells, second: Cells) -> Cells:
    r"""$\theta = \mathrm{atan2}(b, a)$ in $(-\pi, \pi]$ of two fields measured from the point that both circle round.

    Potential and recovery variable, or the potential now and a quarter of a cycle earlier (two saved states): $a = V(t) - V^*$,
    $b = V(t-\tau) - V^*$. Source: Gray, Pertsov, Jalife (1998), Nature 392, 75 (delay); Bray, Wikswo (2002), IEEE Trans. Biomed. Eng. 49,
    1086 (charge), from memory.
    """
    return jnp.arctan2(second, first)


def topological_charge(grid: VoxelGrid, angle: Float[Array, " cells"], normal: int = 2) -> Int[Array, "x y z"]:
    r"""$\frac1{2\pi}\oint \nabla\theta\cdot dl$ round every plaquette of four voxels with the given normal: an integer.

    Args:
        grid: The voxels.
        angle: $\theta$ per cell.
        normal: Axis; 2 for a sheet in the plane of x and y.

    Returns:
        At the voxel with the lowest indices of its four; zero where one of them is missing.

    Differences are taken into $(-\pi, \pi]$ by an odd function, so that each edge counts with both signs: the charges of a closed surface
    (the six sides of any block of voxels) add up to zero exactly, hence filaments do not end inside; those of a sheet add up to the
    turns round its boundary, holes with their own turns apart. Fails where the phase turns by more than half a cycle between voxels.
    """
    one, two = PLANES[normal]
    volume = grid.volume(angle)
    forward = {axis: _turns(jnp.roll(volume, -1, axis) - volume) for axis in (one, two)}
    round_it = forward[one] + jnp.roll(forward[two], -1, one) - jnp.roll(forward[one], -1, two) - forward[two]
    whole = jnp.ones(grid.shape, bool)
    for axis in (one, two):
        last = (jnp.arange(grid.shape[axis]) < grid.shape[axis] - 1).reshape([-1 if other == axis else 1 for other in range(3)])
        whole = whole & last
    corners = grid.mask
    for axis in (one, two):
        corners = corners & jnp.roll(corners, -1, axis)
    return jnp.where(whole & corners, jnp.round(round_it), 0).astype(int)


def phase_singularities(
    grid: VoxelGrid, first: Float[Array, " cells"], second: Float[Array, " cells"], most: int = 32, normals: tuple[int, ...] = (0, 1, 2)
) -> Singularities:
    r"""Tips of spirals on a sheet, points of filaments in a volume: where a plaquette of voxels carries a charge.

    Args:
        grid: The voxels.
        first: $a = V - V^*$, say.
        second: $b = w - w^*$; see :func:`phase`.
        most: How many to list; ``count`` says how many there are.
        normals: Normals of the plaquettes to look at; those of axes of one voxel have none.

    Inside of its plaquette a tip is where the bilinear interpolants of both fields vanish, by Newton's method. Of fixed shape and cheap:
    meant for ``observe`` of :func:`solvers.simulate`, so that no film has to be kept. A filament pierces about $\tfrac32$ plaquettes per
    voxel of its length.

    Raises:
        ValueError: Fewer than one to list.
    """
    if most < 1:
        raise ValueError(f"got a list of {most} singularities; expected at least 1; do: use 32")
    angle = phase(first, second)
    charges = jnp.stack([topological_charge(grid, angle, normal).reshape(-1) for normal in normals])
    (flat,) = jnp.nonzero(charges.reshape(-1), size=most, fill_value=charges.size)
    there = flat < charges.size
    place = jnp.where(there, flat, 0)
    which, cell = place // grid.size, place % grid.size
    strides = jnp.asarray(grid.strides)
    spans = jnp.asarray([PLANES[normal] for normal in normals])[which]
    corner = [cell, cell + strides[spans[:, 0]], cell + strides[spans[:, 1]], cell + strides[spans[:, 0]] + strides[spans[:, 1]]]
    corner = [jnp.minimum(index, grid.size - 1) for index in corner]
    inside = _bilinear_root(jnp.stack([first[index] for index in corner]), jnp.stack([second[index] for index in corner]))
    spacing = jnp.asarray(grid.spacing, first.dtype)
    lowest = jnp.stack(jnp.unravel_index(cell, grid.shape), axis=-1) + 0.5
    offset = jnp.zeros((most, 3), first.dtype).at[jnp.arange(most), spans[:, 0]].set(inside[0])
    offset = offset.at[jnp.arange(most), spans[:, 1]].set(inside[1])
    position = jnp.where(there[:, None], (lowest + offset) * spacing[None], jnp.nan)
    axes = jnp.asarray(normals)[which]
    charge = jnp.where(there, charges.reshape(-1)[place], 0)
    return Singularities(position, charge, jnp.where(there, axes, -1), (charges != 0).sum())


def _turns(difference: Array) -> Array:
    """A difference of phases in turns, brought to within half of one by an odd function."""
    turns = difference / (2 * np.pi)
    return turns - jnp.round(turns)


def _bilinear_root(a: Float[Array, "4 most"], b: Float[Array, "4 most"]) -> tuple[Array, Array]:
    """Where two bilinear functions given at the corners (0,0), (1,0), (0,1), (1,1) of a square both vanish, kept inside of it."""
    s = t = jnp.full(a.shape[1:], 0.5, a.dtype)
    for _ in range(4):
        values, slopes_s, slopes_t = [], [], []
        for f in (a, b):
            twist = f[3] - f[2] - f[1] + f[0]
            values.append(f[0] + (f[1] - f[0]) * s + (f[2] - f[0]) * t + twist * s * t)
            slopes_s.append(f[1] - f[0] + twist * t)
            slopes_t.append(f[2] - f[0] + twist * s)
        area = slopes_s[0] * slopes_t[1] - slopes_t[0] * slopes_s[1]
        regular = jnp.abs(area) > 0
        area = jnp.where(regular, area, 1)
        step_s = jnp.where(regular, (values[0] * slopes_t[1] - slopes_t[0] * values[1]) / area, 0)
        step_t = jnp.where(regular, (slopes_s[0] * values[1] - values[0] * slopes_s[1]) / area, 0)
        s, t = jnp.clip(s - step_s, 0, 1), jnp.clip(t - step_t, 0, 1)
    return s, t
