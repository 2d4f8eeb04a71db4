"""Latency of live assimilation: an update through the journal for every twin and method, and a served forecast; percentiles."""

import sys
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """A twin of glucose, real patients' calibrated twins of prostate-specific antigen, and a tumour on voxels."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float64"
    """Of the glucose and antigen twins, and of the voxel twin."""

    updates: int = 300
    """Readings per twin and method; of antigen at least so many, real ones, of as many patients as have them."""

    forecasts: int = 1000
    """Served forecasts per twin."""

    members: int = 100
    """Of the ensembles of ordinary differential equations, and draws of their forecasts; the particle filter has ten times as many."""

    lag: int = 6
    """Readings in the window of the smoothers."""

    psa_train_days: float = 730.0
    """Days that the antigen twins are calibrated on, each with the population of the other patients; readings after them are followed."""

    edge_voxels: int = 32
    """Edge of the cube that holds the tumour twin."""

    spacing_mm: float = 4.0
    """Edge of a voxel, mm: 32 of 4 mm hold an adult brain's half, or all of it at 5 mm."""

    voxel_members: int = 24
    """Of the localised ensemble."""

    block_voxels: int = 4
    """Edge of the blocks whose mean densities are read."""

    interval_days: float = 7.0
    """Time between two readings of the tumour twin; it steps a day at most."""

    voxel_updates: int = 12
    """Readings of the tumour twin."""


def run(config: Config) -> dict[str, Any]:
    """The numbers by name, percentiles in seconds; measured in a fresh process. The table goes to standard error."""
    counts = (config.updates, config.forecasts, config.members, config.lag, config.voxel_members, config.block_voxels, config.voxel_updates)
    if (
        min(counts) < 2
        or config.edge_voxels < 2 * config.block_voxels
        or min(config.spacing_mm, config.interval_days, config.psa_train_days) <= 0
    ):
        raise InputError(
            got=f"updates {config.updates}, members {config.members}, edge-voxels {config.edge_voxels}, block-voxels {config.block_voxels}",
            expected="at least 2 of each, a cube of two blocks at least, and positive lengths and times",
            do="raise them",
        )
    numbers = measure_in_fresh_process("benchmarks.assimilation_latency", config)
    print(table(numbers), file=sys.stderr)
    return numbers


def table(numbers: dict[str, Any]) -> str:
    """Milliseconds by percentile, one row per twin and method, below the machine's name."""
    rows = [f"{numbers['machine']}, {numbers['machine_cores']} cores; milliseconds", f"{'':44}{'p50':>9}{'p95':>9}{'p99':>9}{'largest':>9}"]
    for key in numbers:
        if key.endswith("_seconds_p50"):
            name = key.removesuffix("_seconds_p50")
            values = [1000 * numbers[f"{name}_seconds_{part}"] for part in ("p50", "p95", "p99", "largest")]
            rows.append(f"{name.replace('_', ' '):44}" + "".join(f"{value:9.2f}" for value in values))
    return "\n".join(rows)


def measure(config: Config) -> dict[str, Any]:
    """What :func:`run` returns, measured in this process."""
    import tempfile

    from twinsim.machine import cores, processor

    numbers: dict[str, Any] = {"machine": processor(), "machine_cores": cores()}
    with tempfile.TemporaryDirectory() as folder:
        numbers |= _glucose(config, folder)
        numbers |= _antigen(config, folder)
        numbers |= _voxels(config, folder)
    return numbers


def _glucose(config: Config, folder: str) -> dict[str, Any]:
    import jax.numpy as jnp
    import numpy as np

    from twinsim.assimilation import NormalBelief, Reading
    from twinsim.assimilation.glucose_follow import method_named
    from twinsim.assimilation.glucose_twin import GLUCOSE_CHANNEL, GLUCOSE_PRIORS, glucose_twin_at

    model = glucose_twin_at(jnp.zeros(len(GLUCOSE_PRIORS)))
    prior = NormalBelief(model.before_the_first_reading(), jnp.asarray(0.0))
    rng, numbers = np.random.default_rng(0), {}
    wave = 120 + 40 * np.sin(np.arange(config.updates) / 12) + rng.normal(size=config.updates)
    readings = [Reading("glucose", 5.0 * (i + 1), float(value), "mg/dL") for i, value in enumerate(wave)]
    for name in ("extended", "ensemble", "smoother", "particle", "fixed_lag"):
        members = config.members * (10 if name == "particle" else 1)
        method, belief = method_named(name, model, prior, members, config.lag)
        forecast = (5.0, 12, '{"horizon": 60}') if name in ("ensemble", "fixed_lag") else None
        numbers |= _followed(f"glucose_{name}", config, folder, model, method, belief, (GLUCOSE_CHANNEL,), readings, forecast)
    return numbers


def _antigen(config: Config, folder: str) -> dict[str, Any]:
    import numpy as np

    from twinsim.assimilation import EnsembleKalmanFilter, PerturbedObservations, Reading
    from twinsim.assimilation.psa_twin import PSA_CHANNEL, calibrated_psa_twin
    from twinsim.cohort import Noise
    from twinsim.psa_forecast import leave_one_out, psa_cohort
    from twinsim.psa_models import HIRATA_WASHOUT
    from twinsim.psa_record import read_cohort

    records, origin = read_cohort(), config.psa_train_days
    cohort = psa_cohort(records, HIRATA_WASHOUT)
    readings = [
        [Reading("psa", float(d), float(v), "ng/mL") for d, v in zip(r.days, r.psa, strict=True) if d > origin and v > 0] for r in records
    ]
    chosen, count = [], 0
    for index in np.argsort([-len(one) for one in readings], kind="stable"):
        if count < config.updates:
            chosen.append(int(index))
            count += len(readings[index])
    priors = leave_one_out(cohort, Noise(0.4, 0.7, 90.0), chosen)
    method = EnsembleKalmanFilter(PerturbedObservations())
    seconds, errors, still, twins, compiled = [], [], [], [], 0.0
    for index, prior in zip(chosen, priors, strict=True):
        record = records[index]
        model, belief = calibrated_psa_twin(record, prior, origin, config.members)
        receipts, last, compiled = _updates(
            f"antigen_{index}", config, folder, model, method, belief, (PSA_CHANNEL,), readings[index], origin
        )
        before = np.log(record.psa[(record.days <= origin) & np.isfinite(record.psa)][-1])
        logs = np.concatenate([[before], np.log([one.value for one in readings[index]])])
        errors += [float(receipt.innovation.residual[0]) for receipt in receipts]
        still += np.diff(logs).tolist()
        seconds += [receipt.seconds for receipt in receipts]
        twins.append((model, last))
    numbers = {"update_antigen_ensemble_compile_seconds": compiled, **_percentiles("update_antigen_ensemble", seconds)} | {
        "antigen_patients": len(chosen),
        "antigen_readings": len(seconds),
        "antigen_rmse_log_psa_next_reading": float(np.sqrt(np.mean(np.square(errors)))),
        "antigen_rmse_log_psa_next_reading_persistence": float(np.sqrt(np.mean(np.square(still)))),
    }
    model, last = twins[0]
    return numbers | _served("antigen_ensemble", config, model, method, last, (14.0, 13, '{"horizon": 182}'))


def _voxels(config: Config, folder: str) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from physics import gaussian_seed
    from solvers import Diffusion, VoxelGrid
    from twinsim.assimilation import Channel, LocalisedEnsembleFilter, Reading, equal_ensemble
    from twinsim.assimilation.voxel_twin import VoxelTwin, blocks_of

    edge = config.edge_voxels
    axis = np.arange(edge) - (edge - 1) / 2
    ball = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2 < (0.5 * edge) ** 2
    grid = VoxelGrid(ball, config.spacing_mm)
    blocks, centres, places = blocks_of(grid, config.block_voxels)
    model = VoxelTwin(grid, Diffusion(grid, np.ones(grid.shape)), blocks, noise=0.05, max_step=1.0)
    rng, active = np.random.default_rng(1), np.flatnonzero(ball.reshape(-1))
    middle = 0.5 * edge * config.spacing_mm * np.ones(3)
    burden = 0.02 * active.size * config.spacing_mm**3

    def state(e: Any) -> Any:
        width = 3 * config.spacing_mm
        field = gaussian_seed(grid, jnp.asarray(middle + config.spacing_mm * e[:3]), jnp.asarray(burden * np.exp(0.3 * e[3])), width)
        return jnp.concatenate([field[active], jnp.log(jnp.array([0.3 * np.exp(0.4 * e[4]), 0.02 * np.exp(0.4 * e[5])]))])

    actual = state(np.array([1.0, -1.0, 0.5, 0.5, 0.7, 0.7]))
    members = jnp.stack([state(e) for e in rng.normal(size=(config.voxel_members, 6))])
    method = LocalisedEnsembleFilter(places, centres, half_width=3 * config.block_voxels * config.spacing_mm / 2, inflation=1.02)
    step = jax.jit(lambda *arguments: model.advance(*arguments))
    free, readings, length = members, [], jnp.asarray(config.interval_days)
    for i in range(config.voxel_updates):
        actual = step(actual, jnp.zeros(()), length, jnp.zeros(2))
        values = np.asarray(model.predict(actual)) + 0.05 * rng.normal(size=model.channels)
        readings.append(Reading("density", config.interval_days * (i + 1), np.clip(values, 0.0, 1.0).tolist(), "1"))
    for _ in range(config.voxel_updates):
        free = jax.lax.map(lambda member: step(member, jnp.zeros(()), length, jnp.zeros(2)), free)
    channel = Channel("density", "1", low=0.0, high=1.0, size=model.channels)
    found: list[Any] = []
    numbers = _followed("voxels_localised", config, folder, model, method, equal_ensemble(members, 0.0), (channel,), readings, None, found)

    def error(cloud: Any) -> float:
        return float(jnp.sqrt(jnp.mean((cloud.mean(0)[:-2] - actual[:-2]) ** 2)))

    return numbers | {
        "voxels_active": int(active.size),
        "voxels_members": config.voxel_members,
        "voxels_channels": model.channels,
        "voxels_density_error_relative": error(found[0].members) / error(free),
    }


def _followed(
    name: str, config: Config, folder: str, model: Any, method: Any, belief: Any, channels: Any, readings: Any, asked: Any,
    ended: list[Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Updates through journal and saved state, then served forecasts from the last belief."""
    receipts, last, compiled = _updates(name, config, folder, model, method, belief, channels, readings)
    if ended is not None:
        ended.append(last)
    numbers = {f"update_{name}_compile_seconds": compiled, **_percentiles(f"update_{name}", [receipt.seconds for receipt in receipts])}
    return numbers if asked is None else numbers | _served(name, config, model, method, last, asked)


def _updates(
    name: str, config: Config, folder: str, model: Any, method: Any, belief: Any, channels: Any, readings: Any, start: float = 0.0
) -> tuple[list[Any], Any, float]:
    """The receipts of all readings, the last belief, and the seconds that opening the twin took, compilation included."""
    import time
    from pathlib import Path

    from twinsim.assimilation import LiveTwin, Rules

    began = time.perf_counter()
    with LiveTwin(Path(folder) / name, model, method, belief, channels, start, Rules(lag=config.lag)) as twin:
        compiled = time.perf_counter() - began
        receipts = [twin.assimilate(reading) for reading in readings]
        wrong = [receipt for receipt in receipts if not receipt.outcome.accepted]
        if wrong:
            raise RuntimeError(f"{name}: {len(wrong)} readings refused, the first: {wrong[0].message}")
        return receipts, twin.belief, compiled


def _served(name: str, config: Config, model: Any, method: Any, belief: Any, asked: tuple[float, int, str]) -> dict[str, Any]:
    """Forecasts as served calls, JSON in and JSON out."""
    import time

    from twinsim.assimilation.forecast_service import ForecastService

    step, steps, request = asked
    began = time.perf_counter()
    service = ForecastService(model, method, belief, step, steps, config.members)
    numbers = {f"forecast_{name}_compile_seconds": time.perf_counter() - began}
    seconds, answer = [], ""
    for _ in range(config.forecasts):
        began = time.perf_counter()
        answer = service.answer(belief, request)
        seconds.append(time.perf_counter() - began)
    if "error" in answer:
        raise RuntimeError(f"{name}: {answer}")
    return numbers | _percentiles(f"forecast_{name}", seconds)


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    import numpy as np

    parts = {f"{name}_seconds_p{q}": float(np.percentile(seconds, q)) for q in (50, 95, 99)}
    return parts | {f"{name}_seconds_largest": max(seconds)}
