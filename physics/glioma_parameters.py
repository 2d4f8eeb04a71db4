"""Published values for glioma, one set per paper."""

from physics.parameters import Parameter, ParameterSet

SWANSON_2000 = ParameterSet(
    "Swanson2000",
    diffusivity_grey=Parameter(0.13, "mm^2/day", (0.0, 10.0), "Swanson, Alvord, Murray 2000, Cell Prolif. 33:317, high grade"),
    diffusivity_white=Parameter(0.65, "mm^2/day", (0.0, 10.0), "same: five times the value in grey matter"),
    proliferation=Parameter(0.012, "1/day", (0.0, 1.0), "same: high grade, doubling in 60 days"),
)

PEDICINI_2014 = ParameterSet(
    "Pedicini2014",
    radiosensitivity=Parameter(0.12, "1/Gy", (0.0, 1.0), "Pedicini 2014, Strahlenther. Onkol., abstract: 0.10 to 0.14"),
    alpha_beta_ratio=Parameter(8.0, "Gy", (0.5, 50.0), "same: 5.0 to 10.8"),
)

BAKER_1999 = ParameterSet(
    "Baker1999",
    elimination=Parameter(9.242, "1/day", (0.1, 100.0), "temozolomide half-life 1.8 h: Baker 1999, Clin. Cancer Res. 5:309"),
)
"""Elimination of temozolomide; the half-life of 1.8 h is confirmed by a phase I study (Pharmacotherapy 2004, 24:16)."""
