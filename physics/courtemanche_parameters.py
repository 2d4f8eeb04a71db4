"""Parameters and resting state of the human atrial cell of Courtemanche, Ramirez and Nattel (1998)."""

from physics.parameters import Parameter, ParameterSet

# Some values of the CellML version have more digits than the paper; those are used here.
_PAPER = "Courtemanche, Ramirez and Nattel 1998, Am J Physiol Heart Circ Physiol 275, H301, as in its CellML version; not read in print"


def _read(value: float, unit: str, low: float = 0.0) -> Parameter:
    return Parameter(value, unit, (low, 10 * value), _PAPER)


COURTEMANCHE_1998 = ParameterSet(
    "Courtemanche1998",
    sodium_conductance=_read(7.8, "nS/pF"),
    inward_rectifier_conductance=_read(0.09, "nS/pF"),
    transient_outward_conductance=_read(0.1652, "nS/pF"),
    ultrarapid_potassium_conductance=_read(0.005, "nS/pF"),
    rapid_potassium_conductance=_read(0.029411765, "nS/pF"),
    slow_potassium_conductance=_read(0.12941176, "nS/pF"),
    calcium_conductance=_read(0.12375, "nS/pF"),
    calcium_reversal=_read(65.0, "mV"),
    background_calcium_conductance=_read(0.001131, "nS/pF"),
    background_sodium_conductance=_read(0.0006744375, "nS/pF"),
    sodium_potassium_pump=_read(0.59933874, "pA/pF"),
    pump_sodium_constant=_read(10.0, "mmol/L"),
    pump_potassium_constant=_read(1.5, "mmol/L"),
    exchanger=_read(1600.0, "pA/pF"),
    exchanger_sodium_constant=_read(87.5, "mmol/L"),
    exchanger_calcium_constant=_read(1.38, "mmol/L"),
    exchanger_saturation=_read(0.1, "1"),
    exchanger_voltage_share=_read(0.35, "1"),
    calcium_pump=_read(0.275, "pA/pF"),
    calcium_pump_constant=_read(0.0005, "mmol/L"),
    release_rate=_read(30.0, "1/ms"),
    transfer_constant=_read(180.0, "ms", 1.0),
    uptake=_read(0.005, "mmol/L/ms"),
    uptake_constant=_read(0.00092, "mmol/L"),
    uptake_store_capacity=_read(15.0, "mmol/L", 1.0),
    calmodulin=_read(0.05, "mmol/L"),
    calmodulin_constant=_read(0.00238, "mmol/L"),
    troponin=_read(0.07, "mmol/L"),
    troponin_constant=_read(0.0005, "mmol/L"),
    calsequestrin=_read(10.0, "mmol/L"),
    calsequestrin_constant=_read(0.8, "mmol/L"),
    outer_sodium=_read(140.0, "mmol/L", 50.0),
    outer_potassium=_read(5.4, "mmol/L", 1.0),
    outer_calcium=_read(1.8, "mmol/L", 0.1),
    cell_volume=_read(20100.0, "um^3", 1e3),
    capacitance=_read(100.0, "pF", 10.0),
    temperature=Parameter(310.0, "K", (280.0, 320.0), _PAPER),
    acceleration=_read(3.0, "1"),
)
"""``acceleration`` is the factor by which the gates of Ito and IKur are faster than measured at room temperature, K_Q10 of the paper."""

COURTEMANCHE_NAMES = (
    *("voltage", "inner_sodium", "inner_potassium", "cytosol_calcium", "uptake_calcium", "release_calcium"),
    *("m", "h", "j", "oa", "oi", "ua", "ui", "xr", "xs", "d", "f", "fca", "u", "v", "w"),
)
"""Components of the state; the last fifteen are gates. u, v and w gate the release of calcium."""

COURTEMANCHE_REST = (
    *(-81.9463303822041098, 13.8169746305367962, 136.355229902154434, 1.23092247890489894e-4, 1.54668119199095355, 1.07650740580354909),
    *(2.56385228666526068e-3, 0.970298907063270155, 0.981123905023234988, 0.0291755626557170314, 0.999342865333055497),
    *(4.58838038240151104e-3, 0.991468962753066063, 8.33819909884048389e-4, 0.0186683180787284714, 1.24231529593716656e-4),
    *(0.951907788168154578, 0.739682838459564729, 0.0, 1.0, 0.999233799248152699),
)
"""The state that the public version starts from, at rest after pacing."""
