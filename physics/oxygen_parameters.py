"""Published values for oxygen and drugs between capillaries and tissue, one set per paper."""

from physics.parameters import Parameter, ParameterSet

_SECOMB = "Secomb, Hsu, Park, Dewhirst 2004, Ann Biomed Eng 32, 1519: input files that its authors publish with the method's program"

SECOMB_2004 = ParameterSet(
    "Secomb2004",
    krogh_diffusivity=Parameter(4.2e-8, "mm^2/s/mmHg", (1e-9, 1e-6), f"{_SECOMB}, tumour: 4.2e-10 cm^3 O2/cm/s/mmHg"),
    demand=Parameter(4e-4, "1/s", (0.0, 1e-2), "Secomb et al. 1995, Acta Oncol 34, 313, abstract: 2.4 cm^3 O2/100 g/min (mammary tumour)"),
    half_pressure=Parameter(1.0, "mmHg", (0.01, 30.0), f"{_SECOMB}, tumour: constant of Michaelis and Menten"),
    capillary_radius=Parameter(0.005, "mm", (0.001, 0.05), f"{_SECOMB}: row of 10 um in the table of resistances"),
    resistance=Parameter(1.27e6, "mmHg s/mm^2", (0.0, 1e8), f"{_SECOMB}: 1.27 mmHg um s/um^3 at 10 um"),
)
"""A tumour: oxygen per mL of tissue, resistance in the blood per length of vessel. Blood varies: 10 to 60 mmHg."""

SECOMB_BRAIN_2016 = ParameterSet(
    "SecombBrain2016",
    krogh_diffusivity=Parameter(6e-8, "mm^2/s/mmHg", (1e-9, 1e-6), f"{_SECOMB}, brain: 6e-10 cm^3 O2/cm/s/mmHg"),
    demand=Parameter(2.5e-3, "1/s", (0.0, 1e-2), f"{_SECOMB}, brain"),
    half_pressure=Parameter(10.5, "mmHg", (0.01, 30.0), f"{_SECOMB}, brain, changed in 2016 after Golub and Pittman"),
    capillary_radius=Parameter(0.0025, "mm", (0.001, 0.05), f"{_SECOMB}: row of 5 um in the table of resistances"),
    resistance=Parameter(2.0e6, "mmHg s/mm^2", (0.0, 1e8), f"{_SECOMB}: 2.00 mmHg um s/um^3 at 5 um"),
)

_MUSCLE = "Goldman, Popel 2000, J Theor Biol 206, 181, as later papers and programs quote it; not read in print"

GOLDMAN_POPEL_2000 = ParameterSet(
    "GoldmanPopel2000",
    krogh_diffusivity=Parameter(9.37e-8, "mm^2/s/mmHg", (1e-9, 1e-6), f"{_MUSCLE}: 2.41e-5 cm^2/s times 3.89e-5 mL O2/mL/mmHg"),
    demand=Parameter(1.57e-4, "1/s", (0.0, 1e-2), f"{_MUSCLE}: striated muscle of the hamster at rest"),
    half_pressure=Parameter(0.5, "mmHg", (0.01, 30.0), f"{_MUSCLE}: critical pressure"),
    capillary_radius=Parameter(0.0025, "mm", (0.001, 0.05), "row of 5 um in the table of resistances of Secomb et al. 2004"),
    resistance=Parameter(2.0e6, "mmHg s/mm^2", (0.0, 1e8), f"{_SECOMB}: 2.00 mmHg um s/um^3 at 5 um"),
)

DRUG_PR104 = ParameterSet(
    "DrugPR104",
    diffusivity=Parameter(4e-5, "mm^2/s", (1e-7, 1e-2), f"{_SECOMB}, drug PR-104, extracellular: 4.0e-7 cm^2/s"),
    uptake=Parameter(0.1, "1/s", (0.0, 10.0), f"{_SECOMB}, drug PR-104: forward constant of uptake by cells"),
    resistance=Parameter(1e5, "s/mm^2", (0.0, 1e9), f"{_SECOMB}, drug PR-104: 0.1 s/um^2 at 10 um"),
)

OXYGEN_EFFECT = ParameterSet(
    "OxygenEffect",
    greatest=Parameter(3.0, "1", (1.0, 5.0), "Alper, Howard-Flanders 1956, Nature 178, 978: form; 3 and 3 mmHg: custom, as in reviews"),
    half_pressure=Parameter(3.0, "mmHg", (0.1, 30.0), "same"),
)
"""Oxygen enhancement ratio $(mP+K)/(P+K)$ of radiation."""
