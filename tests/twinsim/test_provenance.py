"""What a result was made with."""

import dataclasses
import enum
import json
from pathlib import Path

import numpy as np
import pytest

from twinsim import provenance as provenance_module
from twinsim.provenance import git_revision, plain, provenance


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 4
    precision: str = "float32"
    spacing_mm: tuple[float, ...] = (1.0, 2.0)
    patient: Path | None = None
    colour: Colour = Colour.RED


def test_provenance_is_complete_and_plain() -> None:
    found = provenance(Config())
    assert {
        "date",
        "command",
        "git_revision",
        "device",
        "precision",
        "seed",
        "python",
        "versions",
    } <= found.keys()
    assert found["seed"] == 4 and found["precision"] == "float32"
    assert found["config"]["spacing_mm"] == [1.0, 2.0] and found["config"]["colour"] == "RED"
    assert found["versions"]["numpy"] == np.__version__
    assert json.loads(json.dumps(found)) == found
    assert provenance()["seed"] is None


def test_plain() -> None:
    assert plain({"a": {1, 2}, 3: Path("b") / "c", "d": np.array([1.0, np.inf]), "e": np.bool_(True)}) == {
        "a": [1, 2],
        "3": str(Path("b") / "c"),
        "d": [1.0, None],
        "e": True,
    }


def test_git_revision_is_of_this_tree_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"rev-parse": str(tmp_path), "status": ""}

    def git(_root: Path, command: str, *options: str) -> str:
        return "abc" if "HEAD" in options else answers[command]

    monkeypatch.setattr(provenance_module, "_git", git, raising=True)
    assert git_revision(tmp_path) == "abc"
    answers["status"] = " M file"
    assert git_revision(tmp_path) == "abc+changes"
    assert git_revision(tmp_path / "installed") is None
