"""Pictures of a lead in the brain and of what it activates."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import ndimage

from physics import Lead
from twinsim.anatomy import Anatomy
from twinsim.figure_slices import Overlay, orthogonal_slices
from twinsim.figure_style import BLUE, GREEN, INK, ORANGE, SKY, SOFT, VERMILION, legend, new_figure, quiet
from twinsim.stimulation import Effect

HALF = 9.0  # mm that the planes show to each side of the target
METAL = {"active": ORANGE, "floating": "#9aa3ad"}


class View(NamedTuple):
    """What is drawn: volumes on the voxels of the anatomy, the field in V/mm."""

    anatomy: Anatomy
    lead: Lead
    target: np.ndarray
    capsule: np.ndarray
    field: np.ndarray
    threshold: float


def plane_figure(view: View, milliampere: np.ndarray) -> Figure:
    """The plane through the lead and the capsule, and the plane across the lead at the target."""
    figure = new_figure(4.6)
    panels = figure.subplots(1, 2)
    up = np.asarray(view.lead.direction)
    centre = _middle(view.target, view.anatomy)
    aside = _middle(view.capsule, view.anatomy) - centre
    aside = aside - (aside @ up) * up
    aside /= np.linalg.norm(aside)
    on_axis = np.asarray(view.lead.tip) + ((centre - np.asarray(view.lead.tip)) @ up) * up
    image = None
    for axes, second, name in zip(panels, (up, np.cross(up, aside)), ("up the lead (mm)", "across (mm)"), strict=True):
        image = _plane(axes, view, on_axis, aside, second, milliampere)
        axes.set(xlabel="towards the capsule (mm)", ylabel=name)
    if image is not None:
        figure.colorbar(image, ax=list(panels), label="field (V/mm)", shrink=0.75, extend="max")
    kinds = (("target", GREEN), ("internal capsule", VERMILION), (f"above {view.threshold:g} V/mm", "#FFFFFF"))
    handles = [Patch(facecolor="none" if colour != "#FFFFFF" else "#777777", edgecolor=colour, linewidth=2) for _, colour in kinds]
    handles += [Patch(facecolor=METAL["active"]), Patch(facecolor=METAL["floating"]), Patch(facecolor="#e8eaec")]
    legend(figure, handles, [*(name for name, _ in kinds), "contact with current", "floating contact", "insulation"])
    return figure


def _plane(axes: Axes, view: View, origin: np.ndarray, first: np.ndarray, second: np.ndarray, milliampere: np.ndarray):  # noqa: ANN202
    steps = np.linspace(-HALF, HALF, 241)
    across, along = np.meshgrid(steps, steps)
    points = origin + across[..., None] * first + along[..., None] * second
    index = np.moveaxis(view.anatomy.index_of_world(points), -1, 0)
    known = view.field > 1e-9  # zero inside of the lead
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    logarithm = np.log(np.maximum(view.field, 1e-9))[tuple(nearest)]
    field = np.exp(ndimage.map_coordinates(logarithm, index, order=1, mode="nearest"))
    extent = (-HALF, HALF, -HALF, HALF)
    image = axes.imshow(field, origin="lower", extent=extent, cmap="viridis", vmin=0, vmax=max(4 * view.threshold, 1e-6))
    for region, colour in ((view.target, GREEN), (view.capsule, VERMILION)):
        part = ndimage.map_coordinates(region, index, order=1, mode="nearest")
        if part.max() > 0.5 > part.min():
            axes.contour(steps, steps, part, levels=[0.5], colors=[colour], linewidths=1.8)
    if field.max() > view.threshold > field.min():
        axes.contour(steps, steps, field, levels=[view.threshold], colors=["white"], linewidths=1.6)
    distance = view.lead.signed_distance(points)
    axes.contourf(steps, steps, distance, levels=[-1e3, 0], colors=["#e8eaec"], zorder=3)
    shell = (distance <= 0) & (distance > -0.35)
    number = np.where(shell, view.lead.contact_at(points), -1)
    for contact in np.unique(number[number >= 0]):
        colour = METAL["active"] if abs(milliampere[contact]) > 0.01 else METAL["floating"]
        axes.contourf(steps, steps, (number == contact).astype(float), levels=[0.5, 1.5], colors=[colour], zorder=4)
    axes.tick_params(colors=SOFT, labelsize=8)
    return image


def slices_figure(view: View) -> Figure:
    """Axial, coronal and sagittal slices through the target."""
    index = np.round(view.anatomy.index_of_world(_middle(view.target, view.anatomy))).astype(int)
    points = np.stack(np.meshgrid(*(np.arange(n) for n in view.field.shape), indexing="ij"), axis=-1)
    body = view.lead.signed_distance(view.anatomy.world_of_index(points)) <= 0
    overlays = [
        Overlay(view.field, "field", "V/mm", floor=view.threshold, limits=(view.threshold, 5 * view.threshold), alpha=0.55),
        Overlay(view.target, "target", kind="mask", colour=GREEN),
        Overlay(view.capsule, "internal capsule", kind="mask", colour=VERMILION),
        Overlay(body.astype(float), "lead", kind="mask", colour=SKY),
    ]
    return orthogonal_slices(view.anatomy.background, view.anatomy.spacing_mm, overlays, index=index, affine=view.anatomy.affine)


def effects_figure(
    names: list[str], effects: list[Effect], allowed_percent: float, contacts: tuple[str, ...], milliampere: np.ndarray
) -> Figure:
    """Covered target and activated capsule per set of conductivities; current per contact."""
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    place = np.arange(len(names))
    left.barh(place - 0.2, [100 * one.covered for one in effects], 0.38, color=GREEN, label="target covered")
    left.barh(place + 0.2, [100 * one.avoided for one in effects], 0.38, color=VERMILION, label="internal capsule activated")
    left.axvline(allowed_percent, color=INK, linewidth=0.8, linestyle=":", label="allowed of the capsule")
    left.set_yticks(place, names, fontsize=8)
    left.invert_yaxis()
    left.set(xlabel="share (%)", xlim=(0, 100))
    quiet(left, grid="x")
    right.bar(np.arange(len(contacts)), milliampere, color=BLUE)
    right.axhline(0, color=INK, linewidth=0.6)
    right.set_xticks(np.arange(len(contacts)), contacts)
    right.set(xlabel="contact, from the tip", ylabel="current (mA)")
    quiet(right)
    legend(figure, *left.get_legend_handles_labels())
    return figure


def _middle(region: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Centre of gravity, mm."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in region.shape), indexing="ij"), axis=-1)
    return anatomy.world_of_index((index * region[..., None]).reshape(-1, 3).sum(axis=0) / region.sum())
