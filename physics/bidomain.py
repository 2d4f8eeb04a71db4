"""The bidomain equations: cells between two conductors, and a bath around them."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.bidomain_conduction import BidomainConduction, CoupledConductors
from physics.cell_model import CellModel, Stacked, StimulatedCells, Stimulus
from physics.equation import Equation
from physics.extracellular_stimulus import ExtracellularStimulus
from solvers import (
    Components,
    Diffusion,
    EllipticSolution,
    OnComponents,
    RushLarsen,
    Stepper,
    Strang,
    TensorDiffusion,
    TimeMesh,
    VoxelGrid,
    connected_components,
    multigrid,
    time_mesh,
)
from solvers.shapes import Scalar


class Bidomain(Equation):
    r"""$\partial_t V = \nabla\cdot D_i\nabla(V+\varphi) + I_{st} - I_{ion}$ and
    $\nabla\cdot D_i\nabla(V+\varphi) + \nabla\cdot D_e\nabla\varphi = -I_e$, with cells $\dot s = G(V, s)$.

    $\varphi$ is the potential outside of the cells, in the tissue and in the bath around it, where $D_i = 0$ and $D_e$ is the bath's.
    $D = \sigma/(\chi C_m)$ in mm²/ms (:func:`physics.tissue_diffusivity`), potentials in mV, currents in A/F, time in ms. No current
    crosses the edge of the cells' inside, none leaves the conductor; current between tissue and bath flows outside of the cells.

    State: ``(components + 1, cells)``: the components of the cell model in their order, potential first, and $\varphi$ last, in the
    unit of the cell's potential, with mean zero over each connected piece of the conductor. It is that in the middle of the last step,
    where the next solve starts; :meth:`extracellular_potential` gives that of a state in mV. Cells outside of the tissue stay near rest.

    Args:
        tissue: The voxels that hold cells.
        conductor: Tissue and bath, on the same box.
        cell: The model of the cells, in the precision of the run.
        intracellular: $D_i$ per voxel ``(x, y, z, 3, 3)``, of :func:`physics.fibre_tensor` on ``tissue``.
        extracellular: $D_e$ per voxel, the same; in the bath the bath's. :func:`conductor_tensor` puts both together.
        stimuli: Currents into cells, added up: :class:`physics.TissueStimulus` and others.
        electrodes: Currents into the space outside of cells: :class:`physics.ExtracellularStimulus`.
        tolerance: Of the linear solves; None for $10^{-8}$ in float64 and $10^{-5}$ in float32, of the change in a step.

    Raises:
        ValueError: Tensors that :class:`solvers.TensorDiffusion` refuses; tissue outside of the conductor; an electrode whose currents
            do not cancel on each connected piece of the conductor.

    A step is half a step of cells (second-order Rush-Larsen), one of conduction by the implicit midpoint rule with one linear
    solve for $V$ and $\varphi$ together, half a step of cells: order two, no limit on the step by conduction. A solve that does not
    converge makes NaN, so that the status is NOT_FINITE with its time. With $D_e = \lambda D_i$ and no bath it is the monodomain with
    $D = \lambda D_i/(1+\lambda)$.

    Good values: as :class:`physics.Monodomain`, steps of 0.01 to 0.02 ms and voxels of 0.1 to 0.25 mm; second-order volumes here have its
    errors of velocity on coarse voxels. Ten to twenty iterations a step, so that it costs ten to fifty times a monodomain step. Fails:
    potentials that leave the range of the cell model next to a strong electrode (no electroporation).

    Sources: Tung (1978), PhD thesis, MIT; Henriquez (1993), Crit. Rev. Biomed. Eng. 21, 1; Sundnes et al. (2006), *Computing the
    Electrical Activity in the Heart*, sections 2.2.3 and 3.3 (boundary between tissue and bath); Strang splitting, section 3.2.
    """

    tissue: VoxelGrid
    conductor: VoxelGrid
    cell: CellModel
    conduction: BidomainConduction
    stimuli: tuple[Stimulus, ...]

    def __init__(
        self,
        tissue: VoxelGrid,
        conductor: VoxelGrid,
        cell: CellModel,
        intracellular: ArrayLike,
        extracellular: ArrayLike,
        stimuli: Sequence[Stimulus] = (),
        electrodes: Sequence[ExtracellularStimulus] = (),
        tolerance: float | None = None,
    ) -> None:
        _check_grids(tissue, conductor)
        inside = TensorDiffusion(tissue, intracellular, closure="no flux")
        outside = TensorDiffusion(conductor, extracellular, closure="no flux")
        both = TensorDiffusion(
            conductor, jnp.where(tissue.mask[..., None, None], jnp.asarray(intracellular), 0) + jnp.asarray(extracellular)
        )
        self.tissue, self.conductor, self.cell, self.stimuli = tissue, conductor, cell, tuple(stimuli)
        with jax.ensure_compile_time_eval():  # of the mask, not of conductivities, which may be traced
            pieces = connected_components(Diffusion(conductor, jnp.ones(conductor.shape)))
            alone = jnp.full(conductor.size, pieces.count, pieces.labels.dtype)
            coupled_pieces = Components(jnp.concatenate([alone, pieces.labels]), pieces.sizes)
        for number, electrode in enumerate(electrodes):
            electrode.check_balance(pieces, number)
        coupled = CoupledConductors(inside, outside, multigrid(both, 0.0, dtype=jnp.float32), pieces, coupled_pieces)
        self.conduction = BidomainConduction(coupled, tuple(electrodes), _millivolts_per_unit(cell), tolerance)

    def initial_state(self, rest: Stacked | None = None) -> Stacked:
        """Every cell of the box at rest (or in a given state ``(components,)``), and no potential outside."""
        rest = self.cell.initial_state() if rest is None else rest
        return jnp.append(
            jnp.broadcast_to(rest.reshape(-1, 1), (rest.shape[0], self.tissue.size)), jnp.zeros((1, self.tissue.size), rest.dtype), 0
        )

    def stepper(self) -> Stepper:
        """Half a step of cells, conduction, half a step of cells. Order two."""
        return Strang(OnComponents(RushLarsen(StimulatedCells(self.cell, self.stimuli), 2), 0, len(self.cell.names)), self.conduction)

    def mesh(self, save: Sequence[float], longest: float, start: float = 0.0) -> TimeMesh:
        """Steps that end at every edge of a stimulus or electrode.

        Args:
            save: Times to save at, ms.
            longest: Longest step, ms.
            start: ms.

        Raises:
            ValueError: A step longer than 0.2 ms, where no upstroke is resolved.
        """
        if not 0 < longest <= 0.2:
            raise ValueError(f"got a step of {longest:g} ms; expected above 0 and up to 0.2 ms; do: use 0.02 ms, the upstroke takes one ms")
        parts = (*self.stimuli, *self.conduction.electrodes)
        return time_mesh(start, save, longest, breakpoints=[edge for part in parts for edge in part.edges()])

    def extracellular_potential(self, state: Stacked, time: ArrayLike = 0.0) -> EllipticSolution:
        r"""$\varphi$ of a state at a time, mV, with mean zero over each piece: ``.field`` and ``.status``; differentiable."""
        found = self.conduction.extracellular_potential(state[0], state[-1], jnp.asarray(time, state.dtype))
        return eqx.tree_at(lambda solution: solution.field, found, found.field * self.conduction.unit.astype(state.dtype))


def _millivolts_per_unit(cell: CellModel) -> Scalar:
    rest = cell.initial_state()
    one, none = (cell.millivolts(rest.at[0].set(value)) for value in (1.0, 0.0))
    return one - none


def conductor_tensor(tissue: VoxelGrid, conductor: VoxelGrid, extracellular: ArrayLike, bath: ArrayLike) -> Float[Array, "x y z 3 3"]:
    """$D_e$ of the tissue where there is tissue, and the bath's isotropic diffusivity in the rest of the conductor.

    Args:
        tissue: The voxels that hold cells.
        conductor: Tissue and bath.
        extracellular: ``(x, y, z, 3, 3)``, used in the tissue.
        bath: mm²/ms, a number or one per voxel: conductivity over the tissue's $\\chi C_m$; 1 S/m is 0.714 mm²/ms with
            :data:`physics.NIEDERER_2011`.

    Raises:
        ValueError: A bath that conducts nothing or less where there is bath.
    """
    value = jnp.broadcast_to(jnp.asarray(bath, dtype=float), conductor.shape)
    around = np.asarray(conductor.mask) & ~np.asarray(tissue.mask)
    if not isinstance(value, Tracer) and around.any() and not (np.asarray(value)[around] > 0).all():
        raise ValueError(
            f"got a bath of {np.asarray(value)[around].min():g} mm^2/ms; expected it positive; do: leave it out of the conductor"
        )
    isotropic = value[..., None, None] * jnp.broadcast_to(jnp.eye(3, dtype=value.dtype), (*conductor.shape, 3, 3))
    return jnp.where(tissue.mask[..., None, None], jnp.asarray(extracellular), isotropic)


def _check_grids(tissue: VoxelGrid, conductor: VoxelGrid) -> None:
    if tissue.shape != conductor.shape or tissue.spacing != conductor.spacing:
        raise ValueError(
            f"got tissue on {tissue.shape} voxels of {tissue.spacing} and a conductor on {conductor.shape} of {conductor.spacing}; "
            "expected one box; do: pad the tissue's mask with the bath"
        )
    outside = int((np.asarray(tissue.mask) & ~np.asarray(conductor.mask)).sum())
    if outside:
        raise ValueError(f"got {outside} voxels of tissue outside of the conductor; expected none; do: VoxelGrid(tissue | bath, spacing)")
