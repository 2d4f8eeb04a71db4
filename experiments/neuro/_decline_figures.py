"""Figures of neuro/cognitive_decline."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from physics import Connectome
from twinsim.figure_style import BLUE, CYCLE, INK, LINE, ORANGE, SOFT, legend, logarithmic_ticks, new_figure, quiet
from twinsim.inference.problem import Predict
from twinsim.spreading_forecast import predicted_readings
from twinsim.spreading_model import MOVING, PRIORS, SpreadingFit
from twinsim.visit_table import PersonVisits


def trajectories(people: list[PersonVisits], given: list[PersonVisits], fit: SpreadingFit, predict: Predict) -> Figure:
    """Some regions of three people: readings, median and 90 % of readings."""
    figure = new_figure(3.6)
    change = [np.nanmax(one.readings[-1]) - np.nanmax(one.readings[0]) for one in people]
    chosen = np.argsort(change)[[len(people) // 6, len(people) // 2, -1]]
    seeds, z = fit.seeds, fit.z
    scatter = np.random.default_rng(0).standard_normal((z.shape[1], 1, 1))  # one per draw, so that bands are smooth
    handles = []
    for axes, k in zip(figure.subplots(1, 3, sharey=True), chosen, strict=True):
        one = people[k]
        times = np.linspace(0.0, one.years[-1] - one.years[0], 25)
        curves = predicted_readings(predict, times[None], seeds[k : k + 1], z[k : k + 1], one.readings.shape[1])[0]
        noisy = curves + np.asarray(PRIORS[-1].value(jnp.asarray(z[k, :, -1])))[:, None, None] * scatter
        order = np.argsort(-np.where(np.isfinite(one.readings), one.readings, 0.0).sum(axis=0))
        for colour, region in zip(CYCLE, order[[0, 1, 3, len(order) // 2]], strict=False):
            low, high = np.quantile(noisy[:, :, region], [0.05, 0.95], axis=0)
            axes.fill_between(times, low, high, color=colour, alpha=0.12, linewidth=0)
            (curve,) = axes.plot(times, np.median(curves[:, :, region], axis=0), color=colour, linewidth=1.4)
            (seen,) = axes.plot(given[k].years - one.years[0], given[k].readings[:, region], "o", color=colour, markersize=4)
            last = one.years[-1] - one.years[0]
            (unseen,) = axes.plot(last, one.readings[-1, region], "o", color=colour, markersize=6, markerfacecolor="white")
            handles = [curve, seen, unseen]
        axes.set_title(f"person {one.person}", fontsize=10, color=INK)
        axes.set_xlabel("since the first visit (years)")
        quiet(axes)
    figure.axes[0].set_ylabel("uptake ratio (SUVR)")
    legend(figure, handles, ["model", "readings given", "held out"])
    return figure


def brains(connectome: Connectome, people: list[PersonVisits], forecasts: dict[str, np.ndarray], limits: tuple[float, float]) -> Figure:
    """Regions from above: what was read at first, what is forecast, what was read then."""
    centres = np.asarray(connectome.centres)
    k = int(np.argmax(np.nansum(np.stack([one.readings[-1] - one.readings[0] for one in people]), axis=1)))
    one = people[k]
    shown = {
        f"first visit of {one.person}": one.readings[0],
        f"forecast for {one.years[-1] - one.years[0]:.1f} years later": forecasts["model"][k],
        "reading then": one.readings[-1],
    }
    figure = new_figure(3.6)
    dots = None
    for axes, (title, values) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        to, source = np.nonzero(np.triu(connectome.weights + connectome.weights.T > np.quantile(connectome.weights, 0.97)))
        axes.plot(centres[[to, source], 0], centres[[to, source], 1], color=LINE, linewidth=0.5, zorder=0)
        gone = np.isnan(values)
        axes.scatter(*centres[gone, :2].T, s=14, color="white", edgecolor=SOFT, linewidth=0.6)
        dots = axes.scatter(
            *centres[~gone, :2].T, s=60, c=values[~gone], cmap="magma_r", vmin=limits[0], vmax=limits[1], edgecolor=LINE,
            linewidth=0.5,
        )  # fmt: skip
        axes.set_title(title, fontsize=10, color=INK)
        axes.set_aspect("equal")
        axes.set_axis_off()
    if dots is not None:
        figure.colorbar(dots, ax=figure.axes, label="uptake ratio (SUVR)", shrink=0.7)
    return figure


def scatter(forecasts: dict[str, np.ndarray], held: np.ndarray, errors: dict[str, float], inside: np.ndarray, noisy: np.ndarray) -> Figure:
    """Held-out readings against forecasts, and errors beside each other."""
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    low, high = np.nanmin(held), np.nanmax(held)
    left.plot([low, high], [low, high], color=LINE, linewidth=1)
    left.plot(forecasts["no_change"].ravel(), held.ravel(), ".", color=ORANGE, markersize=2.5, label="last reading", alpha=0.6)
    left.plot(forecasts["model"].ravel(), held.ravel(), ".", color=BLUE, markersize=2.5, label="model", alpha=0.6)
    left.set_xlabel("forecast (SUVR)")
    left.set_ylabel("held-out reading (SUVR)")
    left.legend(frameon=False, fontsize=9, markerscale=3)
    names = list(errors)
    right.barh([name.replace("_", " ") for name in names][::-1], [errors[name] for name in names][::-1], color=[SOFT] * 4 + [BLUE])
    right.set_xlabel("root mean square error (SUVR)")
    right.set_title(f"{100 * np.nanmean(inside):.0f} % of readings inside 90 % intervals", fontsize=10, color=INK)
    for axes in (left, right):
        quiet(axes, grid="x")
    return figure


def ellipses(fit: SpreadingFit, information: np.ndarray, person: int, truth: np.ndarray | None, chains: dict[int, np.ndarray]) -> Figure:
    """Growth against spread after each visit, and what visits tell."""
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2)
    mean = fit.likeliest[0][person]
    circle = np.stack([np.cos(angle := np.linspace(0, 2 * np.pi, 200)), np.sin(angle)]) * np.sqrt(-2 * np.log(0.1))
    seen = int(np.isfinite(np.asarray(fit.batch.series[0].values)[person]).reshape(information.shape[1], -1).any(axis=1).sum())
    for k in range(seen):
        covariance = np.linalg.inv(information[person, k] + np.eye(MOVING))[:2, :2]
        x, y = mean[:2, None] + np.linalg.cholesky(covariance) @ circle
        drawn = [np.asarray(PRIORS[i].value(jnp.asarray(one))) for i, one in enumerate((x, y))]
        left.plot(*drawn, color=CYCLE[k % len(CYCLE)], linewidth=1.4, label=f"{k + 1} visit{'s' if k else ''}")
    if person in chains:
        left.plot(*[np.asarray(PRIORS[i].value(jnp.asarray(chains[person][:, i]))) for i in range(2)], ".", color=SOFT, markersize=1.5)
    if truth is not None:
        values = [float(PRIORS[i].value(jnp.asarray(truth[i]))) for i in range(2)]
        left.plot(*values, "x", color=INK, markersize=8, markeredgewidth=2, label="truth")
    left.set_xscale("log")
    left.set_yscale("log")
    logarithmic_ticks(left.xaxis, *left.get_xlim())
    logarithmic_ticks(left.yaxis, *left.get_ylim())
    left.set_xlabel("spread (1/year)")
    left.set_ylabel("growth (1/year)")
    legend(figure, *left.get_legend_handles_labels())
    nats = 0.5 * np.linalg.slogdet(information + np.eye(MOVING))[1]
    visits = np.arange(1, nats.shape[1] + 1)
    right.plot(visits, nats.T, color=LINE, linewidth=0.8)
    right.plot(visits, nats.mean(axis=0), "o-", color=BLUE)
    right.set_xticks(visits)
    right.set_xlabel("visits given")
    right.set_ylabel("information on rates (nats)")
    for axes in (left, right):
        quiet(axes)
    return figure
