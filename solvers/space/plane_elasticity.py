"""Small strains of a nearly incompressible solid in a plane section: nine-node elements with a pressure of their own."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from solvers.linear.block_ring import BlockRing
from solvers.space.quadratic_mesh import GAUSS, GAUSS_WEIGHTS, Nodal, QuadraticMesh
from solvers.status import Status, raise_for_status

Local = tuple[float, ...]
AtGauss = Float[Array, "columns rows 9"]
TOLERANCE = {"float64": 1e-7, "float32": 1e-2}
"""Largest residual over the load of a solve that counts as one."""


class PlaneSolution(eqx.Module):
    """Displacements, and what is needed to read stresses off.

    Attributes:
        displacement: At the nodes.
        status: SUCCESS, NOT_FINITE (the matrix is not positive definite: a body that can move freely, an element turned inside out), or
            NOT_CONVERGED (the residual is above ``TOLERANCE``: contrasts that round-off does not bear).
        residual: Norm of what is left of the load, over the load's.
    """

    displacement: Nodal
    status: Int[Array, ""]
    residual: Float[Array, ""]

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` when the solve failed."""

        def words(status: Status, member: int) -> str | None:
            if status == Status.NOT_FINITE:
                return "the stiffness is not positive definite; do: hold the body against moving, and look for elements turned inside out"
            return "round-off is above the tolerance; do: use float64, or a lower ratio of bulk to shear modulus"

        raise_for_status(self.status, words)


class PlaneElasticity(eqx.Module):
    r"""Plane strain: $-\nabla\cdot\sigma=f$, $\sigma=2G\,(\varepsilon-\tfrac13\mathrm{tr}\,\varepsilon\,I)+q\,I$, $q=K\,\nabla\cdot u$.

    Displacements are quadratic along and across each element, and the mean stress $q$ is linear in the place with three numbers of each
    element's own (Q2-P1): stable for every ratio of bulk to shear modulus, of order three in the displacement and two in stresses, and
    exact in bending. The numbers of $q$ are eliminated element by element, and the rest is solved directly. Moduli may differ from
    point to point of the quadrature; a jump along the sides of elements is met without loss of order, one inside with order one.

    Args:
        mesh: Of the section; any unit of length L.
        shear: $G$ at the 3 x 3 points of Gauss of each element, counted across fastest; any unit of pressure.
        bulk: $K$ at the same points. Tissue: 100 to 1e5 shear moduli; the difference shows in the volume only.
        support: Springs per area on the outer edge, pressure per L, along both axes: what lies round the body. Zero leaves a free edge.
        free: Which displacements are free, ``(lines, across, 2)``; None for all. The others are zero.

    Raises:
        ValueError: Moduli that do not fit the mesh.

    Good values: a support of 1e-4 of the stiffness holds a ring in place; float64. Large strains and prestress are not in it.
    Derivatives reach mesh, moduli, support and load, each by one more substitution with the same factors.

    Source: Boffi, Brezzi, Fortin 2013 (Mixed Finite Element Methods), section 8.6 (Q2-P1); Hughes 2000 (The Finite Element Method), 4.4
    (elimination of the pressure).
    """

    mesh: QuadraticMesh
    shear: AtGauss
    bulk: AtGauss
    support: Float[Array, ""]
    free: Bool[Array, "lines across 2"] | None = None

    def __check_init__(self) -> None:
        expected = (self.mesh.columns, self.mesh.rows, 9)
        if self.shear.shape != expected or self.bulk.shape != expected:
            got = f"moduli of shape {self.shear.shape} and {self.bulk.shape}"
            raise ValueError(f"got {got}; expected {expected}; do: give both at the 9 points of Gauss of each element")

    def solve(self, load: Nodal) -> PlaneSolution:
        """Displacements under forces at the nodes, from :meth:`solvers.space.quadratic_mesh.QuadraticMesh.load` or ``pressure_load``."""
        matrix, held = self._matrix()
        right = jnp.where(held, 0, self.mesh.to_blocks(load))
        found = matrix.solve(right)
        residual = jnp.linalg.norm(matrix.apply(found) - right) / jnp.maximum(jnp.linalg.norm(right), jnp.finfo(right.dtype).tiny)
        converged = jnp.where(residual < TOLERANCE[right.dtype.name], int(Status.SUCCESS), int(Status.NOT_CONVERGED))
        status = jnp.where(jnp.all(jnp.isfinite(found)), converged, int(Status.NOT_FINITE))
        return PlaneSolution(self.mesh.from_blocks(found), status, residual)

    def forces(self, displacement: Nodal) -> Nodal:
        """The stiffness times displacements, which need not be those of a solve: forces that hold the body so."""
        whole = eqx.tree_at(lambda one: one.free, self, None, is_leaf=lambda leaf: leaf is None)
        return self.mesh.from_blocks(whole._matrix()[0].apply(self.mesh.to_blocks(displacement)))

    def stress(self, displacement: Nodal, along: Local = tuple(GAUSS), across: Local = tuple(GAUSS)) -> Float[Array, "*at 4"]:
        """Stresses xx, yy, zz, xy ``(columns, rows, points, 4)`` at local places from -1 to 1 of every element.

        The shear modulus is that of the nearest point of Gauss.
        """
        moved = self.mesh.of_elements(displacement)
        slopes = self.mesh.slopes(along, across)[0]
        gradient = jnp.einsum("ijpax,ijay->ijpyx", slopes, moved)
        mean = jnp.einsum("ijpk,ijk->ijp", self._modes(self.mesh.places(along, across)), self._pressure(moved))
        nearest = [np.abs(np.subtract.outer(places, GAUSS)).argmin(axis=1) for places in (along, across)]
        shear = self.shear[:, :, (3 * nearest[0][:, None] + nearest[1]).ravel()]
        xx, yy, xy = gradient[..., 0, 0], gradient[..., 1, 1], (gradient[..., 0, 1] + gradient[..., 1, 0]) / 2
        third = (xx + yy) / 3
        parts = [2 * shear * (xx - third) + mean, 2 * shear * (yy - third) + mean, mean - 2 * shear * third, 2 * shear * xy]
        return jnp.stack(parts, axis=-1)

    def _modes(self, places: Float[Array, "columns rows points 2"]) -> Float[Array, "columns rows points 3"]:
        """1, x and y from the middle of each element, over its size."""
        middle = self.mesh.of_elements(self.mesh.nodes)[:, :, 4][:, :, None]
        size = jnp.sqrt(jnp.sum(self._areas(), axis=-1))[..., None, None]
        offset = (places - middle) / size
        return jnp.concatenate([jnp.ones_like(offset[..., :1]), offset], axis=-1)

    def _areas(self) -> AtGauss:
        weight = jnp.asarray(np.outer(GAUSS_WEIGHTS, GAUSS_WEIGHTS).reshape(9), self.shear.dtype)
        return self.mesh.slopes(tuple(GAUSS), tuple(GAUSS))[1] * weight[None, None]

    def _volumetric(self) -> tuple[Float[Array, "columns rows 3 18"], Float[Array, "columns rows 3 3"]]:
        """Integrals of the modes with the divergence of each function, and the inverse of those of two modes over the bulk modulus."""
        slopes, areas = self.mesh.slopes(tuple(GAUSS), tuple(GAUSS))[0], self._areas()
        modes = self._modes(self.mesh.places(tuple(GAUSS), tuple(GAUSS)))
        coupling = jnp.einsum("ijp,ijpk,ijpax->ijkax", areas, modes, slopes).reshape(*areas.shape[:2], 3, 18)
        return coupling, _inverse(jnp.einsum("ijp,ijpk,ijpl->ijkl", areas / self.bulk, modes, modes))

    def _pressure(self, moved: Float[Array, "columns rows 9 2"]) -> Float[Array, "columns rows 3"]:
        coupling, inverse = self._volumetric()
        return jnp.einsum("ijkl,ijla,ija->ijk", inverse, coupling, moved.reshape(*moved.shape[:2], 18))

    def _matrix(self) -> tuple[BlockRing, Bool[Array, "blocks size"]]:
        """The stiffness, with ones for displacements that are held, and which those are."""
        mesh, dtype = self.mesh, self.shear.dtype
        slopes, weighted = mesh.slopes(tuple(GAUSS), tuple(GAUSS))[0], self._areas() * self.shear
        straight = jnp.einsum("ijp,ijpax,ijpbx->ijab", weighted, slopes, slopes)
        crossed = jnp.einsum("ijp,ijpay,ijpbx->ijaxby", weighted, slopes, slopes)
        traces = jnp.einsum("ijp,ijpax,ijpby->ijaxby", weighted, slopes, slopes)
        shape = (*weighted.shape[:2], 18, 18)
        whole = (jnp.einsum("ijab,xy->ijaxby", straight, jnp.eye(2, dtype=dtype)) + crossed - 2 / 3 * traces).reshape(shape)
        coupling, inverse = self._volumetric()
        whole = whole + jnp.einsum("ijka,ijkl,ijlb->ijab", coupling, inverse, coupling)
        springs = jnp.einsum("iab,xy->iaxby", mesh.edge_mass(), jnp.eye(2, dtype=dtype)).reshape(shape[0], 18, 18)
        blocks = mesh.blocks(whole.at[:, -1].add(self.support * springs))
        held = jnp.zeros(mesh.nodes.shape, bool) if self.free is None else ~self.free
        extra = jnp.zeros((0 if mesh.closed else 1, *held.shape[1:]), bool)
        held = jnp.concatenate([held, ~extra]).reshape(blocks.diagonal.shape[0], -1)
        keep = jnp.where(held, 0.0, 1.0).astype(dtype)
        after = jnp.roll(keep, -1, axis=0)
        ones = jnp.einsum("ia,ab->iab", 1 - keep, jnp.eye(keep.shape[1], dtype=dtype))
        diagonal = keep[:, :, None] * blocks.diagonal * keep[:, None, :] + ones
        return BlockRing(diagonal, keep[:, :, None] * blocks.upper * after[:, None, :]), held


def _inverse(matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3 3"]:
    """By cofactors: three rows do not pay for a factorisation."""
    a, b, c = matrix[..., 0, :], matrix[..., 1, :], matrix[..., 2, :]
    columns = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=-1)
    return columns / jnp.sum(a * columns[..., 0], axis=-1)[..., None, None]


def principal(stress: Float[Array, "*at 4"]) -> Float[Array, "*at"]:
    """The largest principal stress of xx, yy, zz, xy."""
    half = (stress[..., 0] - stress[..., 1]) / 2
    radius = jnp.sqrt(half**2 + stress[..., 3] ** 2 + jnp.finfo(stress.dtype).tiny)
    return jnp.maximum((stress[..., 0] + stress[..., 1]) / 2 + radius, stress[..., 2])
