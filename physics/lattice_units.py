"""From metres, seconds and pascals to the lattice and back, and whether the lattice is inside of its good range there."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from solvers.shapes import Index, Scalar
from solvers.status import Status, raise_for_status

SOUND = 3**-0.5
"""Speed of sound of the lattice, voxel/step."""
GOOD_MACH = 0.3
"""Above, the density varies by several per cent, and so does the flow: a lattice Boltzmann liquid is a gas at low speed."""
GOOD_RELAXATION = (0.515, 1.1)
"""Lattice viscosity 0.005 to 0.2: below, two relaxation times ring at steep fields; above, steps are shorter than they need be and
errors of third order in the relaxation time show (Krüger et al 2017, The Lattice Boltzmann Method, section 7.2.1)."""


class LatticeRange(NamedTuple):
    """Where a flow lies in the range of the lattice, as data.

    Attributes:
        mach: Largest speed over the speed of sound.
        relaxation: Smallest and largest relaxation time, steps.
        status: ``OUT_OF_RANGE`` where one is outside; a :class:`solvers.status.Status` code.
    """

    mach: Scalar
    relaxation: tuple[Scalar, Scalar]
    status: Index

    def words(self) -> list[str]:
        """What is wrong and what to do, one sentence each; on the host."""
        mach, (low, high) = float(self.mach), (float(part) for part in self.relaxation)
        found = []
        if not mach <= GOOD_MACH:
            found.append(f"got Mach number {mach:.3g} on the lattice; expected at most {GOOD_MACH}; do: shorten the step")
        if not low >= GOOD_RELAXATION[0]:
            found.append(f"got relaxation time {low:.4g}; expected at least {GOOD_RELAXATION[0]}; do: use smaller voxels")
        if not high <= GOOD_RELAXATION[1]:
            found.append(f"got relaxation time {high:.4g}; expected at most {GOOD_RELAXATION[1]}; do: shorten the step")
        return found

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` that names the number and its range; on the host."""
        raise_for_status(self.status, lambda status, member: "; ".join(self.words()))


class LatticeUnits(eqx.Module):
    r"""What one unit of the lattice is; multiply by these to leave the lattice, divide to enter it.

    Args:
        voxel: m.
        step: s.
        density: kg/m³; one on the lattice.

    The derivative with respect to voxel, step and density goes through.
    """

    voxel: Scalar
    step: Scalar
    density: Scalar

    @property
    def speed(self) -> Scalar:
        """m/s."""
        return self.voxel / self.step

    @property
    def kinematic_viscosity(self) -> Scalar:
        """m²/s."""
        return self.voxel**2 / self.step

    @property
    def pressure(self) -> Scalar:
        """Pa; of stress as well, kinematic stress of the lattice being stress at density one."""
        return self.density * self.speed**2

    @property
    def flow(self) -> Scalar:
        """m³/s."""
        return self.voxel**3 / self.step

    @property
    def resistance(self) -> Scalar:
        """Pa s/m³."""
        return self.pressure / self.flow

    @property
    def compliance(self) -> Scalar:
        """m³/Pa."""
        return self.voxel**3 / self.pressure

    def examine(self, speed: ArrayLike, viscosity: ArrayLike) -> LatticeRange:
        """Mach number and relaxation times of a flow, and whether they are in the good range.

        Args:
            speed: m/s; the largest counts.
            viscosity: Kinematic, m²/s; one, or all that occur.
        """
        mach = jnp.max(jnp.abs(jnp.asarray(speed))) / self.speed / SOUND
        times = 3 * jnp.asarray(viscosity) / self.kinematic_viscosity + 0.5
        low, high = jnp.min(times), jnp.max(times)
        good = (mach <= GOOD_MACH) & (low >= GOOD_RELAXATION[0]) & (high <= GOOD_RELAXATION[1])
        return LatticeRange(mach, (low, high), jnp.where(good, Status.SUCCESS, Status.OUT_OF_RANGE).astype(int))


def lattice_units(
    voxel: float, density: float, viscosity: float, peak_speed: float, mach: float = 0.15, period: float = 0.0, frames: int = 1
) -> LatticeUnits:
    """The longest step that keeps the peak below a Mach number and the relaxation time below its bound.

    Args:
        voxel: m.
        density: kg/m³.
        viscosity: Largest kinematic viscosity that occurs, m²/s.
        peak_speed: Largest speed that is expected, m/s.
        mach: Of that speed; errors go with its square.
        period: s; where given, the step is shortened so that ``frames`` times a whole number of steps make a period.
        frames: Per period.

    Raises:
        ValueError: A number that is not above zero (a period may be zero). Whether the smallest viscosity is in range, ``examine`` says.
    """
    given = {"voxel": voxel, "density": density, "viscosity": viscosity, "peak_speed": peak_speed, "mach": mach, "frames": frames}
    wrong = [f"{name} {value}" for name, value in given.items() if not (np.isfinite(value) and value > 0)]
    if wrong or not (np.isfinite(period) and period >= 0):
        raise ValueError(f"got {', '.join(wrong) or f'period {period}'}; expected numbers above zero; do: check the units, m, s, kg")
    step = min(mach * SOUND * voxel / peak_speed, (GOOD_RELAXATION[1] - 0.5) / 3 * voxel**2 / viscosity)
    if period:
        step = period / (frames * np.ceil(period / (frames * step) - 1e-9))
    return LatticeUnits(jnp.asarray(voxel, float), jnp.asarray(step, float), jnp.asarray(density, float))
