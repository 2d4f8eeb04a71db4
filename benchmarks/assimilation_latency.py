"""Latency of live assimilation: an update through the journal for every twin and method, and a served forecast; percentiles."""

import sys
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks._process import measure_in_fresh_process
from twinsim.errors import InputError


@dataclass(frozen=True)
class Config:
    """A twin of glucose, one of prostate-specific antigen (three kinds of cells), and a tumour on voxels."""

    cores: int = 0
    """Pin the measuring process to so many cores; 0 uses all that there are."""

    precision: Literal["float32", "float64"] = "float64"
    """Of the glucose and antigen twins, and of the voxel twin."""

    updates: int = 300
    """Readings per twin and method."""

    forecasts: int = 1000
    """Served forecasts per twin."""

    members: int = 100
    """Of the ensembles of ordinary differential equations, and draws of their forecasts; the particle filter has ten times as many."""

    lag: int = 6
    """Readings in the window of the smoothers."""

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
    if min(counts) < 2 or config.edge_voxels < 2 * config.block_voxels or min(config.spacing_mm, config.interval_days) <= 0:
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
    import jax
    import jax.numpy as jnp
    import numpy as np

    from twinsim.assimilation import Channel, EnsembleKalmanFilter, PerturbedObservations, Reading, equal_ensemble
    from twinsim.assimilation.ode_twin import OdeTwin
    from twinsim.prior import Prior

    # The linear law of three kinds of cells off and on therapy, Hirata, Bruchovsky and Aihara (2010), J. Theor. Biol. 264:517, in
    # steps of half a week; half a year on, half a year off.
    priors = tuple(
        Prior(name, "1/day", median, 0.5, "log", "size of Hirata 2010")
        for name, median in (("decay", 0.05), ("growth", 0.02), ("resistant_growth", 0.003), ("transfer", 1e-3))
    )

    def rate(time: Any, y: Any, values: Any) -> Any:
        on = jnp.where(jnp.sin(2 * jnp.pi * time / 365) > 0, 1.0, 0.0)
        first = (values["growth"] * (1 - on) - values["decay"] * on) * y[0] + 0.05 * (1 - on) * y[1]
        second = values["transfer"] * on * y[0] - 0.005 * y[1]
        third = values["resistant_growth"] * (2 * on - 1) * y[2] + 1e-4 * on * y[0]
        return jnp.stack([first, second, third])

    def read(y: Any, values: Any) -> Any:
        del values
        return jnp.log(y.sum())[None]

    size = 3 + len(priors)
    model = OdeTwin(rate=rate, read=read, priors=priors, walk=jnp.full(size, 1e-3), sigma=jnp.full(1, 0.2), step=3.5)
    start = jnp.log(jnp.array([10.0, 0.5, 0.05]))
    drawn = jax.random.normal(jax.random.key(0), (config.members, size))
    members = jnp.concatenate([start + 0.3 * drawn[:, :3], drawn[:, 3:]], 1)
    rng = np.random.default_rng(0)
    values = np.exp(1.5 + np.sin(np.arange(config.updates) / 8) + 0.1 * rng.normal(size=config.updates))
    readings = [Reading("psa", 14.0 * (i + 1), float(value), "ng/mL") for i, value in enumerate(values)]
    channels = (Channel("psa", "ng/mL", low=0.0, high=1e5, logarithmic=True),)
    method = EnsembleKalmanFilter(PerturbedObservations())
    asked = (14.0, 13, '{"horizon": 182}')
    return _followed("antigen_ensemble", config, folder, model, method, equal_ensemble(members, 0.0), channels, readings, asked)


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
    """Updates through journal and saved state, then served forecasts from the last belief, JSON in and JSON out."""
    import time
    from pathlib import Path

    from twinsim.assimilation import LiveTwin, Rules
    from twinsim.assimilation.forecast_service import ForecastService

    began = time.perf_counter()
    with LiveTwin(Path(folder) / name, model, method, belief, channels, rules=Rules(lag=config.lag)) as twin:
        compiled = time.perf_counter() - began
        receipts = [twin.assimilate(reading) for reading in readings]
        wrong = [receipt for receipt in receipts if not receipt.outcome.accepted]
        if wrong:
            raise RuntimeError(f"{name}: {len(wrong)} readings refused, the first: {wrong[0].message}")
        numbers = {f"update_{name}_compile_seconds": compiled, **_percentiles(f"update_{name}", [r.seconds for r in receipts])}
        if ended is not None:
            ended.append(twin.ensemble())
        if asked is None:
            return numbers
        step, steps, request = asked
        began = time.perf_counter()
        service = ForecastService(model, method, twin.belief, step, steps, config.members)
        numbers[f"forecast_{name}_compile_seconds"] = time.perf_counter() - began
        seconds, answer = [], ""
        for _ in range(config.forecasts):
            began = time.perf_counter()
            answer = service.answer(twin.belief, request)
            seconds.append(time.perf_counter() - began)
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer}")
        return numbers | _percentiles(f"forecast_{name}", seconds)


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    import numpy as np

    parts = {f"{name}_seconds_p{q}": float(np.percentile(seconds, q)) for q in (50, 95, 99)}
    return parts | {f"{name}_seconds_largest": max(seconds)}
