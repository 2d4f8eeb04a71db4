"""The models of heart cells by name."""

from collections.abc import Callable

from physics.cell_aliev_panfilov import AlievPanfilov
from physics.cell_mitchell_schaeffer import MitchellSchaeffer
from physics.cell_model import CellModel
from physics.cell_ten_tusscher_2006 import TenTusscher2006

CELL_MODELS: dict[str, Callable[[], CellModel]] = {
    "mitchell_schaeffer": MitchellSchaeffer.published,
    "aliev_panfilov": AlievPanfilov.published,
    "ten_tusscher_2006_epi": lambda: TenTusscher2006.published("epi"),
    "ten_tusscher_2006_mid": lambda: TenTusscher2006.published("mid"),
    "ten_tusscher_2006_endo": lambda: TenTusscher2006.published("endo"),
}
"""Each makes the cell with its published parameters, in JAX's default precision."""
