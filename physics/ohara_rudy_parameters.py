"""Parameters, names and starting state of the human ventricular cell of O'Hara, Virag, Varro and Rudy (2011)."""

from physics.parameters import Parameter, ParameterSet

_PAPER = "O'Hara, Virag, Varro and Rudy 2011, PLoS Comput Biol 7, e1002061, text S1, as in the public myokit version; not read in print"


def _read(value: float, unit: str, low: float = 0.0) -> Parameter:
    return Parameter(value, unit, (low, 10 * value), _PAPER)


_ENDO = {
    "sodium_conductance": _read(75.0, "mS/uF"),
    "late_sodium_conductance": _read(0.0075, "mS/uF"),
    "transient_outward_conductance": _read(0.02, "mS/uF"),
    "calcium_permeability": _read(0.0001, "cm/s"),
    "rapid_potassium_conductance": _read(0.046, "mS/uF"),
    "slow_potassium_conductance": _read(0.0034, "mS/uF"),
    "inward_rectifier_conductance": _read(0.1908, "mS/uF"),
    "exchanger": _read(0.0008, "uA/uF"),
    "sodium_potassium_pump": _read(30.0, "uA/uF"),
    "background_potassium_conductance": _read(0.003, "mS/uF"),
    "background_sodium_permeability": _read(3.75e-10, "cm/s"),
    "background_calcium_permeability": _read(2.5e-8, "cm/s"),
    "calcium_pump": _read(0.0005, "uA/uF"),
    "calcium_pump_constant": _read(0.0005, "mmol/L"),
    "release_time": _read(4.75, "ms", 0.1),
    "release_gain": _read(1.0, "1"),
    "uptake": _read(0.004375, "mmol/L/ms"),
    "uptake_constant": _read(0.00092, "mmol/L"),
    "leak_rate": _read(0.0002625, "1/ms"),
    "transfer_time": _read(100.0, "ms", 1.0),
    "sodium_diffusion_time": _read(2.0, "ms", 0.1),
    "potassium_diffusion_time": _read(2.0, "ms", 0.1),
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
    "outer_potassium": _read(5.4, "mmol/L", 1.0),
    "outer_calcium": _read(1.8, "mmol/L", 0.1),
    "cell_length": _read(0.01, "cm", 1e-3),
    "cell_radius": _read(0.0011, "cm", 1e-4),
    "temperature": Parameter(310.0, "K", (280.0, 320.0), _PAPER),
}


def layer_set(name: str, base: dict[str, Parameter], **factors: float) -> ParameterSet:
    """The parameters of another layer of the wall: some values times a factor."""
    changed = {key: _read(base[key].value * factor, base[key].unit) for key, factor in factors.items()}
    return ParameterSet(name, **base | changed)


EPI_FACTORS = {
    "late_sodium_conductance": 0.6,
    "transient_outward_conductance": 4.0,
    "calcium_permeability": 1.2,
    "rapid_potassium_conductance": 1.3,
    "slow_potassium_conductance": 1.4,
    "inward_rectifier_conductance": 1.2,
    "exchanger": 1.1,
    "sodium_potassium_pump": 0.9,
    "background_potassium_conductance": 0.6,
    "uptake": 1.3,
    "calmodulin": 1.3,
}
MID_FACTORS = {
    "transient_outward_conductance": 4.0,
    "calcium_permeability": 2.5,
    "rapid_potassium_conductance": 0.8,
    "inward_rectifier_conductance": 1.3,
    "exchanger": 1.4,
    "sodium_potassium_pump": 0.7,
    "release_gain": 1.7,
}

OHARA_RUDY_2011_ENDO = ParameterSet("OHaraRudy2011Endocardial", **_ENDO)
OHARA_RUDY_2011_EPI = layer_set("OHaraRudy2011Epicardial", _ENDO, **EPI_FACTORS)
OHARA_RUDY_2011_MID = layer_set("OHaraRudy2011MidMyocardial", _ENDO, **MID_FACTORS)

POOLS = (
    *("voltage", "inner_sodium", "subspace_sodium", "inner_potassium", "subspace_potassium"),
    *("cytosol_calcium", "subspace_calcium", "network_calcium", "junction_calcium", "trapped_kinase"),
)
"""What is no gate."""
SODIUM_GATES = ("m", "hf", "hs", "j", "hsp", "jp", "mL", "hL", "hLp")
OUTWARD_GATES = ("a", "if", "is", "ap", "ifp", "isp")
CALCIUM_GATES = ("d", "ff", "fs", "fcaf", "fcas", "jca", "nca", "ffp", "fcafp")
POTASSIUM_GATES = ("xs1", "xs2", "xk1")
RELEASE_GATES = ("release", "release_phosphorylated")
SHARED_GATES = (*SODIUM_GATES, *OUTWARD_GATES, *CALCIUM_GATES, *POTASSIUM_GATES, *RELEASE_GATES)
"""The gates that the versions of the model share, in the order of the state; a p marks phosphorylated channels."""
OHARA_RUDY_NAMES = (*POOLS, "xrf", "xrs", *SHARED_GATES)

OHARA_RUDY_START = (
    *(-87.0, 7.0, 7.0, 145.0, 145.0, 1e-4, 1e-4, 1.2, 1.2, 0.0),
    *(0.0, 0.0),
    *(0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0),
    *(0.0, 1.0, 1.0, 0.0, 1.0, 1.0),
    *(0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0),
    *(0.0, 0.0, 1.0),
    *(0.0, 0.0),
)
"""The state from which the authors start, of every layer: no steady one."""
