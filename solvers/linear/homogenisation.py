"""What a periodic microstructure conducts as a whole: cell problems of homogenisation on voxels, in one to three dimensions."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from solvers.grid import VoxelGrid
from solvers.linear.components import Components
from solvers.linear.elliptic import EllipticSolution, solve_elliptic
from solvers.linear.multigrid import multigrid
from solvers.space.diffusion import Diffusion
from solvers.status import Status, raise_for_status

Conductivities = Float[Array, "axes *cell"]
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}


class Homogenised(eqx.Module):
    """What the cell problems leave.

    Attributes:
        tensor: The effective conductivity, in the unit of what was given.
        status: A :class:`solvers.Status` code per direction of the mean gradient: SUCCESS, NOT_CONVERGED or NOT_FINITE.
        iterations: Of conjugate gradients, per direction.
        residual: Of the fields over the size of their source, per direction.
    """

    tensor: Float[Array, "axes axes"]
    status: Int[Array, " axes"]
    iterations: Int[Array, " axes"]
    residual: Float[Array, " axes"]

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.SimulationError` when a cell problem failed."""

        def words(status: Status, member: int) -> str | None:
            if status == Status.SUCCESS:
                return None
            if status == Status.NOT_FINITE:
                return "a conductivity is NaN or infinite; do: look at them with jnp.isfinite"
            return f"cell problem {member} did not reach its tolerance; do: allow more iterations, or loosen the tolerance"

        raise_for_status(self.status, words)


def homogenise(
    conductivities: Conductivities,
    spacing: float | tuple[float, ...] = 1.0,
    tolerance: float | None = None,
    max_iterations: int = 400,
) -> Homogenised:
    r"""$D_{ij} = \langle\sigma\,g_i\cdot g_j\rangle$ with $g_i = \nabla\chi_i+e_i$, $\nabla\cdot\sigma g_i = 0$ and $\chi_i$ periodic.

    The tensor of the uniform medium that conducts like the periodic one over lengths far beyond its period. Differences are taken between
    neighbouring voxels, $\sigma$ sits on the faces between them, so that a blocked face, a junction and a voxel that does not conduct
    (all its faces zero) are the same thing. $D$ is a sum of squares: symmetric positive semidefinite whatever is left of the residual,
    which raises it by its square.

    Args:
        conductivities: $\sigma$ of the face between a voxel and the next one along each axis, ``(axes, *cell)``, axes as many as the cell
            has (1 to 3), around the ends; not negative. :func:`face_conductivities` makes them from voxels.
        spacing: Edges of a voxel, one number or one per axis.
        tolerance: Of the fields; without it $10^{-9}$ in float64 and $10^{-5}$ in float32.
        max_iterations: Of conjugate gradients; reaching it is a status.

    Raises:
        ValueError: Conductivities that are negative or whose axes do not fit; traced values can't be looked at and pass.

    Many cells at once: ``jax.vmap``; they wait for the slowest. **Derivatives** of every order, the first without a further solve: since
    $\chi$ makes the energy stationary, $dD_{ij} = \langle d\sigma\,g_i\cdot g_j\rangle$. None exists for a
    closed face between two pieces that do not touch elsewhere. Pieces that do not wind around the cell carry nothing; without a winding
    piece $D$ is zero but for the square of the tolerance, :func:`solvers.winding_directions` knows which directions are left exactly.

    Order two in the voxels where $\sigma$ is smooth. At corners where parts of contrast $k$ meet, the order is twice the exponent of the
    field: $\tfrac8\pi\arctan k^{-1/2}$ for a checkerboard, 0.78 at $k = 10$. Good values: 16 voxels and more across the smallest part
    of a continuum; none where voxels are the medium, as junctions and cells are. Some 10 to 100 iterations, more near percolation.
    Source: Bensoussan, Lions, Papanicolaou (1978), *Asymptotic Analysis for Periodic Structures*, chapter 1, section 2.
    """
    per_axis = checked_spacing(conductivities, spacing)
    tolerance = TOLERANCES[conductivities.dtype.name] if tolerance is None else tolerance
    tensor, solved = _energy(conductivities, per_axis, tolerance, max_iterations)
    status = jnp.where(solved.status == Status.INCOMPATIBLE, Status.NOT_CONVERGED, solved.status)
    status = jnp.where(jnp.all(jnp.isfinite(tensor), axis=1), status, Status.NOT_FINITE)
    return Homogenised(tensor, status.astype(int), solved.iterations, solved.residual)


def cell_fields(
    conductivities: Conductivities,
    spacing: float | tuple[float, ...] = 1.0,
    tolerance: float | None = None,
    max_iterations: int = 400,
) -> Float[Array, "axes axes *cell"]:
    r"""$\nabla\chi_i+e_i$ on the faces, ``(i, axis, *cell)``: where the current of a unit mean gradient along axis $i$ goes.

    Arguments and errors are those of :func:`homogenise`. Across closed faces between pieces the difference is arbitrary.
    """
    per_axis = checked_spacing(conductivities, spacing)
    tolerance = TOLERANCES[conductivities.dtype.name] if tolerance is None else tolerance
    return _gradients(conductivities, _correctors(conductivities, per_axis, tolerance, max_iterations).field, per_axis)


def face_conductivities(voxels: Float[Array, "*cell"]) -> Conductivities:
    r"""$2\sigma_i\sigma_{i+1}/(\sigma_i+\sigma_{i+1})$ between neighbours, around the ends: half a voxel of each in series."""
    faces = []
    for axis in range(voxels.ndim):
        following = jnp.roll(voxels, -1, axis)
        total = voxels + following
        faces.append(2 * voxels * following / jnp.where(total > 0, total, 1))
    return jnp.stack(faces)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _energy(conductivities: Array, spacing: tuple[float, ...], tolerance: float, max_iterations: int) -> tuple[Array, EllipticSolution]:
    solved = _correctors(conductivities, spacing, tolerance, max_iterations)
    return _mean_square(conductivities, _gradients(conductivities, solved.field, spacing)), solved


@_energy.defjvp
def _energy_jvp(spacing: tuple[float, ...], tolerance: float, max_iterations: int, primals: tuple, tangents: tuple) -> tuple:
    (conductivities,), (change,) = primals, tangents
    solved = _correctors(conductivities, spacing, tolerance, max_iterations)
    fields = _gradients(conductivities, solved.field, spacing)
    still = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jax.dtypes.float0) if leaf.dtype.kind == "i" else jnp.zeros_like(leaf), solved)
    return (_mean_square(conductivities, fields), solved), (_mean_square(change, fields), still)


def _mean_square(conductivities: Array, fields: Array) -> Array:
    flat = fields.reshape(fields.shape[0], -1)
    return jnp.matmul(flat * conductivities.reshape(1, -1), flat.T, precision=lax.Precision.HIGHEST) / conductivities[0].size


def _gradients(conductivities: Array, correctors: Array, spacing: tuple[float, ...]) -> Array:
    cell, axes = conductivities.shape[1:], conductivities.shape[0]
    chi = correctors.reshape(axes, *cell)
    slopes = [(jnp.roll(chi, -1, axis + 1) - chi) / h for axis, h in enumerate(spacing)]
    unit = jnp.eye(axes, dtype=chi.dtype).reshape(axes, axes, *(1,) * len(cell))
    return jnp.stack(slopes, axis=1) + jnp.broadcast_to(unit, (axes, axes, *cell))


def _correctors(conductivities: Array, spacing: tuple[float, ...], tolerance: float, max_iterations: int) -> EllipticSolution:
    operator = periodic_lattice(conductivities, spacing)
    source = divergences(conductivities, spacing)
    # The source is a divergence, which sums to zero on every piece: all of them may pass as one, and no host has to look.
    whole = Components(jnp.zeros(operator.faces[0].size - operator.strides[0], jnp.int32), jnp.asarray([conductivities[0].size], jnp.int32))
    cycle = multigrid(operator, smoothing=3)
    return solve_elliptic(operator, source, preconditioner=cycle, components=whole, tolerance=tolerance, max_iterations=max_iterations)


def divergences(conductivities: Array, spacing: tuple[float, ...]) -> Array:
    r"""$\nabla\cdot\sigma e_i$, ``(axes, cells)``: the sources of the cell problems."""
    pairs = enumerate(zip(conductivities, spacing, strict=True))
    return jnp.stack([(face - jnp.roll(face, 1, axis)).reshape(-1) / h for axis, (face, h) in pairs])


def periodic_lattice(conductivities: Array, spacing: tuple[float, ...]) -> Diffusion:
    """The diffusion on a periodic box with these conductivities on its faces."""
    missing = 3 - conductivities.ndim + 1
    box = (*conductivities.shape[1:], *(1,) * missing)
    around = tuple(n > 1 for n in box)
    first, second, third = (*spacing, *(1.0,) * missing)
    grid = VoxelGrid(np.ones(box, bool), (first, second, third))
    plain = Diffusion(grid, jnp.ones(box, conductivities.dtype))
    faces, wraps = [], []
    for axis in range(3):
        if not around[axis]:
            faces.append(jnp.zeros(grid.size + grid.strides[axis], conductivities.dtype))
            wraps.append(None)
            continue
        face = conductivities[axis].reshape(box) / spacing[axis] ** 2
        inner = jnp.where(grid.interior_faces(axis), face.reshape(-1), 0)
        faces.append(jnp.pad(inner, (grid.strides[axis], 0)))
        wraps.append(lax.index_in_dim(face, box[axis] - 1, axis).reshape(-1))
    return eqx.tree_at(
        lambda operator: (operator.faces, operator.wraps, operator.scale),
        plain,
        (tuple(faces), tuple(wraps), jnp.ones((), conductivities.dtype)),
        is_leaf=lambda leaf: leaf is None,
    )


def checked_spacing(conductivities: Conductivities, spacing: float | tuple[float, ...]) -> tuple[float, ...]:
    """One edge of a voxel per axis, of conductivities that were looked at."""
    axes = conductivities.shape[0]
    if conductivities.ndim != axes + 1 or axes not in (1, 2, 3):
        raise ValueError(
            f"got conductivities of shape {conductivities.shape}; expected (axes, *cell) with one axis of the cell for each of 1 to 3; "
            "do: stack those of the faces along each axis, or use face_conductivities"
        )
    lengths = spacing if isinstance(spacing, tuple) else (spacing,) * axes
    if len(lengths) != axes or not all(np.isfinite(h) and h > 0 for h in lengths):
        raise ValueError(f"got spacing {spacing}; expected one positive length or {axes}; do: give the edges of a voxel")
    if not isinstance(conductivities, Tracer):
        lowest = float(np.min(np.asarray(conductivities)))
        if lowest < 0:
            raise ValueError(f"got a conductivity of {lowest:g}; expected none below zero; do: check the sign")
    return tuple(float(h) for h in lengths)
