"""Published values for drugs between capillaries and tumour cells, one set per drug: mm, s, umol/L, and hours in plasma."""

from physics.parameters import Parameter, ParameterSet

_CORD = "El-Kareh, Secomb 2000, Neoplasia 2, 325, and Eikenberry 2009, Theor Biol Med Model 6, 16, as a program quotes them"
_GABIZON = "Gabizon et al. 1994, Cancer Res 54, 987: 50 mg/m2 of free drug, as a review's table quotes it"

DOXORUBICIN = ParameterSet(
    "Doxorubicin",
    diffusivity=Parameter(1.17e-4, "mm^2/s", (1e-7, 1e-2), f"{_CORD}: 7000 um^2/min"),
    permeability=Parameter(2.67e-3, "mm/s", (1e-7, 1.0), f"{_CORD}: 160 um/min"),
    space=Parameter(0.4, "1", (0.01, 1.0), f"{_CORD}: interstitium"),
    on=Parameter(8.46e-3, "L/umol/s", (0.0, 1e3), f"{_CORD}: 0.28 ng/1e5 cells/min over 0.219 mg/L"),
    off=Parameter(3.41e-3, "1/s", (0.0, 1e3), f"{_CORD}: release 0.28/1.37 per min"),
    loss=Parameter(0.0, "1/s", (0.0, 1.0), "not lost within days"),
    sites=Parameter(25.2, "umol/L", (0.0, 1e5), f"{_CORD}: 1.37 ng/1e5 cells"),
    volume=Parameter(13.0, "L", (0.1, 1e4), f"{_CORD}: 1/A, A = 7.46e-2/L, and B below"),
    clearance=Parameter(25.3, "L/h", (0.0, 1e4), _GABIZON),
    peripheral=Parameter(293.0, "L", (0.1, 1e5), f"from half-lives of 4.3 min ({_CORD}) and 10.4 h ({_GABIZON})"),
    exchange=Parameter(96.9, "L/h", (0.0, 1e5), "same"),
    free=Parameter(0.25, "1", (0.0, 1.0), f"{_CORD}: three quarters are bound to albumin"),
    dose=Parameter(159.0, "umol", (0.0, 1e5), "50 mg/m2 of 543.5 g/mol at 1.73 m2"),
)
"""A small molecule that cells take up at once and hold. The source has carriers, which are sites here: with 1e9 cells/mL uptake is
0.213/s and release 0.00341/s where there is little drug, as there, and the greatest release as well."""

_THURBER = "Thurber, Schmidt, Wittrup 2008, Trends Pharmacol Sci 29, 57, and models after it"

ANTIBODY = ParameterSet(
    "Antibody",
    diffusivity=Parameter(1e-5, "mm^2/s", (1e-8, 1e-3), f"{_THURBER}: 10 um^2/s"),
    permeability=Parameter(3e-6, "mm/s", (1e-9, 1.0), f"{_THURBER}: 3e-7 cm/s"),
    space=Parameter(0.24, "1", (0.01, 1.0), f"{_THURBER}: void fraction"),
    on=Parameter(0.1, "L/umol/s", (0.0, 1e3), f"{_THURBER}: 1e5/M/s"),
    off=Parameter(1e-4, "1/s", (0.0, 1e3), "1 nM, as of a typical antibody"),
    loss=Parameter(1.3e-5, "1/s", (0.0, 1.0), "internalised with a half-life of 15 h, as of HER2; typical"),
    sites=Parameter(0.4, "umol/L", (0.0, 1e3), "8e5 sites per cell, 3e8 cells/mL (HER2 in models after Thurber)"),
    volume=Parameter(3.02, "L", (0.1, 1e3), "trastuzumab, summary of product characteristics"),
    clearance=Parameter(0.01, "L/h", (0.0, 1e3), "same: 0.241 L/day"),
    peripheral=Parameter(2.68, "L", (0.1, 1e3), "same"),
    exchange=Parameter(0.02, "L/h", (0.0, 1e3), "0.5 L/day, typical of antibodies"),
    free=Parameter(1.0, "1", (0.0, 1.0), "not bound in plasma"),
    dose=Parameter(1.9, "umol", (0.0, 1e3), "4 mg/kg of 145.5 kg/mol at 70 kg"),
)
"""An antibody against an antigen of the cells."""
