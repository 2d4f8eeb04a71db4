"""A sheet of tissue with a scar that conducts badly, as unipolar electrograms of a catheter see it: differentiable in the scar's shape."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.cardiac._mapped_sheet import directions_for, sheet
from experiments.cardiac._shared import fibre
from physics import (
    MitchellSchaeffer,
    Monodomain,
    TissueStimulus,
    box_fraction,
    fibre_tensor,
    front_fit,
    lead_fields,
    point_sources,
)
from solvers import LatticeDiffusion, Status, TensorDiffusion, simulate, vmap_members
from twinsim.prior import Prior, Values, values_of

SIZE_MM = (24.0, 24.0)
STIMULATED_MM = 1.5  # a strip along the first edge
STIMULUS = (80.0, 2.0)  # A/F and ms
ENDS_MS = 120  # the wave has passed
HEIGHT_MM = 1.5  # of the electrodes above the middle of the sheet
ROOT = 1.08  # mm/ms for 1 mm^2/ms: the wave of Mitchell and Schaeffer
INTRACELLULAR = 0.17  # S/m along the fibre: Niederer 2011
MODES = (2, 3)  # of the outline that is fitted; the hidden one has more
SHARP_MM = 0.1  # width of the hidden scar's edge

PRIORS = (
    Prior("centre_x", "mm", 12.0, 5.0, "identity", "anywhere in the sheet"),
    Prior("centre_y", "mm", 12.0, 5.0, "identity", "anywhere in the sheet"),
    Prior("radius", "mm", 3.5, 0.4, "log", "chosen: 2 to 6 mm"),
    Prior("conductivity_in_scar", "of healthy", 0.15, 0.8, "log", "chosen: 0.04 to 0.6"),
    Prior("velocity_along", "m/s", 0.6, 0.2, "log", "human ventricle"),
    Prior("velocity_across", "m/s", 0.3, 0.2, "log", "human ventricle"),
    *(Prior(f"{wave}_{k}", "1", 0.0, 0.4 / k, "identity", "a smooth outline") for k in MODES for wave in ("cos", "sin")),
)


def inside(points: Array, values: Values, width_mm: float, modes: tuple[int, ...] = MODES) -> Array:
    r"""How much of the scar is at points ``(..., 2)``: 0 to 1, one half on its outline.

    The outline is $R(\phi) = r\,\exp\sum_k (a_k\cos k\phi + b_k\sin k\phi)$ round the centre. $\cos k\phi$ and $\sin k\phi$ are taken from
    powers of $(x + iy)/\rho$, which has a derivative at the centre where $\rho$ is rounded off.
    """
    x, y = points[..., 0] - values["centre_x"], points[..., 1] - values["centre_y"]
    distance = jnp.sqrt(x**2 + y**2 + 1e-2)
    one = x / distance, y / distance
    power, bend = (jnp.ones_like(x), jnp.zeros_like(x)), jnp.zeros_like(x)
    for k in range(1, max(modes) + 1):
        power = power[0] * one[0] - power[1] * one[1], power[0] * one[1] + power[1] * one[0]
        if k in modes:
            bend = bend + values[f"cos_{k}"] * power[0] + values[f"sin_{k}"] * power[1]
    return jax.nn.sigmoid((values["radius"] * jnp.exp(bend) - distance) / width_mm)


@dataclass(frozen=True)
class Grams:
    """Electrograms ``(sites, ms)`` in mV and their derivatives ``(coordinates, sites, ms)``."""

    values: np.ndarray
    slopes: np.ndarray


class ScarredSheet:
    """From a scar's outline and conductivity and the healthy velocities to unipolar electrograms every ms, in mV.

    Args:
        spacing_mm: Voxels.
        step_ms: Steps, a divisor of 1 ms.
        sites: Of the electrodes, ``(sites, 2)`` in mm.
        angle_deg: Of the fibres.
        width_mm: Of the scar's edge.
        modes: Of its outline.
    """

    def __init__(
        self, spacing_mm: float, step_ms: float, sites: np.ndarray, angle_deg: float, width_mm: float, modes: tuple[int, ...] = MODES
    ) -> None:
        self.grid, self.cell = sheet(SIZE_MM, spacing_mm), MitchellSchaeffer.published()
        self.angle, self.width, self.modes = angle_deg, width_mm, modes
        axes = [(np.arange(n) + 0.5) * spacing_mm for n in self.grid.shape[:2]]
        self.points = jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        self.pulse = TissueStimulus(self.grid, box_fraction(self.grid, (0.0, 0.0, 0.0), (STIMULATED_MM, SIZE_MM[1], 100.0)), *STIMULUS)
        origin = np.array([spacing_mm / 2, spacing_mm / 2, 0.0])
        self.sources = point_sources(self.grid, origin, np.c_[sites, np.full(len(sites), HEIGHT_MM)])
        self.directions = directions_for(spacing_mm, angle_deg, np.geomspace(1.5, 12.0, 30))
        most = Monodomain(self.cell, self._diffusion(jnp.ones(self.grid.shape), 0.85, 0.42), (self.pulse,)).for_step(step_ms)
        self.stages, self.mesh, self.every = most.stages, most.mesh([float(ENDS_MS)], step_ms), round(1 / step_ms)
        self.electrograms = jax.jit(self._electrograms)
        self._linearised = jax.jit(self._with_slopes)

    def linearised(self, z: np.ndarray) -> Grams:
        """Electrograms and derivatives at standard-normal coordinates of :data:`PRIORS`, over all devices."""
        return Grams(*(np.asarray(part) for part in self._linearised(jnp.asarray(z))))

    def _with_slopes(self, point: Array) -> tuple[Array, Array]:
        def seen(z: Array) -> Array:
            return self._electrograms(values_of(PRIORS, z))

        grams, slopes = vmap_members(lambda direction: jax.jvp(seen, (point,), (direction,)), jnp.eye(len(PRIORS)))
        return grams[0], slopes

    def _electrograms(self, values: Values) -> Array:
        scar = inside(self.points, values, self.width, self.modes)[..., None]
        share = jnp.exp(scar * jnp.log(values["conductivity_in_scar"]))
        diffusion = self._diffusion(share, values["velocity_along"], values["velocity_across"])
        ratio = (values["velocity_across"] / values["velocity_along"]) ** 2
        within = fibre_tensor(self.grid, INTRACELLULAR * share, INTRACELLULAR * ratio * share, fibre(self.angle))
        fields = lead_fields(TensorDiffusion(self.grid, within, closure="no flux"), self.sources, self.grid.voxel_volume)
        equation = Monodomain(self.cell, diffusion, (self.pulse,), self.stages)
        start = equation.initial_state(self.grid)
        solution = simulate(equation.stepper(), start, self.mesh, observe=lambda _, state: fields @ self.cell.millivolts(state))
        well = (solution.status == Status.SUCCESS) & (diffusion.base.lost < 1e-6)
        return jnp.where(well, solution.observations[self.every - 1 :: self.every].T, jnp.nan)

    def _diffusion(self, share: Array, along: Array | float, across: Array | float) -> LatticeDiffusion:
        tensor = fibre_tensor(self.grid, (along / ROOT) ** 2 * share, (across / ROOT) ** 2 * share, fibre(self.angle))
        return LatticeDiffusion(self.grid, tensor, front_fit(self.cell), directions=self.directions)
