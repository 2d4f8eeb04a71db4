"""The figure that both experiments on capillaries end with: a tumour resolved, its means, and the effective law."""

from typing import TYPE_CHECKING

import numpy as np

from experiments.oncology._capillary_windows import H
from twinsim.figure_style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scales(field: np.ndarray, mean: np.ndarray, said: np.ndarray, side: float, voxel_mm: float, label: str) -> "Figure":
    """Three squares of ``side`` mm; both coarse ones, ``(voxels,)``, with the same colours.

    Args:
        field: Fine voxels, ``(x, y)``.
        mean: Its means over coarse voxels.
        said: What the law says there.
        side: Of the section, mm.
        voxel_mm: Of the coarse voxels.
        label: Quantity and unit.
    """
    figure = new_figure(2.9)
    panels = figure.subplots(1, 3, sharey=True)
    count, most = round(side / voxel_mm), float(max(mean.max(), said.max()))
    shown = (
        (field, f"resolved, {1000 * H:.0f} um", float(np.quantile(field, 0.995))),
        (mean.reshape(count, count), f"its means, {voxel_mm:g} mm", most),
        (said.reshape(count, count), f"effective law, {voxel_mm:g} mm", most),
    )
    for axes, (field, title, high) in zip(panels, shown, strict=True):
        image = axes.imshow(field.T, origin="lower", cmap="magma", vmin=0, vmax=high, extent=(0, side, 0, side), interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.72, label=label if axes is panels[2] else "")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("mm")
    panels[0].set_ylabel("mm")
    return figure
