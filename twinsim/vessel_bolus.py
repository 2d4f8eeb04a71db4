"""A bolus of a tracer carried through a voxel vessel by a flow that repeats, and the flow that indicator dilution reads off it."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from physics.lattice_units import LatticeUnits
from solvers.lattice_boltzmann import D3Q7, Bolus, LatticeDomain, ScalarInlet, ScalarTransport, lattice_domain
from solvers.lattice_boltzmann.domain import FLUID, WALL
from solvers.shapes import Scalar
from twinsim.errors import InputError
from twinsim.vessel_case import INLET, OUTLET

CELL_PECLET = 5.0
"""Peak speed times voxel over diffusivity up to which fronts do not ring; the least diffusivity follows from it."""
LARGEST_DIFFUSIVITY = 0.5
"""voxel²/step."""
MOST_BYTES = 4e9
WASHED_OUT = 1e-4
"""Part of the dose that may be left in the vessel."""


class BolusCourse(NamedTuple):
    """What a bolus did; concentrations are parts of the highest that is injected, lattice units where nothing else is said.

    Attributes:
        times: s, the middle of every frame.
        injected: Concentration at the inlet.
        mixed: Concentration that leaves: what passes over the flow (the mixing cup).
        imaged: Mean concentration of the voxels beside the outlet, as an image shows it.
        entered: Passed through the inlet in each frame, concentration times voxel³; diffusion included.
        left: Passed through the outlet in each frame.
        flow: Out of the outlet, voxel³/step.
        moments: Sums over steps of what entered, left, and both times the step, four numbers.
        content: In the vessel at the end, over what entered.
    """

    times: np.ndarray
    injected: np.ndarray
    mixed: np.ndarray
    imaged: np.ndarray
    entered: np.ndarray
    left: np.ndarray
    flow: np.ndarray
    moments: np.ndarray
    content: float


def least_diffusivity(speed: float, voxel: float) -> float:
    """m²/s that voxels (m) carry without ringing at a peak speed (m/s): far above a molecule's 1e-9 in blood."""
    return speed * voxel / CELL_PECLET


def scalar_domain(flow: LatticeDomain) -> LatticeDomain:
    """The voxels and openings of a flow on the lattice of the scalar."""
    labels = np.where(np.asarray(flow.fluid), FLUID, WALL)
    for patch in flow.patches:
        labels[np.asarray(flow.beyond[flow.links_of(patch)])] = patch
    return lattice_domain(D3Q7, labels.reshape(flow.shape), flow.periodic)


def check_memory(frames: int, domain: LatticeDomain, itemsize: int) -> None:
    """Refuses more frames of a velocity field than memory should hold.

    Raises:
        InputError: Says how many would do.
    """
    each = 3 * domain.size * itemsize
    if frames * each > MOST_BYTES:
        got = f"{frames} frames of {domain.size} voxels, {frames * each / 1e9:.1f} GB of velocities for a bolus"
        raise InputError(
            got, f"at most {MOST_BYTES / 1e9:.0f} GB", f"use --frames {int(MOST_BYTES // each)} or fewer --voxels-per-diameter"
        )


def carried(
    domain: LatticeDomain,
    velocity: Float[Array, "frames 3 cells"],
    units: LatticeUnits,
    substeps: int,
    diffusivity: float,
    duration: float,
    longest: int,
) -> BolusCourse:
    r"""Carries $c_{in}=\sin^2(\pi t/T)$ through the vessel until no more than a ten-thousandth of the dose is left.

    Args:
        domain: Of the flow.
        velocity: Of the frames of one beat, voxel/step, which repeat; held over a frame at the mean of its two ends.
        units: Of the lattice.
        substeps: Lattice steps per frame.
        diffusivity: m²/s.
        duration: $T$, s.
        longest: Beats after which to stop whatever is left; see ``BolusCourse.content``.

    Raises:
        InputError: A diffusivity that the lattice does not carry.

    The mean transit time $\langle t\rangle_{out}-\langle t\rangle_{in}$ of what passes is exactly volume over flow where the velocity is
    steady and free of divergence (sum over steps of the balance), and so is $F=\text{dose}/\int c\,dt$ at any point of the outlet: Stewart
    1897, Hamilton 1932; Meier, Zierler 1954 (J Appl Physiol 6:731). In a pulse both depend on the phase in which the bolus enters.
    """
    on_lattice = diffusivity / float(units.kinematic_viscosity)
    if not 0 < on_lattice <= LARGEST_DIFFUSIVITY:
        most = LARGEST_DIFFUSIVITY * float(units.kinematic_viscosity)
        raise InputError(
            f"a diffusivity of {diffusivity:.3g} m²/s", f"above 0, at most {most:.3g}", "choose less --bolus-diffusivity-m2-per-s"
        )
    dtype = velocity.dtype
    scalar = scalar_domain(domain)
    source = ScalarInlet(INLET, Bolus(jnp.asarray(duration / float(units.step), dtype)))
    held = (velocity + jnp.roll(velocity, 1, axis=0)) / 2
    transport = ScalarTransport(scalar, held[0], jnp.asarray(on_lattice, dtype), inlets=(source,))
    order = [transport.domain.patches.index(INLET), transport.domain.patches.index(OUTLET)]
    last = scalar.cell[scalar.links_of(OUTLET)]
    frames = len(velocity)

    @jax.jit
    def beat(transport: ScalarTransport, held: Array, state: Array, begin: Scalar) -> tuple[Array, Array]:
        def frame(state: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            number, field = given
            now = eqx.tree_at(lambda t: t.velocity, transport, field)

            def one(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
                state, sums = carry
                passed = now.passed(state, begin + number * substeps + k)[jnp.asarray(order)]
                both = jnp.stack([-passed[0], passed[1]])
                return now.step(state, begin + number * substeps + k), sums + jnp.concatenate([both, both * (k + 0.5)])

            state, sums = jax.lax.fori_loop(0, substeps, one, (state, jnp.zeros(4, dtype)))
            field = now.concentration(state)
            out = jnp.sum(now.velocity[0, last])  # openings are faces of the box across x
            return state, jnp.concatenate([sums, jnp.stack([jnp.mean(field[last]), out, jnp.sum(field)])])

        return jax.lax.scan(frame, state, (jnp.arange(frames, dtype=dtype), held))

    state, rows = transport.initial_state(), []
    for number in range(longest):
        state, seen = beat(transport, held, state, jnp.asarray(float(number * frames * substeps), dtype))
        rows.append(np.asarray(seen, float))
        entered = sum(part[:, 0].sum() for part in rows)
        over = (number + 1) * frames * substeps * float(units.step) > duration
        if over and rows[-1][-1, 6] < WASHED_OUT * entered:
            break
    found = np.concatenate(rows)
    start = np.arange(len(found)) * substeps
    sums = found[:, 0].sum(), found[:, 1].sum(), *(found[:, 2 + k].sum() + (start * found[:, k]).sum() for k in (0, 1))
    times = (start + substeps / 2) * float(units.step)
    injected = np.where(times < duration, np.sin(np.pi * times / duration) ** 2, 0.0)
    volume = substeps * found[:, 5]
    mixed = np.divide(found[:, 1], volume, out=np.zeros(len(found)), where=volume > 0)
    imaged = (found[:, 4] + np.append(0.0, found[:-1, 4])) / 2  # of both ends of a frame
    content = float(found[-1, 6] / found[:, 0].sum())
    return BolusCourse(times, injected, mixed, imaged, found[:, 0], found[:, 1], found[:, 5], np.array(sums), content)


def bolus_numbers(course: BolusCourse, units: LatticeUnits, volume_ml: float, flow_ml_per_min: float) -> dict[str, float | None]:
    """The numbers of indicator dilution, with units in their names, beside the flow that carried the bolus and the vessel's volume.

    Args:
        course: What the bolus did.
        units: Of the lattice.
        volume_ml: Of the vessel, mL.
        flow_ml_per_min: The mean flow, mL/min.
    """
    step, voxel = float(units.step), float(units.voxel)
    entered, left, when_in, when_out = course.moments
    millilitres = voxel**3 * 1e6
    frame = course.times[1] - course.times[0]
    dose = entered * millilitres
    gone = bool(left > 0.5 * entered)
    spread_in = (course.entered * (course.times - when_in / entered * step) ** 2).sum() / entered
    spread_out = (course.left * (course.times - when_out / left * step) ** 2).sum() / left if gone else 0.0
    areas = {
        "bolus_flow_stewart_hamilton_ml_per_min": course.mixed.sum() * frame,
        "bolus_flow_imaged_ml_per_min": course.imaged.sum() * frame,
    }
    return {
        "bolus_dose_ml": dose,
        "bolus_mean_transit_s": (when_out / left - when_in / entered) * step if gone else None,
        "bolus_volume_over_flow_s": volume_ml / flow_ml_per_min * 60,
        **{name: dose / area * 60 if gone and area > 0 else None for name, area in areas.items()},
        "bolus_spread_s": float(np.sqrt(max(spread_out - spread_in, 0.0))) if gone else None,
        "bolus_outlet_peak_relative": course.mixed.max(),
        "bolus_outlet_peak_time_s": course.times[course.mixed.argmax()],
        "bolus_left_relative": course.content,
    }


def bolus_words(summary: dict[str, Any]) -> str:
    """The caption of a bolus: what was read off it beside what is known; `summary` has :func:`bolus_numbers` and the known flow."""
    if summary["bolus_mean_transit_s"] is None:
        return "A bolus through the vessel; most of it had not left at the end."
    read, known = summary["bolus_flow_stewart_hamilton_ml_per_min"], summary["flow_mean_ml_per_min"]
    return (
        f"A bolus through the vessel. Mean transit {summary['bolus_mean_transit_s']:.3g} s, volume over flow "
        f"{summary['bolus_volume_over_flow_s']:.3g} s; flow by indicator dilution {read:.3g}, known {known:.3g} mL/min."
    )


def bolus_dataset(course: BolusCourse) -> xr.Dataset:
    """Its courses of concentration, for the file of results."""
    names = {"injected": "at the inlet", "mixed": "that leaves", "imaged": "of the voxels beside the outlet"}
    parts = {
        f"bolus_{name}": (
            "bolus_time",
            getattr(course, name),
            {"units": "1", "long_name": f"concentration {words} over the highest injected"},
        )
        for name, words in names.items()
    }
    return xr.Dataset(parts, coords={"bolus_time": ("bolus_time", course.times, {"units": "s"})})
