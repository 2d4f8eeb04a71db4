"""The models of heart cells by name."""

from collections.abc import Callable

from physics.cell_aliev_panfilov import AlievPanfilov
from physics.cell_bueno_orovio_2008 import BuenoOrovio2008
from physics.cell_courtemanche_1998 import Courtemanche1998
from physics.cell_mitchell_schaeffer import MitchellSchaeffer
from physics.cell_model import CellModel
from physics.cell_ten_tusscher_2006 import TenTusscher2006

CELL_MODELS: dict[str, Callable[[], CellModel]] = {
    "mitchell_schaeffer": MitchellSchaeffer.published,
    "aliev_panfilov": AlievPanfilov.published,
    "bueno_orovio_2008_epi": lambda: BuenoOrovio2008.published("epi"),
    "bueno_orovio_2008_mid": lambda: BuenoOrovio2008.published("mid"),
    "bueno_orovio_2008_endo": lambda: BuenoOrovio2008.published("endo"),
    "courtemanche_1998": Courtemanche1998.published,
    "ten_tusscher_2006_epi": lambda: TenTusscher2006.published("epi"),
    "ten_tusscher_2006_mid": lambda: TenTusscher2006.published("mid"),
    "ten_tusscher_2006_endo": lambda: TenTusscher2006.published("endo"),
}
"""Each makes the cell with its published parameters, in JAX's default precision."""
