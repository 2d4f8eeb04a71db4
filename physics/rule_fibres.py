"""Fibres by rule on the voxels of two ventricles of any shape: Laplace solutions across and along the wall."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from physics.biventricular import RIGHT
from solvers import Diffusion, Dirichlet, Jacobi, VoxelGrid, Walls, gradient, solve_elliptic

Rotations = Float[Array, "voxels 3 3"]


class Surroundings(NamedTuple):
    """What lies next to the muscle, boolean ``(x, y, z)`` each, all outside of it and apart from each other.

    Attributes:
        left: Blood of the left ventricle.
        right: Blood of the right ventricle.
        base: Above the plane in which the ventricles are cut off.
        outside: Below it: next to the outer surface.
        apex: The part of ``outside`` next to the apex.
    """

    left: np.ndarray
    right: np.ndarray
    base: np.ndarray
    outside: np.ndarray
    apex: np.ndarray


class WallCoordinates(NamedTuple):
    """Fibres and what they were made of, zero outside of the muscle.

    Attributes:
        fibres: Unit vectors, ``(x, y, z, 3)``.
        sheets: Unit vectors across the wall, perpendicular to the fibres, ``(x, y, z, 3)``.
        transmural: From 0 at a ventricle's blood to 1 at what is outside of it, ``(x, y, z)``: for the septum, which is left muscle,
            at the blood of the right ventricle.
    """

    fibres: Float[Array, "x y z 3"]
    sheets: Float[Array, "x y z 3"]
    transmural: Float[Array, "x y z"]


def rule_fibres(
    grid: VoxelGrid, ventricle: np.ndarray, surroundings: Surroundings, helix_inside: float = 60.0, helix_outside: float = -60.0
) -> WallCoordinates:
    r"""Fibres after Bayer et al. (2012).

    $\Delta\varphi_l = \Delta\varphi_r = \Delta\varphi_o = \Delta\psi = 0$ in the muscle, with $\varphi_l = 1$ at the left blood,
    $\varphi_r = 1$ at the right blood, $\varphi_o = 1$ outside and each of them zero on the other two surfaces; $\psi = 0$ at the apex
    and 1 at the base. No flux elsewhere. Each of $-\nabla\varphi_l$, $\nabla\varphi_r$, $\nabla\varphi_o$ gives axes with
    $e_l = \nabla\psi/|\nabla\psi|$, $e_t$ across and perpendicular to it, $e_c = e_l\times e_t$, turned about $e_t$ by the helix angle
    $\alpha = (1-\varphi_o)\alpha_{in} + \varphi_o\alpha_{out}$, the two inner ones by $(1-2r)\alpha$ with the share
    $r = \varphi_r/(\varphi_l+\varphi_r)$. The inner frames are joined at $r$, and the result with the outer frame at $\varphi_o$: rotations
    along the shortest way, after the change of two signs that makes it shortest.

    Args:
        grid: The voxels of the muscle.
        ventricle: :data:`physics.biventricular.LEFT` (septum included) or ``RIGHT``, ``(x, y, z)``.
        surroundings: What the muscle borders on.
        helix_inside: Angle in degrees to the circumference on the inner surfaces; positive is a right-handed helix.
        helix_outside: On the outer surface.

    Raises:
        ValueError: A surface that no muscle voxel touches, angles beyond 90 degrees.
        SimulationError: A Laplace solution did not converge.

    The paper joins inner frames at $\alpha_{in}$ with an outer one whose angle varies already: the turn is then quadratic in $\varphi_o$,
    and goes the wrong way round where the two differ by more than 90 degrees. With one angle for all frames it is linear, as in the
    analytic heart. The paper's sheet angle is left at zero.

    Fails: surfaces are staircases, so that angles err by some degrees with two or three voxels across a wall; at the apex, where
    $\nabla\psi$ is across the wall, and along the junction of the ventricles the rule says little. Axes are those of the grid, which have
    to be right-handed. Source: Bayer, Blake, Plank, Trayanova (2012), Ann. Biomed. Eng. 40, 2243; the linear turn: Schuler (2021),
    LDRB_Fibers.
    """
    for name, angle in (("helix_inside", helix_inside), ("helix_outside", helix_outside)):
        if not abs(angle) <= 90:
            raise ValueError(f"got {name} = {angle:g}; expected -90 to 90 degrees; do: give the angle to the circumference")
    mask = np.asarray(grid.mask)
    surfaces = (surroundings.left, surroundings.right, surroundings.outside)
    left, right = _potentials(grid, surfaces, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    (along,) = _potentials(grid, (surroundings.apex, surroundings.base), ((0.0, 1.0),))
    where = jnp.asarray(np.flatnonzero(mask.reshape(-1)))
    slopes = [jnp.moveaxis(gradient(grid, field), 0, -1)[where] for field in (along, -left, right, -left - right)]
    left, right = left[where], right[where]
    share = right / jnp.maximum(left + right, 1e-6)
    outer = jnp.clip(1 - left - right, 0, 1)
    angle = jnp.deg2rad(helix_inside) * (1 - outer) + jnp.deg2rad(helix_outside) * outer
    from_left, from_right = (_turned(_axes(slopes[0], across), angle * (1 - 2 * share)) for across in slopes[1:3])
    inner = _between(from_left, from_right, share)
    frame = _between(inner, _turned(_axes(slopes[0], slopes[3]), angle), outer)
    transmural = jnp.clip(1 - jnp.where(jnp.asarray(ventricle.reshape(-1)[mask.reshape(-1)] == RIGHT), right, left), 0, 1)

    def volume(values: Array) -> Array:
        return jnp.zeros((grid.size, *values.shape[1:]), values.dtype).at[where].set(values).reshape(*grid.shape, *values.shape[1:])

    return WallCoordinates(volume(frame[:, :, 0]), volume(frame[:, :, 2]), volume(transmural))


def _potentials(
    grid: VoxelGrid, regions: tuple[Bool[np.ndarray, "x y z"], ...], values: tuple[tuple[float, ...], ...]
) -> Float[Array, "solutions cells"]:
    """Laplace solutions with each of these sets of values on the faces to these regions."""
    ones = jnp.ones(grid.shape)
    operators = [
        Diffusion(grid, ones, walls=Walls(grid, surfaces=[(r, Dirichlet(v)) for r, v in zip(regions, given, strict=True)]))
        for given in values
    ]
    sources = jnp.stack([jnp.zeros(grid.size) if operator.source is None else operator.source for operator in operators])
    # Across the wall, a few voxels, dividing by the diagonal is enough and compiles at once; along it multigrid is needed.
    preconditioner = Jacobi(-operators[0].diagonal()) if len(regions) == 3 else None
    solution = solve_elliptic(operators[0], sources, preconditioner=preconditioner, max_iterations=1000)
    solution.raise_for_status()
    return solution.field


def _axes(along: Float[Array, "voxels 3"], across: Float[Array, "voxels 3"]) -> Rotations:
    """Columns: round the ventricle, along it, across the wall."""
    long = along / jnp.maximum(jnp.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    rest = across - jnp.sum(across * long, axis=1, keepdims=True) * long
    size = jnp.linalg.norm(rest, axis=1, keepdims=True)
    # Where nothing is left, as in a voxel between two surfaces, any direction perpendicular to the long one.
    least = jnp.eye(3, dtype=long.dtype)[jnp.argmin(jnp.abs(long), axis=1)]
    other = jnp.cross(long, least)
    rest = jnp.where(
        size > 1e-9, rest / jnp.maximum(size, 1e-12), other / jnp.maximum(jnp.linalg.norm(other, axis=1, keepdims=True), 1e-12)
    )
    return jnp.stack([jnp.cross(long, rest), long, rest], axis=-1)


def _turned(frame: Rotations, angle: Float[Array, " voxels"]) -> Rotations:
    """About the third axis."""
    c, s = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    return jnp.stack([c * frame[..., 0] + s * frame[..., 1], -s * frame[..., 0] + c * frame[..., 1], frame[..., 2]], axis=-1)


def _between(first: Rotations, second: Rotations, share: Float[ArrayLike, " voxels"]) -> Rotations:
    """Along the shortest way from the first frame, with two of its axes reversed where that makes it shorter, to the second."""
    signs = jnp.asarray([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], first.dtype)
    overlap = jnp.einsum("vij,vij->vj", first, second)  # of each axis with itself
    best = signs[jnp.argmax(jnp.einsum("vj,sj->vs", overlap, signs), axis=1)]
    first = first * best[:, None, :]
    turn = jnp.einsum("vij,vik->vjk", first, second)
    cosine = jnp.clip((jnp.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)
    axis = jnp.stack([turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], axis=1)
    axis = axis / jnp.maximum(jnp.linalg.norm(axis, axis=1, keepdims=True), 1e-12)
    angle = (jnp.arccos(cosine) * share)[:, None, None]
    zero = jnp.zeros_like(cosine)
    x, y, z = axis.T
    cross = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    eye = jnp.eye(3, dtype=first.dtype)[None]
    return first @ (eye + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * (cross @ cross))
