"""Pictures of the corrected coarse grids."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.learning._coarse_problem import CoarseProblem
from twinsim.figure_style import BLUE, GREEN, INK, SOFT, VERMILION, new_figure, quiet


def images(problem: CoarseProblem, mask: np.ndarray, states: dict[str, np.ndarray], at: int) -> Figure:
    """The field of an image, in its middle plane, when the front is on its way, and what two coarse runs miss of it."""
    middle = mask.shape[2] // 2
    fields = {
        name: np.ma.masked_array(np.asarray(problem.field(jnp.asarray(one[at]))).reshape(mask.shape), ~mask)[:, :, middle]
        for name, one in states.items()
    }
    fine, coarse, learned = fields["fine"], fields["coarse"] - fields["fine"], fields["learned"] - fields["fine"]
    figure = new_figure(3.0)
    panels = figure.subplots(1, 3)
    largest = max(abs(coarse).max(), 1e-12)
    for axes, values, title, style in (
        (panels[0], fine, "fine grid, means", {"cmap": "viridis", "vmin": 0, "vmax": 1}),
        (panels[1], coarse, "coarse minus fine", {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}),
        (panels[2], learned, "with learned fluxes minus fine", {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}),
    ):
        axes.set_facecolor("0.85")
        shown = axes.imshow(values.T, origin="lower", **style)
        figure.colorbar(shown, ax=axes, shrink=0.8)
        axes.set_title(f"{title}\nafter {at * problem.interval:g} {problem.unit}", fontsize=9, color=INK)
        axes.set(xticks=[], yticks=[])
    return figure


def cost(problem: CoarseProblem, errors: dict[str, np.ndarray], seconds: dict[str, float], learned: list[np.ndarray]) -> Figure:
    """Every scheme by its time and its error."""
    figure = new_figure(3.6, 6.4)
    axes = figure.subplots()
    grids = [name for name in errors if name == "coarse" or name.endswith("finer")]
    axes.plot([1e3 * seconds[n] for n in grids], [errors[n].mean() for n in grids], "o-", color=BLUE, label="finer voxels")
    for name, colour, marker in (("order four", SOFT, "s"), ("fitted fourth differences", GREEN, "D")):
        axes.plot(1e3 * seconds[name], errors[name].mean(), marker, color=colour, label=name)
    axes.plot(
        [1e3 * seconds["learned"]] * len(learned), [one.mean() for one in learned], "*", color=VERMILION, markersize=11, label="learned"
    )
    axes.axvline(1e3 * seconds["4 times finer"], color=BLUE, linestyle=":", linewidth=1, label="4 times finer (the truth)")
    axes.set(xscale="log", yscale="log", xlabel="time of 20 coarse steps (ms)", ylabel=f"error ({problem.error_unit})")
    axes.legend(fontsize=8, frameon=False)
    quiet(axes)
    return figure


def curves(first_seed: int, edges: list[int], losses: list[np.ndarray]) -> Figure:
    """The loss of every training, smoothed, and where the horizon grows."""
    figure = new_figure(2.8, 6.4)
    axes = figure.subplots()
    for number, curve in enumerate(losses):
        width = max(1, len(curve) // 60)
        smooth = np.convolve(curve, np.ones(width) / width, "valid")
        axes.plot(np.arange(len(smooth)) + width / 2, smooth, linewidth=1, label=f"seed {first_seed + number}")
    for edge in edges:
        axes.axvline(edge, color=SOFT, linestyle=":", linewidth=1)
    axes.set(yscale="log", xlabel="iteration", ylabel="relative mean square")
    axes.legend(fontsize=8, frameon=False)
    quiet(axes)
    return figure
