"""Parameters, names and starting state of ToR-ORd: Tomek et al. (2019), with dynamic chloride (2020)."""

from physics.ohara_rudy_parameters import OUTWARD_GATES, POOLS
from physics.parameters import Parameter, ParameterSet

_PAPER = "Tomek et al. 2019, eLife 8, e48890, and 2020, bioRxiv 2020.06.01.127043, as in the public myokit version; not read in print"


def _read(value: float, unit: str, low: float = 0.0) -> Parameter:
    return Parameter(value, unit, (low, 10 * value), _PAPER)


_ENDO = {
    "sodium_conductance": _read(11.7802, "mS/uF"),
    "late_sodium_conductance": _read(0.0279, "mS/uF"),
    "transient_outward_conductance": _read(0.16, "mS/uF"),
    "calcium_permeability": _read(8.3757e-5, "cm/s"),
    "calcium_subspace_share": Parameter(0.8, "1", (0.0, 1.0), _PAPER),
    "rapid_potassium_conductance": _read(0.0321, "mS/uF"),
    "slow_potassium_conductance": _read(0.0011, "mS/uF"),
    "inward_rectifier_conductance": _read(0.6992, "mS/uF"),
    "calcium_chloride_conductance": _read(0.2843, "mS/uF"),
    "calcium_chloride_constant": _read(0.1, "mmol/L"),
    "background_chloride_conductance": _read(0.00198, "mS/uF"),
    "exchanger": _read(0.0034, "uA/uF"),
    "exchanger_subspace_share": Parameter(0.35, "1", (0.0, 1.0), _PAPER),
    "sodium_potassium_pump": _read(15.4509, "uA/uF"),
    "background_potassium_conductance": _read(0.0189, "mS/uF"),
    "background_sodium_permeability": _read(1.9239e-9, "cm/s"),
    "background_calcium_permeability": _read(5.9194e-8, "cm/s"),
    "calcium_pump": _read(0.0005, "uA/uF"),
    "calcium_pump_constant": _read(0.0005, "mmol/L"),
    "release_time": _read(4.75, "ms", 0.1),
    "release_gain": _read(1.0, "1"),
    "release_factor": _read(1.5378, "1"),
    "release_half_store": _read(1.7, "mmol/L", 0.1),
    "uptake": _read(0.005425, "mmol/L/ms"),
    "uptake_constant": _read(0.00092, "mmol/L"),
    "leak_rate": _read(0.0003255, "1/ms"),
    "transfer_time": _read(60.0, "ms", 1.0),
    "ion_diffusion_time": _read(2.0, "ms", 0.1),
    "calcium_diffusion_time": _read(0.2, "ms", 0.01),
    "late_sodium_inactivation_time": _read(200.0, "ms", 1.0),
    "calmodulin": _read(0.05, "mmol/L"),
    "calmodulin_constant": _read(0.00238, "mmol/L"),
    "troponin": _read(0.07, "mmol/L"),
    "troponin_constant": _read(0.0005, "mmol/L"),
    "store_site": _read(0.047, "mmol/L"),
    "store_site_constant": _read(0.00087, "mmol/L"),
    "membrane_site": _read(1.124, "mmol/L"),
    "membrane_site_constant": _read(0.0087, "mmol/L"),
    "calsequestrin": _read(10.0, "mmol/L"),
    "calsequestrin_constant": _read(0.8, "mmol/L"),
    "kinase_binding": _read(0.05, "1/ms"),
    "kinase_release": _read(0.00068, "1/ms"),
    "kinase_share": _read(0.05, "1"),
    "kinase_calcium_constant": _read(0.0015, "mmol/L"),
    "kinase_half_phosphorylation": _read(0.15, "1"),
    "outer_sodium": _read(140.0, "mmol/L", 50.0),
    "outer_potassium": _read(5.0, "mmol/L", 1.0),
    "outer_calcium": _read(1.8, "mmol/L", 0.1),
    "outer_chloride": _read(150.0, "mmol/L", 50.0),
    "cell_length": _read(0.01, "cm", 1e-3),
    "cell_radius": _read(0.0011, "cm", 1e-4),
    "temperature": Parameter(310.0, "K", (280.0, 320.0), _PAPER),
}


def _layer(name: str, **factors: float) -> ParameterSet:
    changed = {key: _read(_ENDO[key].value * factor, _ENDO[key].unit) for key, factor in factors.items()}
    return ParameterSet(name, **_ENDO | changed)


TOR_ORD_2019_ENDO = ParameterSet("TorOrd2019Endocardial", **_ENDO)
TOR_ORD_2019_EPI = _layer(
    "TorOrd2019Epicardial",
    late_sodium_conductance=0.6,
    transient_outward_conductance=2.0,
    calcium_permeability=1.2,
    rapid_potassium_conductance=1.3,
    slow_potassium_conductance=1.4,
    inward_rectifier_conductance=1.2,
    exchanger=1.1,
    sodium_potassium_pump=0.9,
    background_potassium_conductance=0.6,
    uptake=1.3,
    calmodulin=1.3,
)
TOR_ORD_2019_MID = _layer(
    "TorOrd2019MidMyocardial",
    transient_outward_conductance=2.0,
    calcium_permeability=2.0,
    rapid_potassium_conductance=0.8,
    inward_rectifier_conductance=1.3,
    exchanger=1.4,
    sodium_potassium_pump=0.7,
    release_gain=1.7,
)

TOR_ORD_NAMES = (
    *(*POOLS, "inner_chloride", "subspace_chloride"),
    *("C3", "C2", "C1", "O", "I"),
    *("m", "h", "j", "hp", "jp", "mL", "hL", "hLp"),
    *OUTWARD_GATES,
    *("d", "ff", "fs", "fcaf", "fcas", "jca", "nca_i", "nca_ss", "ffp", "fcafp"),
    *("xs1", "xs2", "release", "release_phosphorylated"),
)
"""Components of the state: no gates, states of the channel of IKr, gates."""

TOR_ORD_START = (
    *(-89.74808, 12.39736, 12.3977, 147.7115, 147.7114, 7.453481e-5, 6.497341e-5, 1.528001, 1.525693, 0.01095026, 29.20698, 29.20696),
    *(0.9982511, 0.000793602, 0.0006532143, 0.0002922449, 9.804083e-6),
    *(0.0006517154, 0.8473267, 0.8471657, 0.7018454, 0.8469014, 0.0001351203, 0.5566017, 0.3115491),
    *(0.0008899259, 0.9996716, 0.5988908, 0.0004534165, 0.9996716, 0.6620692),
    *(1.588841e-31, 1.0, 0.9401791, 1.0, 0.9999014, 0.9999846, 0.0008326009, 0.0004899378, 1.0, 1.0),
    *(0.243959, 0.0001586167, 1.808248e-22, 4.358608e-21),
)
"""Before a stimulus of pacing at 1 Hz (endocardial), of the authors; the public myokit version has lost an e in mL."""
