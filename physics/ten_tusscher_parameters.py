"""Parameters and resting states of the human ventricular cell of ten Tusscher and Panfilov (2006)."""

from physics.parameters import Parameter, ParameterSet

# Values were read in the CellML version of the model (Physiome repository, workspace 604, corrected in 2020), not in print.
_READ = "as in the CellML version of the 2006 model; not read in print"
_PAPER = f"ten Tusscher and Panfilov 2006, Am J Physiol Heart Circ Physiol 291, H1088, {_READ}"
_BEFORE = f"ten Tusscher et al. 2004, Am J Physiol Heart Circ Physiol 286, H1573, {_READ}"


def _kept(value: float, unit: str, bounds: tuple[float, float]) -> Parameter:
    return Parameter(value, unit, bounds, _BEFORE)


def _new(value: float, unit: str, bounds: tuple[float, float]) -> Parameter:
    return Parameter(value, unit, bounds, _PAPER)


_COMMON = {
    "sodium_conductance": _kept(14.838, "nS/pF", (0.0, 100.0)),
    "inward_rectifier_conductance": _kept(5.405, "nS/pF", (0.0, 50.0)),
    "rapid_potassium_conductance": _new(0.153, "nS/pF", (0.0, 2.0)),
    "slow_potassium_conductance": _new(0.392, "nS/pF", (0.0, 5.0)),
    "transient_outward_conductance": _kept(0.294, "nS/pF", (0.0, 5.0)),
    "calcium_permeability": _new(0.0398, "L/F/s", (0.0, 1.0)),
    "sodium_potassium_pump": _new(2.724, "pA/pF", (0.0, 20.0)),
    "pump_potassium_constant": _kept(1.0, "mmol/L", (0.01, 10.0)),
    "pump_sodium_constant": _kept(40.0, "mmol/L", (1.0, 200.0)),
    "exchanger": _kept(1000.0, "pA/pF", (0.0, 1e4)),
    "exchanger_sodium_constant": _kept(87.5, "mmol/L", (1.0, 500.0)),
    "exchanger_calcium_constant": _kept(1.38, "mmol/L", (0.01, 10.0)),
    "exchanger_saturation": _kept(0.1, "1", (0.0, 1.0)),
    "exchanger_asymmetry": _kept(2.5, "1", (0.1, 10.0)),
    "exchanger_voltage_share": _kept(0.35, "1", (0.0, 1.0)),
    "calcium_pump": _new(0.1238, "pA/pF", (0.0, 5.0)),
    "calcium_pump_constant": _kept(0.0005, "mmol/L", (1e-5, 0.01)),
    "plateau_potassium_conductance": _kept(0.0146, "nS/pF", (0.0, 1.0)),
    "background_calcium_conductance": _kept(0.000592, "nS/pF", (0.0, 0.1)),
    "background_sodium_conductance": _kept(0.00029, "nS/pF", (0.0, 0.1)),
    "slow_potassium_sodium_share": _kept(0.03, "1", (0.0, 1.0)),
    "outer_calcium": _kept(2.0, "mmol/L", (0.1, 10.0)),
    "outer_sodium": _kept(140.0, "mmol/L", (50.0, 200.0)),
    "outer_potassium": _kept(5.4, "mmol/L", (1.0, 20.0)),
    "release_rate": _new(0.102, "1/ms", (0.0, 5.0)),
    "release_opening": _new(0.15, "L^2/mmol^2/ms", (0.0, 5.0)),
    "release_inactivation": _new(0.045, "L/mmol/ms", (0.0, 5.0)),
    "release_closing": _new(0.06, "1/ms", (1e-4, 5.0)),
    "release_recovery": _new(0.005, "1/ms", (1e-5, 1.0)),
    "release_largest_factor": _new(2.5, "1", (1.0, 10.0)),
    "release_smallest_factor": _new(1.0, "1", (0.1, 10.0)),
    "release_half_store": _new(1.5, "mmol/L", (0.1, 10.0)),
    "leak_rate": _new(0.00036, "1/ms", (0.0, 0.1)),
    "uptake": _new(0.006375, "mmol/L/ms", (0.0, 0.1)),
    "uptake_constant": _kept(0.00025, "mmol/L", (1e-5, 0.01)),
    "transfer_rate": _new(0.0038, "1/ms", (0.0, 0.1)),
    "cytosol_buffer": _new(0.2, "mmol/L", (0.0, 5.0)),
    "cytosol_buffer_constant": _kept(0.001, "mmol/L", (1e-5, 0.1)),
    "store_buffer": _kept(10.0, "mmol/L", (0.0, 100.0)),
    "store_buffer_constant": _kept(0.3, "mmol/L", (1e-3, 10.0)),
    "subspace_buffer": _new(0.4, "mmol/L", (0.0, 5.0)),
    "subspace_buffer_constant": _new(0.00025, "mmol/L", (1e-5, 0.1)),
    "cytosol_volume": _kept(16404.0, "um^3", (1e3, 1e5)),
    "store_volume": _kept(1094.0, "um^3", (10.0, 1e4)),
    "subspace_volume": _new(54.68, "um^3", (1.0, 1e3)),
    "capacitance": _kept(185.0, "pF", (10.0, 1e3)),
    "temperature": _kept(310.0, "K", (280.0, 320.0)),
}

TEN_TUSSCHER_2006_EPI = ParameterSet("TenTusscher2006Epicardial", **_COMMON)
TEN_TUSSCHER_2006_MID = ParameterSet(
    "TenTusscher2006MidMyocardial", **_COMMON | {"slow_potassium_conductance": _new(0.098, "nS/pF", (0.0, 5.0))}
)
TEN_TUSSCHER_2006_ENDO = ParameterSet(
    "TenTusscher2006Endocardial", **_COMMON | {"transient_outward_conductance": _kept(0.073, "nS/pF", (0.0, 5.0))}
)

STATE_NAMES = (
    "voltage",
    "cytosol_calcium",
    "store_calcium",
    "subspace_calcium",
    "inner_sodium",
    "inner_potassium",
    "m",
    "h",
    "j",
    "xr1",
    "xr2",
    "xs",
    "r",
    "s",
    "d",
    "f",
    "f2",
    "fcass",
    "release_available",
)
"""Components of the state; the last thirteen are gates. ``release_available`` is $\\bar R$ of the paper."""

RESTING_STATES = {
    "epi": (
        *(-85.23, 0.000126, 3.64, 0.00036, 8.604, 136.89),
        *(0.00172, 0.7444, 0.7045, 0.00621, 0.4712, 0.0095, 2.42e-8, 0.999998, 3.373e-5, 0.7888, 0.9755, 0.9953, 0.9073),
    ),
    "mid": (
        *(-85.423, 0.000153, 4.272, 0.00042, 10.132, 138.52),
        *(0.00165, 0.749, 0.6788, 0.0165, 0.473, 0.0174, 2.347e-8, 0.999998, 3.288e-5, 0.7026, 0.9526, 0.9942, 0.8978),
    ),
    "endo": (
        *(-86.709, 0.00013, 3.715, 0.00036, 10.355, 138.4),
        *(0.00155, 0.7573, 0.7225, 0.00448, 0.476, 0.0087, 2.235e-8, 0.3212, 3.164e-5, 0.8009, 0.9778, 0.9953, 0.9068),
    ),
}
"""States in the order of :data:`STATE_NAMES`, of the authors' code and the CellML version; the one of ``epi`` also starts Niederer 2011."""
