r"""Electrocardiograms by reciprocity: what an electrode sees of every cell, once, and then a product.

With $\sigma_i$ the conductivity inside of the cells and $Z_e$ the potential that a unit current from electrode $e$ would make,
$\varphi_e = \int Z_e\,\nabla\cdot(\sigma_i\nabla V)\,dx = \int V\,\nabla\cdot(\sigma_i\nabla Z_e)\,dx$, since no current of the cells'
inside crosses the surface of the muscle. So $L_e = \nabla\cdot(\sigma_i\nabla Z_e)$ is worked out once per electrode, and
$\varphi_e(t) = \sum_k L_{ek} V_k(t)\,h^3$. The operators are conservative, so $\sum_k L_{ek} = 0$ to round-off, and a potential that is the
same everywhere is not seen.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from solvers import EllipticSolution, Operator, Preconditioner, VoxelGrid, solve_elliptic

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")


def lead_fields(
    intracellular: Operator, sources: Float[Array, "electrodes cells"], voxel_volume: ArrayLike
) -> Float[Array, "electrodes cells"]:
    r"""$L_e h^3$ in mV per mV: multiply with potentials and sum over cells to have the electrodes' potentials.

    Args:
        intracellular: $\nabla\cdot(\sigma_i\nabla\,\cdot)$ with $\sigma_i$ in S/m (mS/mm), on the voxels of the muscle, without flux at its
            walls. For fibres take ``TensorDiffusion`` with ``closure="no flux"``: in a thin layer at a wall the default one errs by half.
        sources: $Z_e$ per mA: :func:`point_sources` or :func:`torso_sources`, on the voxels of the same box.
        voxel_volume: $h^3$ in mm³.

    With the state of a :class:`physics.Monodomain`, ``fields @ state[0]`` is the electrodes' potential at that time; give that to
    ``simulate`` as what is observed, and no potential is stored. Source: reciprocity: Plonsey, Barr (2007), *Bioelectricity*; its use
    for whole hearts: Potse (2018), Front. Physiol. 9, 370.
    """
    return intracellular.apply(sources) * voxel_volume


def point_sources(
    grid: VoxelGrid, origin: ArrayLike, electrodes: Float[ArrayLike, "electrodes 3"], conductivity: float = 0.24
) -> Float[Array, "electrodes cells"]:
    r"""$Z_e = 1/(4\pi\sigma_b|x - x_e|)$: an infinite uniform conductor, the pseudo-electrocardiogram.

    Args:
        grid: The voxels.
        origin: Centre of the first voxel, mm.
        electrodes: Positions in mm in the same frame, outside of the muscle.
        conductivity: $\sigma_b$ in S/m; 0.24 is a mean of the torso.

    Raises:
        ValueError: An electrode within a voxel of the muscle, where the formula has its pole; a conductivity that is not positive.

    Fails: amplitudes on the chest are off by the torso's shape and the lungs, up to two times; shapes of the waves less so.
    """
    electrodes, origin = np.asarray(electrodes, dtype=float), np.asarray(origin, dtype=float)
    if electrodes.ndim != 2 or electrodes.shape[1] != 3 or not np.isfinite(electrodes).all():
        raise ValueError(f"got electrodes of shape {electrodes.shape}; expected finite positions (electrodes, 3) in mm; do: check them")
    if not conductivity > 0:
        raise ValueError(f"got a conductivity of {conductivity:g} S/m; expected more than zero; do: check it")
    mask = np.asarray(grid.mask)
    axes = [start + h * np.arange(n) for start, h, n in zip(origin, grid.spacing, grid.shape, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    fields = []
    for number, electrode in enumerate(electrodes):
        distance = np.linalg.norm(points - electrode, axis=-1)
        nearest = float(distance[mask].min())
        if nearest < max(grid.spacing):
            raise ValueError(
                f"got electrode {number} {nearest:.2g} mm from a muscle voxel's centre; expected a voxel or more; do: move it out"
            )
        fields.append(1 / (4 * np.pi * conductivity * np.where(mask, distance, nearest)))
    return jnp.asarray(np.stack(fields).reshape(len(fields), -1), jnp.result_type(float))


def torso_sources(torso: Operator, electrodes: Sequence[int], reference: int, voxel_volume: float) -> Float[Array, "electrodes cells"]:
    r"""$-\nabla\cdot(\sigma\nabla Z_e) = \delta_e - \delta_{ref}$ in a torso of voxels, insulated at its skin: one elliptic solve each.

    Args:
        torso: $\nabla\cdot(\sigma\nabla\,\cdot)$ on the voxels of the torso, $\sigma$ in S/m: inside and outside of the cells together in
            the muscle, blood 0.7, lungs 0.04, the rest about 0.22 (values in common use).
        electrodes: Flat indices of the voxels under the electrodes.
        reference: That of the ground; it cancels in leads.
        voxel_volume: In mm³.

    Raises:
        SimulationError: A solve did not converge.
    """
    solution = solve_torso(torso, electrodes, reference, voxel_volume)
    solution.raise_for_status()
    return solution.field


def solve_torso(
    torso: Operator, electrodes: Sequence[int], reference: int, voxel_volume: float, preconditioner: Preconditioner | None = None
) -> EllipticSolution:
    """What :func:`torso_sources` solves, all electrodes at once, with iterations and residuals; nothing is raised.

    The preconditioner is that of :func:`solvers.solve_elliptic`: multigrid by default, which takes longest to compile.
    """
    index = jnp.arange(len(electrodes))
    source = jnp.zeros((len(electrodes), torso.diagonal().size), torso.diagonal().dtype)
    source = source.at[index, jnp.asarray(electrodes)].add(1 / voxel_volume).at[index, reference].add(-1 / voxel_volume)
    return solve_elliptic(torso, source, preconditioner=preconditioner)


def twelve_leads(potentials: Float[Array, "9 ..."]) -> Float[Array, "12 ..."]:
    """The leads :data:`LEADS` from the potentials of :data:`ELECTRODES`: Einthoven, Goldberger, and Wilson with the mean of the limbs."""
    right, left, leg, *chest = potentials
    one, two, three = left - right, leg - right, leg - left
    mean = (right + left + leg) / 3
    limbs = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2]
    return jnp.stack([*limbs, *(potential - mean for potential in chest)])
