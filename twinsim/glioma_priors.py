"""Priors of the glioma twin, each with its source."""

from twinsim.prior import Prior

SEED_SPREAD_MM = 6.0

TISSUE_PRIORS = (
    Prior("diffusivity_white", "mm^2/day", 0.15, 0.8, "log", "between Swanson 2000 (0.65) and later cohorts near 0.03 to 0.1"),
    Prior("proliferation", "1/day", 0.025, 0.7, "log", "Swanson 2000: 0.012; cohort values reach 0.1 (Rockne 2010)"),
    Prior("radiosensitivity", "1/Gy", 0.05, 0.6, "log", "Rockne 2010: 0.01 to 0.1 from images; Pedicini 2014: 0.12 from control"),
    Prior("drug_sensitivity", "m^2/mg/day", 1.8e-3, 0.7, "log", "assumed: a dose of 75 mg/m^2 kills 1.5 %; no image-based value was found"),
    Prior("seed_x", "mm", 0.0, SEED_SPREAD_MM, "identity", "about the centre of the first scan's lesion"),
    Prior("seed_y", "mm", 0.0, SEED_SPREAD_MM, "identity", "about the centre of the first scan's lesion"),
    Prior("seed_z", "mm", 0.0, SEED_SPREAD_MM, "identity", "about the centre of the first scan's lesion"),
    Prior("initial_burden", "mm^3", 5.0, 2.6, "log", "wide: a young tumour that no scan saw", convention=True),
    Prior("growth_time", "day", 180.0, 0.8, "log", "wide: from that young tumour to the first scan, 48 to 671 days", convention=True),
)

IMAGING_PRIORS = (
    Prior(
        "threshold_core",
        "1",
        0.80,
        0.25,
        "logit",
        "contrast enhancement at 80 % of capacity: Swanson 2008, Br. J. Cancer 98:113",
        convention=True,
    ),
    Prior("threshold_oedema", "1", 0.16, 0.25, "logit", "T2 or FLAIR abnormality at 16 % of capacity: same", convention=True),
)

GLIOMA_PRIORS = TISSUE_PRIORS + IMAGING_PRIORS
