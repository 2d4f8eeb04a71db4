"""Stiffness of plaque tissues, and the published thresholds of stress and shear, each with its spread and source."""

from physics.parameters import Parameter, ParameterSet

_CITED = "as it is commonly cited; not read in print"

PLAQUE_TISSUE = ParameterSet(
    "PlaqueTissue",
    fibrous=Parameter(600.0, "kPa", (1.0, 1e5), f"Young's modulus of fibrous tissue in models of Ohayon and Finet, {_CITED}"),
    fibrous_spread=Parameter(
        2.0, "1", (1.0, 10.0),
        "factor of one standard deviation: between Barrett 2009 (J Biomech 42:1650, abstract: shear modulus 7 to 100 kPa, indented) "
        f"and Loree 1994 (J Biomech 27:195: 927 kPa cellular, 2312 kPa hypocellular, in tension, {_CITED})",
    ),
    lipid=Parameter(1.0, "kPa", (1e-3, 1e4), f"Young's modulus of the core in models of Ohayon and Finet, {_CITED}"),
    lipid_spread=Parameter(3.0, "1", (1.0, 100.0), "factor of one standard deviation; an assumption: published are 1 to 200 kPa"),
    calcium=Parameter(10_000.0, "kPa", (1.0, 1e8), f"Lee 1991 (Circulation 83:1764) for calcified caps, {_CITED}"),
    bulk=Parameter(20_000.0, "kPa", (100.0, 1e7), "far above all shear moduli of soft tissue: a numerical value"),
    support=Parameter(0.1, "kPa/mm", (0.0, 1e4), "keeps the section in place; the peak stress hardly depends on it"),
)  # fmt: skip

PLAQUE_THRESHOLDS = ParameterSet(
    "PlaqueThresholds",
    cap_stress=Parameter(
        300.0, "kPa", (1.0, 1e5), f"Loree 1992 (Circ Res 71:850), Cheng 1993 (Circulation 87:1179), {_CITED}; Huang 2014 (J Biomech "
        "47:432, abstract) found 266 kPa in those who died of coronary disease, 137 kPa in others",
    ),
    cap_thickness=Parameter(0.065, "mm", (1e-3, 10.0), f"thin cap: Burke 1997 (N Engl J Med 336:1276), {_CITED}"),
    low_shear=Parameter(
        1.0, "Pa", (1e-3, 100.0), "low against intermediate: Siasos 2018 (JACC Cardiovasc Interv, 10.1016/j.jcin.2018.07.004, abstract); "
        f"progression: Stone 2012 (PREDICTION, Circulation 126:172), Samady 2011 (Circulation 124:779), {_CITED}",
    ),
    oscillatory=Parameter(0.2, "1", (0.0, 0.5), "an assumption: Timmins 2017 (J R Soc Interface 14:20160972) ranks, without a threshold"),
    high_shear=Parameter(
        4.71, "Pa", (1e-2, 1e3), "of the proximal part: Kumar 2018 (J Am Coll Cardiol 72:1926, abstract: hazard 1.23 per unit where "
        f"the reserve is low; the number, {_CITED})",
    ),
)  # fmt: skip
