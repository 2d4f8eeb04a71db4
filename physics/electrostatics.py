r"""Currents from electrodes into a conductor of voxels: $-\nabla\cdot(\sigma\nabla\varphi) = 0$ with contacts of one potential each.

Units: mm, V, mA, conductivities in S/m, which is mS/mm; so mS times V is mA, and V over mA is kΩ.
"""

from typing import Literal, cast

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.electrode_voxels import ElectrodeVoxels
from solvers import (
    Components,
    Diffusion,
    Dirichlet,
    Preconditioner,
    Robin,
    TensorDiffusion,
    VoxelGrid,
    Walls,
    connected_components,
    solve_elliptic,
)
from solvers.status import raise_for_status

SIDES = ("x-", "x+", "y-", "y+", "z-", "z+")
LOWEST, HIGHEST = 1e-4, 20.0  # S/m: dry bone is at 1e-3, sea water at 5; beyond it a unit is wrong


class Conductor(eqx.Module):
    r"""Tissue on voxels, an electrode in it, and the ground.

    Args:
        voxels: Of :func:`physics.voxel_electrode`.
        conductivity: $\sigma$ in S/m, ``(x, y, z)``, of the tissue as it would be without the layer; or a tensor ``(x, y, z, 3, 3)``.
        layer_conductivity: $\sigma_l$ of the layer round the electrode, S/m.
        contact_impedance: $\zeta$ of metal against tissue, kΩ mm²; zero for none. The current through it is spread over the contact as it
            must be (the complete electrode model), not lumped.
        ground: ``"box"``: zero at the walls of the box. ``"case"``: zero far away, as the case in the chest is: at the walls
            $\sigma\,\partial_n\varphi = -\sigma\,\varphi\,(n\cdot r)/r^2$ with $r$ from the middle of the links, which is right for $1/r$.
        components: Of another conductor on the same voxels, which need not be found again; needed where voxels are traced.

    Raises:
        ValueError: Conductivities of another shape, not positive, or beyond 1e-4 to 20 S/m; a tensor that is not positive definite; an
            impedance below zero.

    **Links**: from the voxel's centre to a contact the resistance per area of a face is
    $\ell_l/\sigma_l + (\ell-\ell_l)/\sigma_i + \zeta/\cos\alpha$. **Faces** between voxels have $h$ over the resistance along the
    line between their centres, in the layer or out of it, so that a layer thinner than a voxel is felt. With a tensor, voxels whose centre
    lies in the layer are isotropic and thinner layers are felt by links only.

    Source: Gibou, Fedkiw, Cheng, Kang (2002), J. Comput. Phys. 176, 205 (distance to the surface, symmetric); Somersalo, Cheney, Isaacson
    (1992), SIAM J. Appl. Math. 52, 1023 (complete electrode model). Fails: the insulated shaft is a staircase (order one near it);
    quasi-static, no capacitance of tissue or contact.
    """

    voxels: ElectrodeVoxels
    conductivity: Float[Array, "x y z"] | Float[Array, "x y z 3 3"]
    layer_conductivity: Float[Array, ""]
    contact_impedance: Float[Array, ""]
    components: Components
    ground: Literal["box", "case"] = eqx.field(static=True)

    def __init__(
        self, voxels: ElectrodeVoxels, conductivity: ArrayLike, layer_conductivity: ArrayLike = 0.1, contact_impedance: ArrayLike = 0.0,
        ground: Literal["box", "case"] = "case", components: Components | None = None,
    ) -> None:  # fmt: skip
        if ground not in ("box", "case"):
            raise ValueError(f"got ground {ground!r}; expected 'box' or 'case'; do: choose one of them")
        self.voxels, self.ground = voxels, ground
        self.conductivity = jnp.asarray(conductivity, dtype=float)
        self.layer_conductivity = jnp.asarray(layer_conductivity, dtype=float)
        self.contact_impedance = jnp.asarray(contact_impedance, dtype=float)
        check_conductivity(voxels.grid, self.conductivity)
        check_conductivity(voxels.grid, jnp.broadcast_to(self.layer_conductivity, voxels.grid.shape), "a layer's conductivity")
        if not isinstance(self.contact_impedance, Tracer) and not 0 <= float(self.contact_impedance) < np.inf:
            raise ValueError(f"got a contact impedance of {float(self.contact_impedance):g} kOhm mm^2; expected zero or more; do: check it")
        self.components = connected_components(Diffusion(voxels.grid, 1.0)) if components is None else components

    def link_conductances(self) -> Float[Array, " links"]:
        """Of each link, mS per mm³ of its voxel."""
        v = self.voxels
        spacing = jnp.asarray(v.grid.spacing)[v.axis]
        flat = self.conductivity.reshape(v.grid.size, *self.conductivity.shape[3:])
        own = flat[v.cell] if flat.ndim == 1 else flat[v.cell, v.axis, v.axis]
        resistance = v.layered / self.layer_conductivity + (v.length - v.layered) / own + self.contact_impedance / v.cosine
        return v.share / resistance / spacing

    def operator(self) -> Diffusion | TensorDiffusion:
        r"""$\nabla\cdot(\sigma\nabla\,\cdot)$ less what leaves through contacts and ground at potential zero."""
        v = self.voxels
        loss = jnp.zeros(v.grid.size).at[v.cell].add(self.link_conductances())
        if self.conductivity.ndim == 5:
            isotropic = self.layer_conductivity * jnp.eye(3)
            tensor = jnp.where(v.layer[..., None, None], isotropic, self.conductivity)
            return TensorDiffusion(v.grid, tensor, loss=loss, walls=self._walls())
        operator = Diffusion(v.grid, self.conductivity, loss=loss, walls=self._walls())
        return eqx.tree_at(lambda o: o.faces, operator, self._faces())

    def contact_sources(self) -> Float[Array, "contacts cells"]:
        """What enters voxels from each contact at 1 V, mA/mm³, if the voxels were at zero."""
        return self.voxels.per_contact(self.link_conductances())

    def face_conductivities(self) -> tuple[Array, Array, Array]:
        """Of the line from each voxel's centre to the next one along each axis, S/m, flat; of isotropic tissue."""
        sigma, parts = self.conductivity.reshape(-1), []
        sigma = jnp.where(self.voxels.grid.mask.reshape(-1), sigma, 1.0)
        for axis, stride in enumerate(self.voxels.grid.strides):
            below, above = (part / self.layer_conductivity + (0.5 - part) / sigma for part in self.voxels.halves[axis])
            parts.append(1 / (above + jnp.roll(below, -stride)))
        return parts[0], parts[1], parts[2]

    def _faces(self) -> tuple[Array, ...]:
        grid = self.voxels.grid
        return tuple(
            jnp.pad(jnp.where(grid.interior_faces(axis), sigma, 0), (stride, 0)) / grid.spacing[axis] ** 2
            for axis, (sigma, stride) in enumerate(zip(self.face_conductivities(), grid.strides, strict=True))
        )

    def _walls(self) -> Walls:
        v, mask = self.voxels, np.asarray(self.voxels.grid.mask)
        sides = {}
        centre = np.asarray(_places(v.grid, v.origin))[:, np.asarray(v.cell)].mean(axis=1)
        places = _places(v.grid, v.origin)
        for number, name in enumerate(SIDES):
            axis, sign = number // 2, 1 if number % 2 else -1
            if not np.take(mask, -1 if sign > 0 else 0, axis=axis).any():
                continue
            if self.ground == "box":
                sides[name] = Dirichlet(0.0)
                continue
            away = places - centre[:, None]
            away[axis] += sign * v.grid.spacing[axis] / 2
            factor = sign * away[axis] / np.maximum((away**2).sum(axis=0), 1e-12)
            own = self.conductivity if self.conductivity.ndim == 3 else self.conductivity[..., axis, axis]
            sides[name] = Robin(jnp.asarray(np.maximum(factor, 0).reshape(v.grid.shape)) * jnp.where(v.grid.mask, own, 1.0))
        if not sides:
            raise ValueError("got a conductor that reaches no wall of its box; expected a way to the ground; do: crop the box to tissue")
        return Walls(v.grid, sides)


class UnitFields(eqx.Module):
    r"""Potentials of one contact at 1 V and all others at 0 V, and what follows from them by superposition.

    Attributes:
        per_volt: $u_k$, V per V, ``(contacts, cells)``.
        conductance: $G_{jk}$, the current out of contact $j$ with contact $k$ at 1 V, mS; symmetric.
        to_ground: Current into the ground with contact $k$ at 1 V, mS; by conservation the sum of column $k$.
        status: Of the solves.
        iterations: Of each.
    """

    per_volt: Float[Array, "contacts cells"]
    conductance: Float[Array, "contacts contacts"]
    to_ground: Float[Array, " contacts"]
    status: Array
    iterations: Array

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.SimulationError` when any solve failed."""
        raise_for_status(self.status)

    @property
    def resistance(self) -> Float[Array, "contacts contacts"]:
        r"""$R = G^{-1}$, kΩ: potentials of the contacts per mA; its diagonal are the impedances against the ground, others floating."""
        return inverse_of_positive(self.conductance)

    @property
    def per_milliampere(self) -> Float[Array, "contacts cells"]:
        """Potential per mA through each contact to the ground while all others float, V/mA."""
        return self.resistance.T @ self.per_volt

    def potential(self, milliampere: Float[ArrayLike, " contacts"]) -> Float[Array, " cells"]:
        """Under control of currents, V; zero floats."""
        return (self.resistance @ jnp.asarray(milliampere)) @ self.per_volt

    def controlled(self, volts: Float[np.ndarray, " contacts"]) -> tuple[Float[Array, " contacts"], Float[Array, " contacts"]]:
        """Potentials and currents of all contacts under control of voltage, V and mA.

        Args:
            volts: Against the ground; NaN where a contact floats.

        Raises:
            ValueError: All contacts float, or another number of them.
        """
        volts = np.asarray(volts, float)
        free = np.isnan(volts)
        if volts.shape != (self.conductance.shape[0],) or free.all():
            raise ValueError(f"got voltages {volts}; expected one per contact, NaN where it floats, not all NaN; do: set one")
        held = jnp.asarray(np.where(free, 0.0, volts))
        if free.any():
            inside = self.conductance[np.ix_(free, free)]
            floating = -inverse_of_positive(inside) @ (self.conductance @ held)[free]
            held = held.at[np.flatnonzero(free)].set(floating)
        return held, self.conductance @ held


def unit_fields(
    conductor: Conductor, preconditioner: Preconditioner | None = None, tolerance: float | None = None, max_iterations: int = 200
) -> UnitFields:
    r"""One solve per contact, all at once; everything else is superposition.

    Differentiable in conductivities and contact impedance, in both modes: one more solve per contact (:func:`solvers.solve_elliptic`).

    Args:
        conductor: Tissue, electrode, ground.
        preconditioner: Of ``solvers.multigrid`` on a conductor alike; None makes one.
        tolerance: Of the relative residual; None for that of :func:`solvers.solve_elliptic`.
        max_iterations: Most of them; beyond it the status says so.
    """
    operator, source = conductor.operator(), conductor.contact_sources()
    solution = solve_elliptic(
        operator, source, preconditioner=preconditioner, components=conductor.components, tolerance=tolerance, max_iterations=max_iterations
    )
    volume = conductor.voxels.grid.voxel_volume
    own = source.sum(axis=1)
    conductance = volume * (jnp.diag(own) - source @ solution.field.T)
    to_ground = volume * (solution.field @ (cast(Array, operator.loss) - source.sum(axis=0)))
    return UnitFields(solution.field, conductance, to_ground, solution.status, solution.iterations)


def inverse_of_positive(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Inverse of a small symmetric positive definite matrix by Gauss and Jordan, without pivots, as these need none, and without LAPACK."""
    unit = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    joined = jnp.concatenate([matrix, unit], axis=1)
    for number in range(matrix.shape[0]):
        row = joined[number] / joined[number, number]
        joined = joined - jnp.outer(joined[:, number] - unit[:, number], row)
        joined = joined.at[number].set(row)
    return joined[:, matrix.shape[0] :]


def check_conductivity(grid: VoxelGrid, conductivity: Array, what: str = "a conductivity") -> None:
    """Refuses what is no conductivity in S/m on these voxels; traced values can't be looked at and pass.

    Raises:
        ValueError: Another shape, not finite, beyond 1e-4 to 20 S/m, or a tensor that is not symmetric positive definite.
    """
    if conductivity.shape not in (grid.shape, (*grid.shape, 3, 3)):
        raise ValueError(f"got {what} of shape {conductivity.shape}; expected {grid.shape} or {(*grid.shape, 3, 3)}; do: resample it")
    if isinstance(conductivity, Tracer):
        return
    values = np.asarray(conductivity)[np.asarray(grid.mask)]
    if values.ndim == 3:
        if np.isfinite(values).all() and not np.allclose(values, np.swapaxes(values, 1, 2), rtol=1e-6, atol=1e-9):
            raise ValueError(f"got {what} whose tensor is not symmetric; expected one that is; do: use (t + t^T) / 2")
        values = np.linalg.eigvalsh(np.where(np.isfinite(values), values, np.nan)) if np.isfinite(values).all() else values
    if not np.isfinite(values).all():
        raise ValueError(f"got {what} that is not finite; expected numbers where tissue is; do: repair the map")
    low, high = float(values.min()), float(values.max())
    if low <= 0 and conductivity.ndim == 5:
        raise ValueError(f"got {what} with an eigenvalue of {low:g} S/m; expected a positive definite tensor; do: clip its eigenvalues")
    if low < LOWEST or high > HIGHEST:
        raise ValueError(
            f"got {what} from {low:g} to {high:g}; expected {LOWEST:g} to {HIGHEST:g} S/m; do: check the unit, S/m is 1000 mS/m"
        )


def _places(grid: VoxelGrid, origin: tuple[float, float, float]) -> np.ndarray:
    """Centres of the voxels, mm, ``(3, cells)``."""
    axes = [start + h * np.arange(n) for start, h, n in zip(origin, grid.spacing, grid.shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
