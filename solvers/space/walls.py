"""What holds at the boundary of the mask and of the box: no flux, Dirichlet, Neumann, Robin, periodic."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers.grid import VoxelGrid
from solvers.space.periodic import Periodic3

AXES = ("x", "y", "z")
SIDES = ("x-", "x+", "y-", "y+", "z-", "z+")

Values = Float[Array, "..."]


class Wall(eqx.Module):
    r"""A condition at faces of the boundary, as an inward flux $b - k\,u$ of the adjacent cell's value $u$.

    Values are numbers or arrays that broadcast to the grid's shape; the entry at a cell holds for the wall faces of that cell.
    """

    @abstractmethod
    def inflow_and_conductance(self, diffusivity: Array, spacing: float) -> tuple[Array, Array]:
        """$b$ (amount per area and time) and $k$ (length per time) at cells of that diffusivity along the wall's normal."""


class Dirichlet(Wall):
    r"""$u = g$ at the face, half a voxel from the cell's centre: $k = 2D/h$, $b = k g$. Second order.

    Args:
        value: $g$.
    """

    value: Values

    def __init__(self, value: ArrayLike) -> None:
        self.value = _values(value, "a Dirichlet value")

    def inflow_and_conductance(self, diffusivity: Array, spacing: float) -> tuple[Array, Array]:
        """See :class:`Wall`."""
        conductance = 2 * diffusivity / spacing
        return conductance * jnp.broadcast_to(self.value, conductance.shape), conductance


class Neumann(Wall):
    r"""$D\,\partial_n u = q$ with the outward normal: $q$ enters per area and time, whatever $D$ is. Second order.

    Args:
        flux: $q$, positive into the domain.
    """

    flux: Values

    def __init__(self, flux: ArrayLike) -> None:
        self.flux = _values(flux, "a Neumann flux")

    def inflow_and_conductance(self, diffusivity: Array, spacing: float) -> tuple[Array, Array]:
        """See :class:`Wall`."""
        del spacing
        return jnp.broadcast_to(self.flux, diffusivity.shape).astype(diffusivity.dtype), jnp.zeros_like(diffusivity)


class Robin(Wall):
    r"""$D\,\partial_n u = \kappa\,(u_{ext} - u)$ at the face: resistances in series, $1/k = 1/\kappa + h/(2D)$. Second order.

    Args:
        exchange: $\kappa$, length/time, not negative; zero is a closed wall, very large is Dirichlet.
        exterior: $u_{ext}$.
    """

    exchange: Values
    exterior: Values

    def __init__(self, exchange: ArrayLike, exterior: ArrayLike = 0.0) -> None:
        self.exchange = _values(exchange, "a Robin exchange coefficient")
        self.exterior = _values(exterior, "a Robin exterior value")
        if not isinstance(self.exchange, Tracer) and (np.asarray(self.exchange) < 0).any():
            raise ValueError(
                f"got a Robin exchange coefficient of {float(self.exchange.min()):g}; expected none below zero; "
                "do: swap the sign, exchange * (exterior - u) enters"
            )

    def inflow_and_conductance(self, diffusivity: Array, spacing: float) -> tuple[Array, Array]:
        """See :class:`Wall`."""
        exchange = jnp.broadcast_to(self.exchange, diffusivity.shape).astype(diffusivity.dtype)
        total = 2 * diffusivity + exchange * spacing
        conductance = 2 * diffusivity * exchange / jnp.where(total > 0, total, 1)
        return conductance * jnp.broadcast_to(self.exterior, conductance.shape), conductance


class Periodic(eqx.Module):
    """The first voxel along an axis is the neighbour of the last; given for a whole axis. A pair with an inactive voxel stays closed."""


class _Entry(NamedTuple):
    axis: int
    sign: int
    faces: Array | np.ndarray
    wall: Wall


class WallTerms(NamedTuple):
    """What walls add to $s\\,\\nabla\\cdot D\\nabla u$.

    Attributes:
        loss: Rate per cell, 1/time; already contains the scale.
        source: Field per time and cell.
        slopes: Per axis $(w, g)$ such that the wall adds $g - w u$ to the cell's mean slope along the axis (tensor operators).
        held: Per axis, $k h/(2D)$ summed over the cell's two sides: one for each Dirichlet wall, between zero and one for Robin.
        closed: Per axis, true where a cell has a wall with a condition, so that wider stencils stay away.
    """

    loss: Array
    source: Array
    slopes: tuple[tuple[Array, Array], ...]
    held: tuple[Array, ...]
    closed: tuple[Array, ...]


class Walls(eqx.Module):
    """Conditions on parts of the boundary; whatever is not named lets nothing through.

    Args:
        grid: The voxels.
        sides: By side of the box ``"x-"`` (where x is smallest) to ``"z+"`` a :class:`Wall`, or by axis ``"x"`` :class:`Periodic`.
            A side is what active voxels in the first or last layer of the box have of it.
        surfaces: Pairs of a region, boolean ``(x, y, z)``, and a wall: every face between an active voxel and an inactive voxel of
            the region, such as a ventricle or a vessel's lumen; ``~mask`` for the whole boundary inside the box.

    Raises:
        ValueError: An unknown side, a side named beside its periodic axis, a periodic axis whose ends never face each other with
            two active voxels, a region of another shape or that touches no active voxel, or that overlaps an earlier one; a
            value that is not finite.

    Staircases: a face is a piece of voxel boundary. On a mask that samples a smooth surface, Dirichlet values are then off by up
    to a voxel (order one in the field), and Neumann and Robin fluxes enter through the staircase's area, which exceeds that of
    the surface, at any resolution, by a factor of 1 to 1.73, 3/2 in the mean over directions: scale the flux by the ratio of areas.
    """

    entries: tuple[_Entry, ...]
    spacing: tuple[float, float, float] = eqx.field(static=True)
    periodic: Periodic3 = eqx.field(static=True)

    def __init__(
        self,
        grid: VoxelGrid,
        sides: Mapping[str, Wall | Periodic] | None = None,
        surfaces: Sequence[tuple[ArrayLike, Wall]] = (),
    ) -> None:
        sides = {} if sides is None else dict(sides)
        self.spacing = grid.spacing
        wrapped = [isinstance(sides.get(name), Periodic) for name in AXES]
        self.periodic = (wrapped[0], wrapped[1], wrapped[2])
        entries = []
        for name, wall in sides.items():
            _check_side(name, wall, self.periodic, grid)
            if isinstance(wall, Wall):
                axis, sign = AXES.index(name[0]), 1 if name[1] == "+" else -1
                entries.append(_Entry(axis, sign, _end(grid, axis, sign), wall))
        for number, (region, wall) in enumerate(surfaces):
            entries.extend(_surface_entries(grid, region, wall, [earlier for earlier, _ in surfaces[:number]], self.periodic))
        self.entries = tuple(entries)

    def terms(self, coefficients: tuple[Array, ...], scale: Array) -> WallTerms:
        """Loss, source, slopes and closed cells for a diffusivity per axis, each a volume, times a scale."""
        zero = jnp.zeros_like(coefficients[0])
        loss, source = zero, zero
        weights, given, held = ([zero] * 3 for _ in range(3))
        closed = [jnp.zeros(zero.shape, bool)] * 3
        for axis, sign, faces, wall in self.entries:
            h, diffusivity = self.spacing[axis], scale * coefficients[axis]
            inflow, conductance = wall.inflow_and_conductance(diffusivity, h)
            inflow, conductance = (jnp.where(faces, values, 0) for values in (inflow, conductance))
            loss, source = loss + conductance / h, source + inflow / h
            # The slope from the centre to the face is (k/D)(u_face - u), or q/D; half of it goes into the mean of both sides.
            half = sign * 0.5 / jnp.where(diffusivity > 0, diffusivity, 1)
            weights[axis] = weights[axis] + half * conductance
            given[axis] = given[axis] + half * inflow
            held[axis] = held[axis] + sign * half * h * conductance
            closed[axis] = closed[axis] | faces
        return WallTerms(
            loss.reshape(-1),
            source.reshape(-1),
            tuple((weight.reshape(-1), value.reshape(-1)) for weight, value in zip(weights, given, strict=True)),
            tuple(part.reshape(-1) for part in held),
            tuple(part.reshape(-1) for part in closed),
        )


def check_walls(walls: Walls, grid: VoxelGrid) -> None:
    """Refuses walls whose spacing, shape, or faces (at inactive voxels of ``grid``, or between two active ones) are another grid's."""
    shapes = {np.shape(entry.faces) for entry in walls.entries}
    same = walls.spacing == grid.spacing and shapes <= {grid.shape}
    if same and not isinstance(grid.mask, Tracer):
        mask = np.asarray(grid.mask)
        for axis, sign, faces, _ in walls.entries:
            if not isinstance(faces, Tracer):
                inner = boundary_faces(grid, axis, sign, ~mask, True) if not mask.all() else np.zeros(grid.shape, bool)
                same = same and not (np.asarray(faces) & ~(np.asarray(inner) | np.asarray(_end(grid, axis, sign)))).any()
    if not same:
        raise ValueError("got walls of another grid; expected its spacing, shape and mask; do: build Walls from the operator's grid")


def boundary_faces(grid: VoxelGrid, axis: int, sign: int, region: ArrayLike, periodic: bool = False) -> Array | np.ndarray:
    """Volume of booleans: true at active voxels whose neighbour in a direction (sign 1 or -1) is inactive and in the region.

    Raises:
        ValueError: Another axis, sign, or shape of the region.
    """
    if axis not in (0, 1, 2) or sign not in (-1, 1):
        raise ValueError(f"got axis {axis}, sign {sign}; expected axis 0, 1 or 2 and sign 1 or -1; do: choose one")
    if np.shape(region) != grid.shape:
        raise ValueError(f"got a region of shape {np.shape(region)}; expected {grid.shape}; do: resample it onto the grid")
    numbers, mask = _numbers(grid, region)
    facing = mask & numbers.roll(numbers.asarray(region, dtype=bool) & ~mask, -sign, axis=axis)
    return facing if periodic else facing & ~_end(grid, axis, sign)


def _numbers(grid: VoxelGrid, *others: ArrayLike) -> tuple[Any, Any]:
    """NumPy, and the mask in it, where everything is known, so that checks can look at the outcome; else jax.numpy."""
    if any(isinstance(values, Tracer) for values in (grid.mask, *others)):
        return jnp, grid.mask
    return np, np.asarray(grid.mask)


def _end(grid: VoxelGrid, axis: int, sign: int) -> Array | np.ndarray:
    """Active voxels of the first or last layer along an axis."""
    position = np.arange(grid.shape[axis]) == (grid.shape[axis] - 1 if sign > 0 else 0)
    return _numbers(grid)[1] & np.broadcast_to(position.reshape([-1 if a == axis else 1 for a in range(3)]), grid.shape)


def _values(values: ArrayLike, name: str) -> Array:
    values = jnp.asarray(values)
    values = values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(jnp.result_type(float))
    if not isinstance(values, Tracer) and not np.isfinite(np.asarray(values)).all():
        raise ValueError(f"got {name} that is not finite; expected numbers; do: repair the boundary data")
    return values


def _check_side(name: str, wall: Wall | Periodic, periodic: Periodic3, grid: VoxelGrid) -> None:
    if not isinstance(wall, Wall | Periodic):
        raise ValueError(f"got {wall!r} for {name!r}; expected Dirichlet, Neumann, Robin or Periodic; do: wrap the number in one")
    if isinstance(wall, Periodic):
        if name not in AXES:
            raise ValueError(f"got Periodic for {name!r}; expected it for an axis x, y or z; do: name the axis, both its ends join")
        axis = AXES.index(name)
        if not isinstance(grid.mask, Tracer):
            ends = np.moveaxis(np.asarray(grid.mask), axis, 0)[[0, -1]]
            if grid.shape[axis] > 1 and not ends.all(axis=0).any():
                raise ValueError(
                    f"got a periodic axis {name} where no active voxel of the first layer faces one of the last; "
                    "expected at least one such pair; do: crop the box to the period or drop Periodic"
                )
        return
    if name not in SIDES:
        raise ValueError(f"got a wall for {name!r}; expected one of {', '.join(SIDES)}; do: name a side of the box, or use surfaces")
    if periodic[AXES.index(name[0])]:
        raise ValueError(f"got a wall at {name} and a periodic axis {name[0]}; expected one of them; do: drop one")
    if not isinstance(grid.mask, Tracer):
        layer = np.take(np.asarray(grid.mask), 0 if name[1] == "-" else -1, axis=AXES.index(name[0]))
        if not layer.any():
            raise ValueError(f"got a wall at {name}, where the outer layer has no active voxel; expected one; do: crop, or use surfaces")


def _surface_entries(grid: VoxelGrid, region: ArrayLike, wall: Wall, earlier: list[ArrayLike], periodic: Periodic3) -> list[_Entry]:
    given = np.shape(region)
    if given != grid.shape:
        raise ValueError(f"got a wall's region of shape {given}; expected {grid.shape}; do: resample it onto the grid")
    faces = {(axis, sign): boundary_faces(grid, axis, sign, region, periodic[axis]) for axis in range(3) for sign in (-1, 1)}
    numbers, mask = _numbers(grid, region, *earlier)
    if numbers is np:
        if any((~mask & np.asarray(region, bool) & np.asarray(other, bool)).any() for other in earlier):
            raise ValueError("got two walls whose regions overlap; expected one condition per face; do: take one region out of the other")
        faces = {place: part for place, part in faces.items() if np.asarray(part).any()}
        if not faces:
            raise ValueError("got a wall's region that touches no active voxel; expected inactive voxels beside the mask; do: check it")
    return [_Entry(axis, sign, part, wall) for (axis, sign), part in faces.items()]
