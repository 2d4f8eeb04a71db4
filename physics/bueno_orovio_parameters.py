"""Parameters of the minimal human ventricular cell of Bueno-Orovio, Cherry and Fenton (2008)."""

from physics.parameters import Parameter, ParameterSet

# The values of two public programs, which agree with each other. The CellML version follows the first author's thesis of 2007 and has
# 0.024 and 0.104 in the endocardial cell where the paper has 0.2 (inactivation_level) and 0.1 (fast_inward_constant).
_PAPER = "Bueno-Orovio, Cherry and Fenton 2008, J Theor Biol 253, 544, table 1, as in public programs; not read in print"

# Unit, and the values of epicardium, mid-myocardium, endocardium and the set that follows the cell of ten Tusscher et al. (2004).
_TABLE: dict[str, tuple[str, tuple[float, float, float, float]]] = {
    "resting_level": ("1", (0.0, 0.0, 0.0, 0.0)),
    "upper_level": ("1", (1.55, 1.61, 1.56, 1.58)),
    "fast_level": ("1", (0.3, 0.3, 0.3, 0.3)),
    "slow_level": ("1", (0.13, 0.13, 0.13, 0.015)),
    "inactivation_level": ("1", (0.006, 0.1, 0.2, 0.015)),
    "outward_level": ("1", (0.006, 0.005, 0.006, 0.006)),
    "fast_recovery_low": ("ms", (60.0, 80.0, 75.0, 60.0)),
    "fast_recovery_high": ("ms", (1150.0, 1.4506, 10.0, 1150.0)),
    "fast_closing": ("ms", (1.4506, 1.4506, 1.4506, 1.4506)),
    "slow_recovery_low": ("ms", (60.0, 70.0, 6.0, 70.0)),
    "slow_recovery_high": ("ms", (15.0, 8.0, 140.0, 20.0)),
    "slow_recovery_steepness": ("1", (65.0, 200.0, 200.0, 65.0)),
    "slow_recovery_centre": ("1", (0.03, 0.016, 0.016, 0.03)),
    "slow_closing": ("ms", (200.0, 280.0, 280.0, 280.0)),
    "fast_inward_constant": ("ms", (0.11, 0.078, 0.1, 0.11)),
    "outward_low": ("ms", (400.0, 410.0, 470.0, 6.0)),
    "outward_high": ("ms", (6.0, 7.0, 6.0, 6.0)),
    "plateau_outward_low": ("ms", (30.0181, 91.0, 40.0, 43.0)),
    "plateau_outward_high": ("ms", (0.9957, 0.8, 1.2, 0.2)),
    "plateau_outward_steepness": ("1", (2.0458, 2.1, 2.0, 2.0)),
    "plateau_outward_centre": ("1", (0.65, 0.6, 0.65, 0.65)),
    "activation_low": ("ms", (2.7342, 2.7342, 2.7342, 2.7342)),
    "activation_high": ("ms", (16.0, 4.0, 2.0, 3.0)),
    "activation_steepness": ("1", (2.0994, 2.0994, 2.0994, 2.0994)),
    "activation_centre": ("1", (0.9087, 0.9087, 0.9087, 0.9087)),
    "slow_inward_constant": ("ms", (1.8875, 3.3849, 2.9013, 2.8723)),
    "slow_steady_slope": ("1", (0.07, 0.01, 0.0273, 0.07)),
    "slow_steady_high": ("1", (0.94, 0.5, 0.78, 0.94)),
}


def _layer(name: str, column: int) -> ParameterSet:
    """One column of the table, and what turns the voltage into millivolts."""
    values = {key: Parameter(row[column], unit, (0.0, 10 * row[column] + 1), _PAPER) for key, (unit, row) in _TABLE.items()}
    values["resting_mv"] = Parameter(-84.0, "mV", (-120.0, 0.0), f"{_PAPER}: V = 85.7 u - 84")
    values["amplitude_mv"] = Parameter(85.7, "mV", (10.0, 200.0), f"{_PAPER}: V = 85.7 u - 84")
    return ParameterSet(name, **values)


BUENO_OROVIO_2008_EPI = _layer("BuenoOrovio2008Epicardial", 0)
BUENO_OROVIO_2008_MID = _layer("BuenoOrovio2008MidMyocardial", 1)
BUENO_OROVIO_2008_ENDO = _layer("BuenoOrovio2008Endocardial", 2)
BUENO_OROVIO_2008_TNNP = _layer("BuenoOrovio2008TenTusscher", 3)
