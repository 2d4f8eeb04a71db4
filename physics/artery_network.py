"""A network of arteries: its parameters, one per vessel, and how it is stepped."""

from dataclasses import replace
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics.artery_flow import SMALL_PRESSURE, SMALL_VELOCITY, ArteryFlow, Inlets, Outlets
from physics.artery_layout import SPARE, NetworkLayout, network_layout
from physics.artery_openbf import OpenBFStepper
from physics.artery_stepper import ArteryState, ArteryStepper
from physics.artery_viscosity import ViscoelasticStepper, ViscousWall
from physics.artery_wall import ArteryWall, wall_stiffness, wall_thickness
from physics.equation import Equation
from solvers import AdaptiveSubsteps, Stepper, Substeps

PerVessel = Float[Array, " vessels"]


class ArteryNetwork(Equation):
    r"""Pressure and flow waves in elastic vessels that meet in nodes (:class:`physics.artery_flow.ArteryFlow`).

    Args:
        labels: Names of the vessels.
        cells: Cells of each, at least three.
        source: Node where each vessel starts.
        target: Node where each vessel ends.
        length: m.
        youngs_modulus: Pa.
        radius_start: Lumen at rest at ``source``, m.
        radius_end: At ``target``, m; linear between.
        thickness: Of the wall, m; used where ``thickness_given``, else :func:`physics.artery_wall.wall_thickness` of the radius.
        external_pressure: Pa.
        profile: $\gamma$ of the velocity profile $1-(r/R)^\gamma$ times $(\gamma+2)/\gamma$: 2 is Poiseuille's parabola, 9 nearly flat.
            Sets the friction.
        correction: Coriolis coefficient $\alpha$; $(\gamma+2)/(\gamma+1)$ for that of ``profile``; None for one, a flat profile, which
            costs less.
        proximal: Resistance of the windkessel at the end, Pa s/m³; the next four likewise, used at ends only.
        distal: Pa s/m³.
        compliance: m³/Pa.
        downstream: Pressure behind, Pa.
        reflection: Reflection coefficient.
        outlet: ``"windkessel"``, ``"matched"`` (proximal resistance as the vessel's impedance, the sum kept), ``"reflection"``, or ``""``.
        inlet_times: From 0 to the period, s.
        inlet_flow: m³/s, ``(inlets, times)``; linear between.
        inlet_nodes: Their nodes.
        density: kg/m³.
        viscosity: Pa s.
        initial_velocity: m/s.
        initial_pressure: Pa.
        thickness_given: Which vessels have a thickness of their own.
        continuous: What is continuous at junctions: ``"total"`` pressure $p+\tfrac12\rho u^2$, ``"static"`` pressure, or ``"pairs"``:
            total where two vessels meet, static where more do, as openBF has it.
        courant: Cells that the fastest wave crosses per step, at most one.
        scheme: ``"second_order"`` (:class:`physics.artery_stepper.ArteryStepper`), or ``"openbf"``
            (:class:`physics.artery_openbf.OpenBFStepper`) to repeat openBF's waveforms.
        wall_viscosity: $\Gamma$ of each vessel's wall, kg/s, zero where it is elastic (:func:`physics.artery_viscosity.wall_viscosity`);
            None for elastic walls everywhere, which cost less.

    Good values: systemic arteries, cells of 1 to 4 mm, Courant number 0.9. See the parts for where it fails. Source: Boileau et al. (2015),
    Int. J. Numer. Methods Biomed. Eng. 31, e02732; Melis, Clayton, Marzo (2017), same journal, 33, e2882 (openBF).
    """

    labels: tuple[str, ...] = eqx.field(static=True)
    cells: tuple[int, ...] = eqx.field(static=True)
    source: tuple[int, ...] = eqx.field(static=True)
    target: tuple[int, ...] = eqx.field(static=True)
    length: PerVessel
    youngs_modulus: PerVessel
    radius_start: PerVessel
    radius_end: PerVessel
    thickness: PerVessel
    external_pressure: PerVessel
    profile: PerVessel
    correction: PerVessel | None
    proximal: PerVessel
    distal: PerVessel
    compliance: PerVessel
    downstream: PerVessel
    reflection: PerVessel
    outlet: tuple[str, ...] = eqx.field(static=True)
    inlet_times: Float[Array, " times"]
    inlet_flow: Float[Array, "inlets times"]
    inlet_nodes: tuple[int, ...] = eqx.field(static=True)
    density: Float[Array, ""]
    viscosity: Float[Array, ""]
    initial_velocity: PerVessel
    initial_pressure: PerVessel
    thickness_given: tuple[bool, ...] = eqx.field(static=True)
    continuous: Literal["pairs", "total", "static"] = eqx.field(static=True, default="pairs")
    courant: float = eqx.field(static=True, default=0.9)
    scheme: Literal["second_order", "openbf"] = eqx.field(static=True, default="second_order")
    wall_viscosity: PerVessel | None = None

    @property
    def layout(self) -> NetworkLayout:
        """Where the vessels lie in the vector of cells."""
        return network_layout(self.cells, self.source, self.target)

    @property
    def period(self) -> Float[Array, ""]:
        """Of the inlet, s."""
        return self.inlet_times[-1]

    def initial_state(self) -> ArteryState:
        """Given pressure and velocity everywhere, windkessels at zero pressure."""
        layout = self.layout
        walls, vessel = self.walls(layout.cell_vessel, layout.cell_place), layout.cell_vessel
        area = walls.area(self.initial_pressure[vessel])
        velocity = jnp.where(layout.real, self.initial_velocity[vessel], 0)
        return ArteryState((area, velocity, jnp.zeros(len(layout.nodes), area.dtype)), jnp.full(2, -1, area.dtype))

    def volume(self, state: ArteryState) -> Float[Array, ""]:
        """Blood in vessels, and in windkessels beyond what they hold unpressed, m³."""
        area, _, stored = state.flow
        rate = self.flow()
        length = jnp.where(rate.per_length > 0, 1 / jnp.where(rate.per_length > 0, rate.per_length, 1), 0)
        return jnp.sum(area * length) + jnp.sum(rate.outlets.compliance * stored)

    def stepper(self, substeps: int | None = None) -> Stepper:
        """The scheme's steps, several in each step of the mesh.

        Args:
            substeps: How many: needed for reverse mode. None takes as many as the Courant number asks for.

        Raises:
            ValueError: openBF's scheme with a Coriolis coefficient or viscous walls, which are not there.
        """
        wall = self.viscous_wall()
        if self.scheme == "openbf":
            one = self._openbf()
        else:
            one = ArteryStepper(self.flow(), self.courant)
            one = one if wall is None else ViscoelasticStepper(one, wall)
        return AdaptiveSubsteps(one) if substeps is None else Substeps(one, substeps)

    def viscous_wall(self) -> ViscousWall | None:
        """What viscous walls add; None where all are elastic."""
        if self.wall_viscosity is None:
            return None
        layout = self.layout
        first, last = self._end_faces()
        per_length, area = jnp.array(self.cells) / self.length, self.walls(layout.face_vessel, layout.face_place).reference_area
        return ViscousWall(
            stiffness=jnp.where(first | last, 0, self.wall_viscosity[layout.face_vessel] / area),
            per_length=per_length[layout.face_vessel],
            cell_per_length=jnp.where(layout.real, per_length[layout.cell_vessel], 0),
            density=self.density,
            longest=max(self.cells),
        )

    def _end_faces(self) -> tuple[np.ndarray, np.ndarray]:
        """Faces that start a vessel, and those that end one."""
        layout = self.layout
        return np.append(layout.first[1:-1], False), np.roll(np.append(layout.last[1:-1], False), 1)

    def _openbf(self) -> OpenBFStepper:
        if self.correction is not None or self.wall_viscosity is not None:
            got = "viscous walls" if self.correction is None else "a Coriolis coefficient"
            raise ValueError(f"got openBF's scheme with {got}; expected neither; do: leave it None, or take the scheme second_order")
        layout = self.layout
        first, last = self._end_faces()
        return OpenBFStepper(
            rate=self.flow(),
            per_length=(jnp.array(self.cells) / self.length)[layout.face_vessel],
            first=jnp.asarray(first),
            last=jnp.asarray(last),
            started=self.initial_velocity[layout.branch_vessel],
            courant=self.courant,
        )

    def walls(self, vessel: np.ndarray, place: np.ndarray) -> ArteryWall:
        """Walls at positions from 0 to 1 of vessels."""
        start = self.radius_start[vessel]
        radius = start + (self.radius_end[vessel] - start) * place
        given = np.array(self.thickness_given)[vessel]
        thickness = jnp.where(given, self.thickness[vessel], wall_thickness(radius))
        stiffness = wall_stiffness(self.youngs_modulus[vessel], thickness, radius)
        return ArteryWall(jnp.pi * radius * radius, stiffness, self.external_pressure[vessel], self.density)

    def flow(self) -> ArteryFlow:
        """The right-hand side, with all that is computed once from the parameters."""
        layout = self.layout
        vessel, sign = layout.cell_vessel, layout.branch_sign
        step = self.length / np.array(self.cells)
        friction = 2 * (self.profile + 2) * jnp.pi * self.viscosity / self.density
        degree = (sign != 0).sum(axis=1, keepdims=True)
        total = {"total": degree > 1, "static": degree < 0, "pairs": degree == 2}[self.continuous]
        extended = self.walls(*(np.pad(part, SPARE, mode="edge") for part in (vessel, layout.cell_place)))
        faces = self.walls(layout.face_vessel, layout.face_place)
        resting = extended.reference_area
        return ArteryFlow(
            cells=self.walls(vessel, layout.cell_place),
            extended=extended,
            around=(resting, jnp.zeros_like(resting)),
            small=(SMALL_PRESSURE * jnp.mean(faces.stiffness), SMALL_VELOCITY * jnp.mean(faces.resting_speed)),
            faces=faces,
            acoustic=self.density * faces.resting_speed,
            ends=self.walls(layout.branch_vessel, np.where(sign > 0, 1.0, 0.0)),
            per_length=jnp.where(layout.real, 1 / step[vessel], 0),
            friction=jnp.where(layout.real, friction[vessel], 0),
            correction=None if self.correction is None else (self.correction[vessel], self.correction[layout.face_vessel]),
            first=jnp.asarray(layout.first),
            last=jnp.asarray(layout.last),
            end_face=jnp.asarray(layout.branch_face),
            end_sign=jnp.asarray(sign, self.length.dtype),
            dynamic=jnp.asarray(np.broadcast_to(total, sign.shape), self.length.dtype),
            inlets=self._inlets(),
            outlets=self._outlets(),
        )

    def _inlets(self) -> Inlets:
        rows = [self.layout.nodes.index(node) for node in self.inlet_nodes]
        return Inlets(jnp.array(rows, int), self.inlet_times, self.inlet_flow)

    def _outlets(self) -> Outlets:
        layout = self.layout
        ends = (layout.branch_sign != 0).sum(axis=1) == 1
        ends &= layout.branch_sign[:, 0] > 0
        vessel = layout.branch_vessel[:, 0]
        kinds = np.where(ends, np.array(self.outlet)[vessel], "")
        windkessel = np.isin(kinds, ("windkessel", "matched"))

        def where(kind: np.ndarray, values: PerVessel) -> Float[Array, " nodes"]:
            return jnp.where(kind, values[vessel], 0)

        return Outlets(
            proximal=where(windkessel, self.proximal),
            distal=where(windkessel, self.distal),
            compliance=where(windkessel, self.compliance),
            downstream=where(windkessel, self.downstream),
            reflection=where(kinds == "reflection", self.reflection),
            windkessel=jnp.asarray(windkessel),
            matched=jnp.asarray(kinds == "matched"),
            reflecting=jnp.asarray(kinds == "reflection"),
        )

    def refined(self, factor: int) -> "ArteryNetwork":
        """With ``factor`` times as many cells in every vessel."""
        return replace(self, cells=tuple(count * factor for count in self.cells))
