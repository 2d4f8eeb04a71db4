"""Stimulation of the subthalamic nucleus: fields of a lead in the MNI152 brain, and the best currents under limits and doubt."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.neuro._dbs_report import Scene, Solved, dataset_of, report_of
from experiments.neuro._dbs_tensors import check_tensor_options, tensor_summary, tissue_tensors, tissues
from physics import (
    STIMULATION_LEADS,
    Conductor,
    Lead,
    UnitFields,
    activated_volume,
    charge_density,
    fibre_conductivity,
    field_per_milliampere,
    largest_current,
    lead_through,
    mixed_conductivity,
    shannon_k,
    strength,
    unit_fields,
    voxel_electrode,
)
from solvers import Components, SimulationError, multigrid
from twinsim.anatomy import Anatomy, mni152
from twinsim.cli import run_script
from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.option_checks import check_options
from twinsim.stimulation import Effect, Limits, Plan, Regions, effect, optimise_currents
from twinsim.stimulation_target import capsule_direction, effective_site, internal_capsule, subthalamic_target
from twinsim.workspace import Workspace

TISSUES = ("grey", "white", "csf", "encapsulation")
RANGES = {
    "offset_mm": (-100.0, 100.0),
    "direction": (-1e3, 1e3),
    "currents_ma": (-100.0, 100.0),
    "contact_at_target": (0, 7),
    "voxel_mm": (0.2, 1.2),
    "box_mm": (16.0, 60.0),
    "roll_degrees": (-360.0, 360.0),
    "grey_s_per_m": (1e-3, 10.0),
    "white_s_per_m": (1e-3, 10.0),
    "csf_s_per_m": (1e-3, 10.0),
    "encapsulation_s_per_m": (1e-3, 10.0),
    "encapsulation_mm": (0.0, 2.0),
    "contact_impedance_kohm_mm2": (0.0, 100.0),
    "conductivity_doubt_percent": (0.0, 50.0),
    "capsule_anisotropy": (1.0, 10.0),
    "threshold_v_per_mm": (0.02, 2.0),
    "pulse_width_us": (10.0, 1000.0),
    "charge_density_uc_per_cm2": (1.0, 100.0),
    "shannon_k": (0.5, 1.85),
    "largest_ma": (0.1, 30.0),
    "total_ma": (0.1, 60.0),
    "capsule_percent": (0.0, 100.0),
    "spill_weight": (0.0, 10.0),
}


@dataclass(frozen=True)
class Config:
    """Options; places are lateral, anterior, superior in mm, on the side chosen."""

    lead: Literal["medtronic_3389", "medtronic_3387", "segmented_1331"] = "segmented_1331"
    """Model of lead: four rings, four rings further apart, or ring, three segments, three segments, ring."""
    side: Literal["left", "right"] = "left"
    """Side of the brain."""
    offset_mm: tuple[float, float, float] = (0.5, 0.0, 0.0)
    """From the mean effective site to the middle of the contact named next: lateral, anterior, superior."""
    contact_at_target: int = 1
    """Number of the contact whose middle lies there, counted from zero at the tip."""
    direction: tuple[float, float, float] = (0.26, 0.43, 0.86)
    """Up the shaft: lateral, anterior, superior; any length."""
    roll_degrees: float = 0.0
    """Turn of the lead's marker about the shaft, from anterior."""
    voxel_mm: float = 0.5
    """Edge of a voxel; below 0.65 (half a lead), 0.25 to see what it changes."""
    box_mm: float = 30.0
    """Edge of the cube of tissue that is solved for, round the target."""
    ground: Literal["case", "box"] = "case"
    """Where currents go: far away, or the walls of the cube."""
    grey_s_per_m: float = 0.275
    """Conductivity of grey matter and of the target."""
    white_s_per_m: float = 0.126
    """Of white matter."""
    csf_s_per_m: float = 1.79
    """Of cerebrospinal fluid, and of everything in the cube that is no brain."""
    encapsulation_s_per_m: float = 0.16
    """Of the scar round the lead."""
    encapsulation_mm: float = 0.25
    """Thickness of that scar."""
    contact_impedance_kohm_mm2: float = 0.0
    """Of metal against tissue."""
    capsule_anisotropy: float = 1.0
    """Conductivity along over across the fibres of the internal capsule, at the same geometric mean; 1 for none."""
    tensors: Path | None = None
    """NIfTI of diffusion tensors, mm²/s, brought to MNI152 space and turned with it: six components, or V1 of dtifit (others beside it)."""
    tensor_convention: Literal["", "fsl", "mrtrix"] = ""
    """Of that file: fsl (xx xy xz yy yz zz in voxel axes) or mrtrix (xx yy zz xy xz yz in world axes); needed with tensors."""
    tensor_scaling: Literal["volume normalised", "linear"] = "volume normalised"
    """Tissue's conductivity at the tensor's directions and ratios, or 0.844 S s/mm³ times the tensor (Tuch et al. 2001)."""
    conductivity_doubt_percent: float = 20.0
    """By which each conductivity alone, and all together, may be off in both directions."""
    threshold_v_per_mm: float = 0.2
    """Field that activates."""
    pulse_width_us: float = 60.0
    """Of a phase."""
    charge_density_uc_per_cm2: float = 30.0
    """Largest charge density per phase."""
    shannon_k: float = 1.5
    """Largest k of Shannon's criterion."""
    largest_ma: float = 10.0
    """Largest current of a contact that the device gives."""
    total_ma: float = 20.0
    """Largest sum of currents that the device gives."""
    capsule_percent: float = 5.0
    """Of the internal capsule beside the target that may be activated."""
    spill_weight: float = 0.1
    """What activated volume outside of the target costs, in units of covered target."""
    polarity: Literal["cathodic", "mixed"] = "cathodic"
    """Cathodes only against the ground, or anodes on the lead as well."""
    currents_ma: tuple[float, ...] = ()
    """Currents to judge instead of searching, one per contact, negative for cathodes."""
    slopes: bool = True
    """Say how impedance and activated volume depend on each conductivity: one more solve per contact."""
    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""


def run(config: Config, workspace: Workspace) -> Result:
    """Fields of all contacts under all conductivities, the best currents, and what they do."""
    check_options(config, RANGES)
    limits = _limits(config)
    scene = _scene(config)
    grid = scene.voxels.grid
    regions = Regions(np.asarray(grid.mask), scene.target, scene.capsule, grid.voxel_volume)
    solved = workspace.stage("fields", lambda: _solved(config, scene, regions, workspace))
    notes = []
    if config.currents_ma:
        plan = Plan(np.asarray(config.currents_ma), 0.0, True, 0, 0)
    else:
        exposed = regions.exposure(solved.picked, config.threshold_v_per_mm)
        plan = workspace.stage("currents", lambda: optimise_currents(exposed, limits))
        if plan.agreeing < 2:
            notes.append("Only one start found these currents: there may be better ones.")
    effects, shown = workspace.stage("effects", lambda: _effects(config, scene, plan, workspace))
    worst = 100 * max(one.avoided for one in effects)
    if worst > config.capsule_percent + 0.5:
        notes.append(f"Up to {worst:.3g} % of the internal capsule is activated, more than capsule-percent {config.capsule_percent:g}.")
    if not (np.abs(plan.milliampere) > 1e-3).any():
        notes.append("The best is no current at all: every current breaks a limit or spills more than it covers.")
    for note in notes:
        workspace.message(f"note: {note}")
    summary = _summary(config, scene, solved, plan, effects)
    if config.slopes and (np.abs(plan.milliampere) > 1e-3).any():
        summary |= workspace.stage("slopes", lambda: _slopes(config, scene, plan))
    affine = scene.anatomy.affine
    if scene.tensors is not None:
        found, words = tensor_summary(scene, capsule_direction(_sign(config)))
        summary |= found
        notes += words
        for note in words:
            workspace.message(f"note: {note}")
    title = f"{config.lead} on the {config.side}, voxels of {config.voxel_mm:g} mm, {len(effects)} sets of conductivities"
    return Result(
        summary,
        report_of(title, config.capsule_percent, config.threshold_v_per_mm, scene, summary, solved, plan, effects, shown, notes),
        dataset_of(scene, solved, plan, effects),
        volumes={
            "field_v_per_mm": (shown.astype(np.float32), affine),
            "target": (scene.target.astype(np.float32), affine),
            "internal_capsule": (scene.capsule.astype(np.float32), affine),
        },
        notes=notes,
    )


def _limits(config: Config) -> Limits:
    shape = STIMULATION_LEADS[config.lead]
    count = len(shape.contacts)
    if not 0 <= config.contact_at_target < count:
        raise InputError(f"contact-at-target {config.contact_at_target}", f"0 to {count - 1}", "choose a contact of the lead")
    lead = Lead(shape, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    safe = np.asarray(largest_current(lead.areas(), config.pulse_width_us, config.charge_density_uc_per_cm2, config.shannon_k))
    largest = np.minimum(safe, config.largest_ma)
    given = np.asarray(config.currents_ma, float)
    if given.size and given.size != count:
        raise InputError(f"{given.size} currents-ma", f"{count}, one per contact of {config.lead}", "give zero for contacts that float")
    if given.size and (np.abs(given) > safe).any():
        number = int(np.argmax(np.abs(given) / safe))
        raise InputError(
            f"{given[number]:g} mA through contact {shape.names[number]}",
            f"at most {safe[number]:.3g} mA, by charge density and Shannon's k",
            "use less current or a shorter pulse-width-us",
        )
    mixed = config.polarity == "mixed"
    check_tensor_options(config.tensors, config.tensor_convention, config.tensor_scaling, config.capsule_anisotropy)
    return Limits(largest, config.total_ma, config.capsule_percent / 100, config.spill_weight, mixed)


def _scene(config: Config) -> Scene:
    """The cube of tissue, the lead in it, and the regions."""
    sign = _sign(config)
    mirror = np.array([sign, 1.0, 1.0])
    site = effective_site(sign)
    middle = site + np.asarray(config.offset_mm) * mirror
    if not np.linalg.norm(config.direction) > 1e-9:
        raise InputError(f"direction {config.direction}", "a vector up the shaft", "give lateral, anterior, superior, not all zero")
    direction = np.asarray(config.direction) * mirror
    lead = lead_through(
        STIMULATION_LEADS[config.lead], tuple(middle.tolist()), tuple(direction.tolist()), config.contact_at_target, config.roll_degrees
    )
    whole = mni152(1.0)
    _check_inside(whole, lead)
    edge = round(config.box_mm / config.voxel_mm)
    affine = np.diag([config.voxel_mm] * 3 + [1.0])
    affine[:3, 3] = site - (edge - 1) / 2 * config.voxel_mm
    anatomy = whole.sampled_onto((edge, edge, edge), affine)
    index = np.stack(np.meshgrid(*(np.arange(edge),) * 3, indexing="ij"), axis=-1)
    points = anatomy.world_of_index(index)
    try:
        voxels = voxel_electrode(np.ones((edge,) * 3, bool), config.voxel_mm, affine[:3, 3], lead, config.encapsulation_mm)
    except ValueError as error:
        raise InputError(
            f"a lead through {np.round(middle, 2).tolist()} mm in a cube of {config.box_mm:g} mm at {config.voxel_mm:g} mm ({error})",
            "all contacts inside, with voxels that resolve them",
            "move the lead, enlarge box-mm or shrink voxel-mm",
        ) from None
    target = subthalamic_target(sign).share(points, config.voxel_mm)
    capsule = internal_capsule(sign).share(points, config.voxel_mm) * (1 - target)
    scene = Scene(anatomy, lead, voxels, points, target, capsule)
    if config.tensors is None:
        return scene
    return scene._replace(tensors=tissue_tensors(config.tensors, config.tensor_convention, scene))


def _check_inside(whole: Anatomy, lead: Lead) -> None:
    """Refuses contacts that do not lie in the brain, its fluid included."""
    from scipy import ndimage

    small = whole.resampled(3.0)
    inside = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(small.mask, 4), iterations=3))[4:-4, 4:-4, 4:-4]
    for number, place in enumerate(lead.middles()):
        index = np.round(small.index_of_world(place)).astype(int)
        if (index < 0).any() or (index >= inside.shape).any() or not inside[tuple(index)]:
            raise InputError(
                f"contact {lead.shape.names[number]} at {np.round(place, 1).tolist()} mm, outside of the head's brain",
                "all contacts inside of it",
                "correct offset-mm and direction",
            )


def _scenarios(config: Config) -> dict[str, np.ndarray]:
    """Conductivities of :data:`TISSUES` by name: as given, each alone and all together off in both directions."""
    nominal = np.array([config.grey_s_per_m, config.white_s_per_m, config.csf_s_per_m, config.encapsulation_s_per_m])
    doubt, found = config.conductivity_doubt_percent / 100, {"nominal": nominal}
    if doubt > 0:
        for word, factor in (("low", 1 - doubt), ("high", 1 + doubt)):
            found[f"all {word}"] = nominal * factor
            for number, name in enumerate(TISSUES):
                found[f"{name} {word}"] = np.where(np.arange(4) == number, nominal * factor, nominal)
    return found


def _conductor(config: Config, scene: Scene, values: jax.Array, components: Components | None = None) -> Conductor:
    """The tissue with the conductivities of :data:`TISSUES`; the target is grey, whatever the maps call it."""
    grey, white = tissues(scene)
    sigma = mixed_conductivity(grey, white, values[:3])
    if scene.tensors is not None:
        nominal = mixed_conductivity(grey, white, _scenarios(config)["nominal"][:3])
        sigma = scene.tensors.conductivity(sigma, sigma / nominal, config.tensor_scaling)
    if config.capsule_anisotropy != 1:
        fibres = fibre_conductivity(sigma, capsule_direction(_sign(config)), config.capsule_anisotropy)
        share = jnp.asarray(scene.capsule)[..., None, None]
        sigma = share * fibres + (1 - share) * sigma[..., None, None] * jnp.eye(3)[None, None, None]
    return Conductor(scene.voxels, sigma, values[3], config.contact_impedance_kohm_mm2, config.ground, components)


def _each(config: Config, scene: Scene, workspace: Workspace, title: str) -> Iterator[tuple[str, Conductor, UnitFields]]:
    """Solves for all contacts under one set of conductivities after the other."""
    scenarios, components = _scenarios(config), None
    with workspace.progress(len(scenarios), title, "conductivities") as bar:
        for name, values in scenarios.items():
            conductor = _conductor(config, scene, jnp.asarray(values), components)
            components = conductor.components
            unit = unit_fields(conductor)
            try:
                unit.raise_for_status()
            except SimulationError as error:
                raise InputError(f"conductivities {values} S/m: {error}", "a solvable problem", "bring them nearer together") from None
            yield name, conductor, unit
            bar.advance(1)


def _solved(config: Config, scene: Scene, regions: Regions, workspace: Workspace) -> Solved:
    names, picked, resistance = [], [], []
    for name, conductor, unit in _each(config, scene, workspace, "fields"):
        names.append(name)
        picked.append(regions.pick(field_per_milliampere(conductor, unit)))
        resistance.append(np.asarray(unit.resistance))
    return Solved(names, picked, np.stack(resistance))


def _effects(config: Config, scene: Scene, plan: Plan, workspace: Workspace) -> tuple[list[Effect], np.ndarray]:
    """What the currents do under each scenario, and the strength of the nominal field, V/mm."""
    found, shown, grid = [], None, scene.voxels.grid
    for _, conductor, unit in _each(config, scene, workspace, "effects"):
        field = jnp.einsum("k,kcp->cp", jnp.asarray(plan.milliampere), field_per_milliampere(conductor, unit))
        size = strength(field, grid.mask)
        found.append(effect(size, grid.mask, scene.target, scene.capsule, grid.voxel_volume, config.threshold_v_per_mm))
        shown = np.asarray(size) if shown is None else shown
    return found, shown if shown is not None else np.zeros(grid.shape)


def _slopes(config: Config, scene: Scene, plan: Plan) -> dict[str, float]:
    r"""$\partial\ln/\partial\ln\sigma$ of the impedance and of the activated volume for each tissue, by the adjoint."""
    nominal = jnp.asarray(_scenarios(config)["nominal"])
    frame = _conductor(config, scene, nominal)
    preconditioner, current, grid = multigrid(frame.operator(), dtype=jnp.float32), jnp.asarray(plan.milliampere), scene.voxels.grid

    def logarithms(logs: jax.Array) -> tuple[jax.Array, jax.Array]:
        conductor = _conductor(config, scene, nominal * jnp.exp(logs), frame.components)
        unit = unit_fields(conductor, preconditioner)
        field = jnp.einsum("k,kcp->cp", current, field_per_milliampere(conductor, unit))
        volume = activated_volume(strength(field, grid.mask), config.threshold_v_per_mm, grid.mask, grid.voxel_volume)
        return jnp.log(current @ unit.resistance @ current), jnp.log(jnp.maximum(volume, 1e-12))

    _, pull = jax.vjp(logarithms, jnp.zeros(len(TISSUES)))
    found = {}
    for what, weights in (("impedance", (1.0, 0.0)), ("activated", (0.0, 1.0))):
        (slopes,) = pull((jnp.asarray(weights[0]), jnp.asarray(weights[1])))
        found |= {f"{what}_slope_{name}": float(value) for name, value in zip(TISSUES, slopes, strict=True)}
    return found


def _summary(config: Config, scene: Scene, solved: Solved, plan: Plan, effects: list[Effect]) -> dict[str, Any]:
    names, current = scene.lead.shape.names, plan.milliampere
    areas = scene.lead.areas()
    density = np.asarray(charge_density(current, areas, config.pulse_width_us))
    total = float(np.abs(current).sum())
    summary: dict[str, Any] = {
        "lead": config.lead,
        **{f"current_{name}_ma": float(value) for name, value in zip(names, current, strict=True)},
        "total_current_ma": total,
        "worst_objective": None if config.currents_ma else plan.objective,
        "agreeing_starts": plan.agreeing,
    }
    rows: dict[str, list[float] | list[None]] = {
        "target_covered_percent": [100 * one.covered for one in effects],
        "capsule_activated_percent": [100 * one.avoided for one in effects],
        "activated_mm3": [one.activated_mm3 for one in effects],
        "spill_mm3": [one.spill_mm3 for one in effects],
    }
    if total > 1e-6:
        power = np.einsum("sjk,j,k->s", solved.resistance, current, current)
        rows["impedance_ohm"] = (1000 * power / total**2).tolist()
    else:
        rows["impedance_ohm"] = [None] * len(effects)
    for name, values in rows.items():
        known = [value for value in values if value is not None]
        summary[name] = values[0]
        summary[f"{name}_lowest"], summary[f"{name}_highest"] = (min(known), max(known)) if known else (None, None)
    summary |= {f"impedance_{name}_ohm": 1000 * float(solved.resistance[0, k, k]) for k, name in enumerate(names)}
    summary |= {
        "largest_charge_density_uc_per_cm2": float(density.max()),
        "largest_shannon_k": float(np.asarray(shannon_k(current, areas, config.pulse_width_us)).max()) if total > 1e-6 else None,
        "target_mm3": float(scene.target.sum()) * scene.voxels.grid.voxel_volume,
        "voxels": int(np.prod(scene.voxels.grid.shape)),
        "scenarios": len(effects),
    }
    return summary


def _sign(config: Config) -> float:
    return -1.0 if config.side == "left" else 1.0


if __name__ == "__main__":
    run_script(__spec__)
