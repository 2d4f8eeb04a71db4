"""Closed loop of the circulation: times real time for one patient and for a batch, error beside it, svZeroDSolver in the same run."""

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """The same four chambers, valves and vessels for all (Regazzoni 2022, 75 beats a minute)."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""

    steps: int = 200
    """Steps per beat, ours and svZeroDSolver's."""

    beats: int = 50
    """Beats of one patient; a batch runs a fifth of them."""

    batch: int = 1000
    """Patients of the batch, their arterial resistances spread by a quarter."""

    repeats: int = 5
    """Timed runs of each program, after one that does not count."""

    peers: bool = True
    """Run svZeroDSolver, where it is installed."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, with the unit in each name; measured in a fresh process."""
    if min(config.repeats, config.batch) < 1 or config.steps < 50 or config.beats < 5:
        raise InputError(
            got=f"repeats {config.repeats}, batch {config.batch}, steps {config.steps}, beats {config.beats}",
            expected="at least 1, 1, 50 and 5",
            do="raise them",
        )
    return measure_in_fresh_process("benchmarks.closed_loop", config)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process."""
    import jax.numpy as jnp
    import numpy as np

    from benchmarks._measure import compiled, warm
    from physics.closed_loop import closed_loop, filled, periodic_beat, regazzoni_values
    from physics.compartments import StaggeredLoop
    from solvers import simulate, time_mesh

    values = regazzoni_values()
    period = values["period"]

    def program(count: int) -> Any:
        onsets = jnp.arange(count + 1) * period
        mesh = time_mesh(0.0, [float(count)], 1.0 / config.steps)
        return lambda loop, state: simulate(StaggeredLoop(loop, onsets), state, mesh).final

    one = closed_loop(values)
    single, single_compile = compiled(program(config.beats), one, filled(one, values["blood_volume"]))
    one_time = warm(single, one, filled(one, values["blood_volume"]), repeats=config.repeats)

    spread = 1 + 0.25 * np.random.default_rng(0).uniform(-1, 1, config.batch)
    each = {name: jnp.full(config.batch, value) for name, value in values.items()}
    many = closed_loop(each | {"systemic_arteries_resistance": values["systemic_arteries_resistance"] * jnp.asarray(spread)})
    start = filled(many, each["blood_volume"])
    fewer = max(1, config.beats // 5)
    batched, batch_compile = compiled(program(fewer), many, start)
    many_time = warm(batched, many, start, repeats=config.repeats)

    def periodic(count: int) -> Any:
        return lambda loop: periodic_beat(loop, filled(loop, values["blood_volume"]), period, count).pressures

    beat, periodic_compile = compiled(periodic(config.steps), one)
    beat_time = warm(beat, one, repeats=config.repeats)
    fine, _ = compiled(periodic(config.steps * 8), one)
    error = float(jnp.sqrt(jnp.mean((beat(one) - fine(one)[::8]) ** 2)))
    numbers = {
        "patient_times_real_time": config.beats * period / one_time.minimum,
        "patient_step_us": 1e6 * one_time.minimum / config.beats / config.steps,
        "batch_times_real_time": config.batch * fewer * period / many_time.minimum,
        "batch_step_per_patient_ns": 1e9 * many_time.minimum / fewer / config.steps / config.batch,
        "periodic_beat_seconds": beat_time.minimum,
        "pressure_error_rms_mmhg": error,
        "patient_compile_seconds": single_compile,
        "batch_compile_seconds": batch_compile,
        "periodic_compile_seconds": periodic_compile,
    }
    theirs = _svzerod(config, values) if config.peers else None
    if theirs is None:
        return numbers
    ratio = numbers["patient_times_real_time"] / theirs
    return numbers | {"svzerod_times_real_time": theirs, "patient_speed_ratio_to_svzerod": ratio}


def svzerod_case(values: dict[str, float], steps: int, beats: int) -> dict[str, Any]:
    """The loop as svZeroDSolver's input: its chambers and vessels, its piecewise valves, in mmHg, mL and s."""
    from physics.closed_loop import RING, VALVES

    period = values["period"]
    case: dict[str, Any] = {
        "simulation_parameters": {
            "number_of_cardiac_cycles": beats, "number_of_time_pts_per_cardiac_cycle": steps + 1, "cardiac_period": period,
            "output_variable_based": True, "steady_initial": False, "absolute_tolerance": 1e-6,
        },
        "boundary_conditions": [], "vessels": [], "junctions": [], "valves": [], "chambers": [],
        "initial_condition": {"pressure_all": 20.0},
    }  # fmt: skip
    for number, name in enumerate(RING):
        after = RING[(number + 1) % len(RING)]
        if name in VALVES:
            start, rise, fall = (values[f"{name}_{key}"] * period for key in ("contraction_start", "contraction_time", "relaxation_time"))
            shape = {"contract_start": start, "relax_start": start + rise, "contract_duration": rise, "relax_duration": fall}
            elastance = {"Emax": values[f"{name}_active_elastance"], "Epass": values[f"{name}_passive_elastance"]}
            case["chambers"].append({
                "type": "LinearElastanceChamber", "name": name, "values": elastance | {"Vrest": values[f"{name}_rest_volume"]},
                "activation_function": {"type": "piecewise_cosine"} | shape,
            })  # fmt: skip
            case["initial_condition"][f"Vc:{name}"] = 100.0
            ends = {"upstream_block": name, "downstream_block": after}
            resistances = {"Rmin": values["valve_open_resistance"], "Rmax": values["valve_closed_resistance"]}
            case["valves"].append({"type": "PiecewiseValve", "name": VALVES[name], "params": resistances | ends})
        else:
            given = {"R_poiseuille": "resistance", "C": "compliance", "L": "inertance"}
            numbers = {key: values[f"{name}_{what}"] for key, what in given.items()}
            kind = {"vessel_id": number, "vessel_name": name, "zero_d_element_type": "BloodVesselCRL"}
            case["vessels"].append(kind | {"zero_d_element_values": numbers})
            side = "vessels" if after not in VALVES else "blocks"
            inlet, outlet = (number, (number + 1) % len(RING)) if side == "vessels" else (name, after)
            link = {"junction_name": f"J{number}", "junction_type": "NORMAL_JUNCTION"}
            case["junctions"].append(link | {f"inlet_{side}": [inlet], f"outlet_{side}": [outlet]})
    return case


def _svzerod(config: Config, values: dict[str, float]) -> float | None:
    import sys
    import time

    try:
        import svzerod
    except ImportError:
        print("peer: svzerod is not installed; it comes with the extra dev", file=sys.stderr)
        return None
    seconds = []
    try:
        for _ in range(config.repeats + 1):
            solver = svzerod.Solver(svzerod_case(values, config.steps, config.beats))
            start = time.perf_counter()
            solver.run()
            seconds.append(time.perf_counter() - start)
    except RuntimeError as error:
        print(f"peer: svzerod stopped: {error}", file=sys.stderr)
        return None
    return config.beats * values["period"] / min(seconds[1:])
