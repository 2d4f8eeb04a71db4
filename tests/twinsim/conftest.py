"""A folder with two tiny experiments, found through TWINSIM_EXPERIMENTS."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DECAY = '''"""Decay of one number: the smallest experiment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from twinsim.errors import InputError
from twinsim.experiment import Result
from twinsim.report import Report
from twinsim.workspace import Workspace


@dataclass(frozen=True)
class Config:
    rate_per_day: float = 0.5
    """Rate of the decay, 1/day."""

    steps: int = 4
    """Number of days."""

    scheme: Literal["exact", "euler"] = "exact"
    """How a day is stepped."""

    precision: Literal["float32", "float64"] = "float64"
    """Floating-point precision."""

    stop_after: str | None = None
    """Press Ctrl-C after this stage."""

    log: Path | None = None
    """File that gets one line per computed stage."""


def run(config: Config, workspace: Workspace) -> Result:
    if config.rate_per_day < 0:
        raise InputError(got=f"rate {config.rate_per_day}", expected="a rate >= 0", do="give another rate")

    def stage(name, value):
        def compute():
            if config.log is not None:
                with config.log.open("a") as file:
                    file.write(name + "\\n")
            return value()

        result = workspace.stage(name, compute)
        if config.stop_after == name:
            raise KeyboardInterrupt
        return result

    print("chatter that does not belong on standard output")
    values = stage("values", lambda: np.exp(-config.rate_per_day * np.arange(config.steps)))
    last = stage("last", lambda: float(values[-1]))
    report = Report("Decay", "a test")
    report.headline([("last", last, "1")])
    dataset = xr.Dataset({"value": ("day", values, {"units": "1"})})
    dataset["day"] = ("day", np.arange(config.steps, dtype=float), {"units": "day"})
    volume = np.full((2, 3, 4), last, dtype=np.float32)
    return Result({"last_value": last, "scheme": config.scheme, "unknown": None}, report, dataset,
                  {"density": (volume, np.diag([2.0, 2.0, 2.0, 1.0]))})
'''

BROKEN = '''"""Reports a number that is not finite."""

from dataclasses import dataclass

from twinsim.experiment import Result
from twinsim.report import Report


@dataclass(frozen=True)
class Config:
    seed: int = 0
    """Seed."""


def run(config, workspace):
    return Result({"volume_mm3": float("nan")}, Report("Broken", ""))
'''


@pytest.fixture
def experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of experiments; the working folder is another one, empty."""
    folder = tmp_path / "experiments"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "decay.py").write_text(DECAY)
    (folder / "toy" / "broken.py").write_text(BROKEN)
    (folder / "toy" / "helper.py").write_text('"""Not an experiment."""\n')
    monkeypatch.setenv("TWINSIM_EXPERIMENTS", str(folder))
    monkeypatch.setenv("TWINSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for subprocesses, which start in another folder
    # In this process JAX belongs to the tests; the settings of the command line are tested in subprocesses.
    monkeypatch.setattr("twinsim.cli._set_up", lambda config: None)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield folder
    for name in [name for name in sys.modules if name.startswith("experiments.toy")]:
        del sys.modules[name]
