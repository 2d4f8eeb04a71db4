"""The monodomain equation: excitable cells coupled by diffusion of their potential."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jax.sharding import Mesh

from physics.cell_model import CellModel, Stacked, StimulatedCells, Stimulus
from physics.equation import Equation
from physics.state_layout import StateLayout
from solvers import (
    BlockedDiffusion,
    Diffusion,
    EdgeDiffusion,
    ExactDiffusion,
    Lie,
    OnComponents,
    Operator,
    RungeKuttaChebyshev2,
    RushLarsen,
    SpectralDiffusion,
    Stepper,
    Strang,
    TensorDiffusion,
    Tiled,
    TimeMesh,
    VoxelGrid,
    check_step,
    decomposed,
    placed,
    stages_for,
    time_mesh,
)
from solvers.devices.reach import planes_needed


class Monodomain(Equation):
    r"""$\partial_t V = \nabla\cdot(D\nabla V) + I_{st}(x,t) - I_{ion}(V, s)$ and $\dot s = G(V, s)$ in every cell, no flux at walls.

    $D = \sigma/(\chi C_m)$ in mm²/ms (:func:`physics.tissue_diffusivity`, from S/m, 1/mm and uF/mm²), currents in A/F, time in ms.

    State: ``(components, cells)``, the components of the cell model in their order with the potential first, the cells of the whole box
    in C order. Cells outside of the mask are not coupled and stay near rest.

    Args:
        cell: The model of the cells, in the precision of the run; its parameters may be one per cell, ``(cells,)``: tissue types.
        diffusion: $\nabla\cdot D\nabla$ on flat fields. ``Diffusion`` for conductivities along the grid's axes (orthotropic, or one field
            of scars), ``TensorDiffusion``, ``MonotoneDiffusion`` or ``LatticeDiffusion`` for a tensor of :func:`physics.fibre_tensor`.
        stimuli: What is put in, added up: :class:`physics.TissueStimulus`, :class:`physics.Shock`.
        stages: Applications of the diffusion per half step of :meth:`stepper`; :meth:`for_step` finds the fewest that are stable.
        substeps: Euler steps of the diffusion per step of :meth:`godunov`, likewise.
        grid: Where ``devices`` are given; by :meth:`on_devices`.
        devices: Which share the cells in slabs along x, by :meth:`on_devices`; None for one device and the threads of XLA.

    A wave moves at $c\,\sqrt{D_n}$ with $D_n = n^T D n$; $c$ is 1.99 /√ms for :class:`physics.TenTusscher2006` at rest. Good values: steps
    of 0.01 ms (0.005 to 0.02), voxels no wider than half of $\sqrt{D_n\cdot 1\,ms}$ in every direction, which is 0.15 mm along and
    0.06 mm across the fibre with :data:`physics.NIEDERER_2011`; at 0.2 mm second-order volumes are 9 % slow along and 35 % across.
    ``LatticeDiffusion`` with :func:`physics.front_fit` is made for that.

    It fails where extracellular potential matters (defibrillation, a bath, unequal anisotropy under stimuli), at length scales of single
    cells, and where the potential leaves the range of the cell model. Source: Sundnes et al. (2006), *Computing the Electrical
    Activity in the Heart*, sections 2.2-2.3 and 3.2 (splitting); Niederer et al. (2011), Phil. Trans. R. Soc. A 369, 4331.
    """

    cell: CellModel
    diffusion: Operator
    stimuli: tuple[Stimulus, ...] = ()
    stages: int = eqx.field(static=True, default=2)
    substeps: int = eqx.field(static=True, default=1)
    grid: VoxelGrid | None = None
    devices: Mesh | None = eqx.field(static=True, default=None)

    def initial_state(self, grid: VoxelGrid) -> Stacked:
        """Every cell of the box in the cell model's state at rest."""
        rest = self.cell.initial_state()
        state = jnp.broadcast_to(rest.reshape(-1, 1), (rest.shape[0], grid.size))
        return state if self.devices is None else placed(state, grid, self.devices)

    def on_devices(self, grid: VoxelGrid, devices: Mesh) -> "Monodomain":
        """This equation divided over devices: on CPU faster than the threads of XLA, see docs/performance.md.

        Args:
            grid: The voxels.
            devices: From :func:`solvers.device_mesh`. One device on CPU is one core.

        Raises:
            ValueError: The devices do not divide the planes along x, or the diffusion couples all of them (transforms, masses).
        """
        if grid.shape[0] % devices.size:
            raise ValueError(
                f"got {grid.shape[0]} planes along x on {devices.size} devices; expected a multiple; do: pad the mask with padded_planes"
            )
        planes_needed(self.diffusion)
        return replace(self, grid=grid, devices=devices)

    def stepper(self) -> Stepper:
        """Strang: half a step of diffusion, a step of cells by second-order Rush-Larsen, half a step of diffusion. Order two."""
        return Strang(self._diffused(), self._cells(2))

    def state_layout(self) -> StateLayout:
        """See :class:`physics.Equation`."""
        return replace(self.cell.state_layout(), box=getattr(self.diffusion, "shape", None))

    def godunov(self) -> Stepper:
        """A step of cells by first-order Rush-Larsen, then one of diffusion by Euler: half the cost, order one, 1.6 % slow at 0.01 ms.

        What most programs of tissue do. ``LatticeDiffusion``, which has no fast Euler steps, takes Chebyshev's as in :meth:`stepper`.
        """
        return Lie((self._cells(1), self._diffused(euler=True)))

    def for_step(self, length: float) -> "Monodomain":
        """This equation with the fewest stages that are stable for steps of ``length`` ms in :meth:`stepper`.

        Raises:
            ValueError: More than 40, where an implicit method is the better choice.
        """
        bound = float(self.diffusion.spectral_bound())
        stages = stages_for(length / 2 * bound)
        if stages > 40:
            raise ValueError(
                f"got a step of {length:g} ms that takes {stages} stages of diffusion; expected at most 40; do: shorten the step, or check "
                "the unit of conductivity and spacing"
            )
        return replace(self, stages=stages, substeps=BlockedDiffusion.substeps_for(length * bound))

    def mesh(self, save: Sequence[float], longest: float, start: float = 0.0) -> TimeMesh:
        """Steps that end at every edge of a stimulus, checked against the explicit limits.

        Args:
            save: Times to save at, ms.
            longest: Longest step, ms.
            start: ms.

        Raises:
            ValueError: A step that the stepper calls unstable, or longer than 0.2 ms, where no upstroke is resolved.
        """
        if not 0 < longest <= 0.2:
            raise ValueError(f"got a step of {longest:g} ms; expected above 0 and up to 0.2 ms; do: use 0.01 ms, the upstroke takes one ms")
        check_step(self.stepper(), longest)
        return time_mesh(start, save, longest, breakpoints=[edge for stimulus in self.stimuli for edge in stimulus.edges()])

    def _cells(self, accuracy: Literal[1, 2]) -> Stepper:
        cells = RushLarsen(StimulatedCells(self.cell, self.stimuli), accuracy)
        return cells if self.devices is None else Tiled(cells, mesh=self.devices)

    def _diffused(self, euler: bool = False) -> Stepper:
        if isinstance(self.diffusion, SpectralDiffusion):
            return OnComponents(ExactDiffusion(self.diffusion), 0, 1)
        stepper: Stepper = RungeKuttaChebyshev2(self.diffusion, self.stages)
        if euler and isinstance(self.diffusion, Diffusion | TensorDiffusion):
            with suppress(ValueError):  # of fourth order, or with walls that are no sum over edges
                stepper = BlockedDiffusion(EdgeDiffusion.of(self.diffusion), self.substeps)
        if self.devices is not None and self.grid is not None:
            stepper = decomposed(stepper, self.grid, self.devices)
        return OnComponents(stepper, 0, 1)
