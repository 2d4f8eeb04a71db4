"""What tests/versus/make_cells.py needs to know about each model: its file, its names in our order, what is set, and random states."""

from dataclasses import dataclass, field

Range = tuple[str, float, float]  # kind (uniform or log), lowest, highest


@dataclass(frozen=True)
class Oracle:
    """One model as another program has it.

    Args:
        source: Where its file comes from, with the path there.
        components: Names of the components in the order of our state.
        ranges: How each component is drawn at random.
        stimulus: Name of the stimulus current, which is taken to be negative where it depolarises.
        layers: By layer, what is set before: a number, or a formula in the syntax of the model file.
        amplitude: Millivolts per unit of the model's voltage.
        offset: Millivolts where that voltage is 0.
        seed: Of the random states.
        states: How many.
        start: Initial values other than the file's.
        measured: Beats that are measured.
    """

    source: str
    components: tuple[str, ...]
    ranges: tuple[Range, ...]
    stimulus: str
    layers: dict[str, dict[str, str | float]]
    amplitude: float = 1.0
    offset: float = 0.0
    seed: int = 0
    states: int = 40
    start: dict[str, float] = field(default_factory=dict)
    measured: tuple[int, ...] = (1, 2, 100)


VOLTAGE: Range = ("uniform", -100.0, 60.0)
GATE: Range = ("uniform", 0.0, 1.0)

TEN_TUSSCHER_2006 = Oracle(
    source="github.com/myokit/models, c/tentusscher-2006.mmt",
    components=(
        *("membrane.V", "calcium.Cai", "calcium.CaSR", "calcium.CaSS", "sodium.Nai", "potassium.Ki"),
        *("ina.m", "ina.h", "ina.j", "ikr.xr1", "ikr.xr2", "iks.xs", "ito.r", "ito.s"),
        *("ical.d", "ical.f", "ical.f2", "ical.fCaSS", "jrel.R"),
    ),
    ranges=(
        VOLTAGE,
        *(("log", 2e-5, 2e-3), ("log", 0.1, 6.0), ("log", 5e-5, 0.5), ("log", 4.0, 16.0), ("log", 110.0, 150.0)),
        *[GATE] * 13,
    ),
    stimulus="stimulus.i_stim",
    layers={"endo": {"cell.type": 0}, "epi": {"cell.type": 1}, "mid": {"cell.type": 2}},
    seed=2006,
)

_V, _W, _S = "fast_inward_current_v_gate", "slow_inward_current_w_gate", "slow_inward_current_s_gate"
# Names of the CellML version in the order of physics/bueno_orovio_parameters.py without the first, which is 0.
_BUENO_OROVIO_NAMES = (
    *("fast_inward_current.u_u", "m.u_m", "p.u_p", "q.u_q", "r.u_r"),
    *(f"{_V}.tau_v1_minus", f"{_V}.tau_v2_minus", f"{_V}.tau_v_plus"),
    *(f"{_W}.tau_w1_minus", f"{_W}.tau_w2_minus", f"{_W}.k_w_minus", f"{_W}.u_w_minus", f"{_W}.tau_w_plus"),
    "fast_inward_current.tau_fi",
    *(f"slow_outward_current.{name}" for name in ("tau_o1", "tau_o2", "tau_so1", "tau_so2", "k_so", "u_so")),
    *(f"{_S}.tau_s1", f"{_S}.tau_s2", f"{_S}.k_s", f"{_S}.u_s"),
    *("slow_inward_current.tau_si", f"{_W}.tau_winf", f"{_W}.wstar_inf"),
)
_BUENO_OROVIO_VALUES = {
    "epi": (
        *(1.55, 0.3, 0.13, 0.006, 0.006, 60, 1150, 1.4506, 60, 15, 65, 0.03, 200, 0.11, 400, 6, 30.0181, 0.9957, 2.0458, 0.65),
        *(2.7342, 16, 2.0994, 0.9087, 1.8875, 0.07, 0.94),
    ),
    "mid": (
        *(1.61, 0.3, 0.13, 0.1, 0.005, 80, 1.4506, 1.4506, 70, 8, 200, 0.016, 280, 0.078, 410, 7, 91, 0.8, 2.1, 0.6),
        *(2.7342, 4, 2.0994, 0.9087, 3.3849, 0.01, 0.5),
    ),
    "endo": (
        *(1.56, 0.3, 0.13, 0.2, 0.006, 75, 10, 1.4506, 6, 140, 200, 0.016, 280, 0.1, 470, 6, 40, 1.2, 2, 0.65),
        *(2.7342, 2, 2.0994, 0.9087, 2.9013, 0.0273, 0.78),
    ),
}
# The paper switches w where u passes theta_w; the file, which follows the thesis of 2007, at theta_o.
_SWITCH = {f"{_W}.w": "(1 - p.p) * (w_inf - w) / tau_w_minus - p.p * w / tau_w_plus"}

BUENO_OROVIO_2008 = Oracle(
    source="github.com/Chaste/cellml, cellml/bueno_2007_epi.cellml, with the paper's values and its switch of w",
    components=("membrane.V", f"{_V}.v", f"{_W}.w", f"{_S}.s"),
    ranges=(("uniform", -0.1, 1.6), GATE, GATE, GATE),
    stimulus="membrane.i_stim",
    layers={layer: dict(zip(_BUENO_OROVIO_NAMES, row, strict=True)) | _SWITCH for layer, row in _BUENO_OROVIO_VALUES.items()},
    amplitude=85.7,
    offset=-84.0,
    seed=2008,
)

COURTEMANCHE_1998 = Oracle(
    source="github.com/myokit/models, c/courtemanche-1998.mmt",
    components=(
        *("membrane.V", "sodium.Nai", "potassium.Ki", "calcium.Cai", "calcium.CaUp", "calcium.CaRel"),
        *("ina.m", "ina.h", "ina.j", "ito.oa", "ito.oi", "ikur.ua", "ikur.ui", "ikr.xr", "iks.xs", "ical.d", "ical.f", "ical.fCa"),
        *("cajsr.u", "cajsr.v", "cajsr.w"),
    ),
    ranges=(
        VOLTAGE,
        *(("log", 5.0, 20.0), ("log", 110.0, 150.0), ("log", 2e-5, 2e-3), ("log", 0.1, 3.0), ("log", 0.1, 3.0)),
        *[GATE] * 12,
        # Small gates of release bring F_n near its thresholds, where u and v switch.
        *(("log", 1e-6, 1e-2), GATE, GATE),
    ),
    stimulus="stimulus.I_stim",
    layers={"": {}},
    start={"cajsr.u": 0.0},
    seed=1998,
)

_POOLS = (
    *("membrane.V", "sodium.Na_i", "sodium.Na_ss", "potassium.K_i", "potassium.K_ss", "calcium.Ca_i", "calcium.Ca_ss"),
    *("calcium.Ca_nsr", "calcium.Ca_jsr", "camk.CaMK_trapped"),
)
_SHARED = (
    *("ina.m", "ina.hf", "ina.hs", "ina.j", "ina.hsp", "ina.jp", "inal.m", "inal.h", "inal.hp"),
    *("ito.a", "ito.if", "ito.is", "ito.ap", "ito.ifp", "ito.isp"),
    *("ical.d", "ical.ff", "ical.fs", "ical.fcaf", "ical.fcas", "ical.jca", "ical.nca", "ical.ffp", "ical.fcafp"),
    *("iks.x1", "iks.x2", "ik1.x", "ryr.Jrelnp", "ryr.Jrelp"),
)
_POOL_RANGES: tuple[Range, ...] = (
    *(VOLTAGE, ("log", 4.0, 16.0), ("log", 4.0, 16.0), ("log", 110.0, 150.0), ("log", 110.0, 150.0)),
    *(("log", 2e-5, 2e-3), ("log", 5e-5, 0.5), ("log", 0.1, 6.0), ("log", 0.1, 6.0), GATE),
)
_RELEASE: Range = ("log", 1e-7, 0.1)
_LAYERS: dict[str, dict[str, str | float]] = {"endo": {"cell.mode": 0}, "epi": {"cell.mode": 1}, "mid": {"cell.mode": 2}}

OHARA_RUDY_2011 = Oracle(
    source="github.com/myokit/models, c/ohara-2011.mmt",
    components=(*_POOLS, "ikr.xf", "ikr.xs", *_SHARED),
    ranges=(*_POOL_RANGES, *[GATE] * 29, _RELEASE, _RELEASE),
    stimulus="stimulus.i_stim",
    layers=_LAYERS,
    seed=2011,
)

_DRUG = {"ikr.Kt": 3.5e-5, "ikr.Kmax": 35.1, "ikr.Ku": 1.816e-5, "ikr.n": 1.08, "ikr.halfmax": 216.6, "ikr.Vhalf": -1.0, "ikr.D": 6.0}

OHARA_RUDY_CIPA_2017 = Oracle(
    source="github.com/myokit/models, c/ohara-cipa-v1-2017.mmt; the last layer with the binding of 6 nmol/L dofetilide",
    components=(
        *_POOLS,
        *("ikr.IC1", "ikr.C1", "ikr.Cbound", "ikr.Obound", "ikr.IObound", "ikr.IC2", "ikr.C2", "ikr.O", "ikr.IO"),
        *_SHARED,
    ),
    ranges=(*_POOL_RANGES, *[GATE] * 36, _RELEASE, _RELEASE),
    stimulus="stimulus.i_stim",
    layers=_LAYERS | {"endo_dofetilide": {"cell.mode": 0} | _DRUG},
    seed=2017,
)

TOR_ORD_2019 = Oracle(
    source="github.com/myokit/models, c/tomek-2020.mmt, whose start has lost an e in inal.m",
    components=(
        *(*_POOLS, "chloride.Cl_i", "chloride.Cl_ss"),
        *("ikr.C3", "ikr.C2", "ikr.C1", "ikr.O", "ikr.I"),
        *("ina.m", "ina.h", "ina.j", "ina.hp", "ina.jp", "inal.m", "inal.h", "inal.hp"),
        *("ito.a", "ito.if", "ito.is", "ito.ap", "ito.ifp", "ito.isp"),
        *("ical.d", "ical.ff", "ical.fs", "ical.fcaf", "ical.fcas", "ical.jca", "ical.nca_i", "ical.nca_ss", "ical.ffp", "ical.fcafp"),
        *("iks.x1", "iks.x2", "ryr.Jrelnp", "ryr.Jrelp"),
    ),
    ranges=(*_POOL_RANGES, ("log", 15.0, 60.0), ("log", 15.0, 60.0), *[GATE] * 31, _RELEASE, _RELEASE),
    stimulus="stimulus.i_stim",
    layers=_LAYERS,
    start={"inal.m": 1.351203e-4},
    measured=(1, 2, 20),
    seed=2019,
)

ORACLES = {
    "tor_ord_2019": TOR_ORD_2019,
    "ohara_rudy_cipa_2017": OHARA_RUDY_CIPA_2017,
    "ohara_rudy_2011": OHARA_RUDY_2011,
    "ten_tusscher_2006": TEN_TUSSCHER_2006,
    "bueno_orovio_2008": BUENO_OROVIO_2008,
    "courtemanche_1998": COURTEMANCHE_1998,
}
