"""The models of heart cells by name."""

from collections.abc import Callable

from physics.cell_aliev_panfilov import AlievPanfilov
from physics.cell_bueno_orovio_2008 import BuenoOrovio2008
from physics.cell_courtemanche_1998 import Courtemanche1998
from physics.cell_mitchell_schaeffer import MitchellSchaeffer
from physics.cell_model import CellModel
from physics.cell_ohara_rudy_2011 import OHaraRudy2011
from physics.cell_ohara_rudy_cipa_2017 import OHaraRudyCipa2017
from physics.cell_ten_tusscher_2006 import TenTusscher2006
from physics.cell_tor_ord_2019 import TorOrd2019

CELL_MODELS: dict[str, Callable[[], CellModel]] = {
    "mitchell_schaeffer": MitchellSchaeffer.published,
    "aliev_panfilov": AlievPanfilov.published,
    "bueno_orovio_2008_epi": lambda: BuenoOrovio2008.published("epi"),
    "bueno_orovio_2008_mid": lambda: BuenoOrovio2008.published("mid"),
    "bueno_orovio_2008_endo": lambda: BuenoOrovio2008.published("endo"),
    "courtemanche_1998": Courtemanche1998.published,
    "ohara_rudy_2011_epi": lambda: OHaraRudy2011.published("epi"),
    "ohara_rudy_2011_mid": lambda: OHaraRudy2011.published("mid"),
    "ohara_rudy_2011_endo": lambda: OHaraRudy2011.published("endo"),
    "ohara_rudy_cipa_2017_epi": lambda: OHaraRudyCipa2017.published("epi"),
    "ohara_rudy_cipa_2017_mid": lambda: OHaraRudyCipa2017.published("mid"),
    "ohara_rudy_cipa_2017_endo": lambda: OHaraRudyCipa2017.published("endo"),
    "ten_tusscher_2006_epi": lambda: TenTusscher2006.published("epi"),
    "ten_tusscher_2006_mid": lambda: TenTusscher2006.published("mid"),
    "ten_tusscher_2006_endo": lambda: TenTusscher2006.published("endo"),
    "tor_ord_2019_epi": lambda: TorOrd2019.published("epi"),
    "tor_ord_2019_mid": lambda: TorOrd2019.published("mid"),
    "tor_ord_2019_endo": lambda: TorOrd2019.published("endo"),
}
"""Each makes the cell with its published parameters, in JAX's default precision."""
