r"""The field $E = -\nabla\varphi$ at voxels' centres, and the potential along fibres."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from physics.electrostatics import Conductor, UnitFields
from physics.spline import spline_coefficients, spline_values
from solvers import VoxelGrid


@eqx.filter_jit  # one program: step by step it moves each field through memory dozens of times
def electric_field(
    conductor: Conductor, potential: Float[Array, "*batch cells"], volts: Float[Array, "*batch contacts"]
) -> Float[Array, "*batch 3 cells"]:
    r"""$E$ in V/mm at the centres of voxels.

    The slope on each side of a centre is the current density there over the conductivity of the voxel, so that a jump of conductivity
    at a face does not blur it; at contacts it comes from the link. Both sides are joined linearly in their distances: order two in
    a uniform conductor. On the side of an insulated surface or of a wall of the box only the other side counts: order one there.

    Args:
        conductor: As solved.
        potential: V.
        volts: Of the contacts' metal.
    """
    v = conductor.voxels
    grid = v.grid
    isotropic = conductor.conductivity.ndim == 3
    sigma = jnp.where(v.layer, conductor.layer_conductivity, conductor.conductivity).reshape(-1) if isotropic else jnp.ones(grid.size)
    own = jnp.where(grid.mask.reshape(-1), sigma, 1.0)
    faces = conductor.face_conductivities() if isotropic else (jnp.ones(grid.size),) * 3
    spacing = jnp.asarray(grid.spacing)
    conducted = conductor.link_conductances() * spacing[v.axis]
    if not isotropic:
        flat = conductor.conductivity.reshape(grid.size, 3, 3)
        conducted = conducted / jnp.where(v.layer.reshape(-1)[v.cell], conductor.layer_conductivity, flat[v.cell, v.axis, v.axis])
    entering = (volts[..., v.contact] - potential[..., v.cell]) * _row(conducted / own[v.cell], potential)
    found = []
    for axis, stride in enumerate(grid.strides):
        h, is_open = grid.spacing[axis], grid.interior_faces(axis)
        step = (jnp.roll(potential, -stride, -1) - potential) / h * _row(faces[axis], potential)
        slopes, lengths = [], []
        for side, opened, inner in ((1, is_open, step), (-1, jnp.roll(is_open, stride), jnp.roll(step, stride, -1))):
            chosen = (v.axis == axis) & (v.side == side)
            linked = jnp.zeros_like(potential).at[..., v.cell].add(jnp.where(_row(chosen, potential), side * entering, 0))
            weight = jnp.zeros(grid.size).at[v.cell].add(jnp.where(chosen, v.share, 0))
            length = jnp.zeros(grid.size).at[v.cell].add(jnp.where(chosen, v.share * v.length, 0))
            slopes.append(jnp.where(_row(opened, potential), inner / _row(own, potential), linked))
            lengths.append(jnp.where(opened, h, jnp.where(weight > 0, length / jnp.where(weight > 0, weight, 1), jnp.inf)))
        above, below = lengths
        shut = jnp.isinf(above) & jnp.isinf(below)
        share = jnp.where(jnp.isinf(below), 1.0, jnp.where(jnp.isinf(above), 0.0, below / (above + below)))
        slope = _row(share, potential) * slopes[0] + _row(1 - share, potential) * slopes[1]
        found.append(-jnp.where(_row(shut, potential), 0.0, slope))
    return jnp.stack(found, axis=-2)


def _row(values: Array, field: Array) -> Array:
    """With as many leading axes as the field has."""
    return jnp.expand_dims(values, range(field.ndim - 1))


def field_per_milliampere(conductor: Conductor, fields: UnitFields) -> Float[Array, "contacts 3 cells"]:
    """E of 1 mA through each contact to the ground, all others floating, V/mm per mA; fields of several currents are sums of these."""
    resistance = fields.resistance.T
    return electric_field(conductor, resistance @ fields.per_volt, resistance)


def fibre_coefficients(grid: VoxelGrid, potentials: Float[Array, "fields cells"]) -> Float[np.ndarray, "fields x y z"]:
    """Cubic splines through potentials, for :func:`potential_along`; voxels that do not conduct take the nearest value."""
    return spline_coefficients(np.asarray(potentials).reshape(-1, *grid.shape), np.asarray(grid.mask))


def potential_along(
    coefficients: Float[Array, "fields x y z"], grid: VoxelGrid, origin: tuple[float, float, float], points: Float[Array, "points 3"]
) -> Float[Array, "fields points"]:
    """Potentials at the points of a fibre (nodes of Ranvier, compartments), mm in the axes of the voxels.

    What a model of a cable takes as the potential outside of it; twice continuously differentiable in the points.
    """
    return spline_values(coefficients, (points - jnp.asarray(origin)[None]) / jnp.asarray(grid.spacing)[None])


def activating_function(
    coefficients: Float[Array, "fields x y z"], grid: VoxelGrid, origin: tuple[float, float, float], points: Float[Array, "points 3"],
    direction: Float[Array, "3"], step_mm: float = 0.5,
) -> Float[Array, "fields points"]:  # fmt: skip
    r"""$(\varphi(x+\Delta t) - 2\varphi(x) + \varphi(x-\Delta t))/\Delta^2$ in V/mm², for fibres of one direction $t$ through points.

    Args:
        coefficients: Of :func:`fibre_coefficients`.
        grid: The voxels.
        origin: Centre of the first one, mm.
        points: Where, mm.
        direction: Of the fibres, any length.
        step_mm: $\\Delta$: the distance between nodes, 0.5 to 1 mm for the axons that stimulation of the deep brain excites.

    Source: Rattay (1986), IEEE Trans. Biomed. Eng. 33, 974. Positive values depolarise: cathodic currents at the near node.
    """
    along = (step_mm * direction / jnp.linalg.norm(direction))[None]
    before, here, after = (potential_along(coefficients, grid, origin, points + shift * along) for shift in (-1, 0, 1))
    return (before - 2 * here + after) / step_mm**2


def strength(field: Float[Array, "*batch 3 cells"], mask: Bool[Array, "x y z"]) -> Float[Array, "*batch x y z"]:
    """|E| on the box, V/mm; differentiable at zero as well."""
    square = (field**2).sum(axis=-2)
    return jnp.sqrt(jnp.where(square > 0, square, 1e-30)).reshape(*square.shape[:-1], *mask.shape)
