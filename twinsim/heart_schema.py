"""What may stand in a ``heart.yaml``; ``docs/heart_folder.md`` shows it in full."""

from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, model_validator

from twinsim.errors import InputError
from twinsim.patient_schema import Block


def _triple(value: object) -> tuple[float, float, float]:
    given = np.asarray(value, dtype=object).ravel() if isinstance(value, tuple | list) else np.zeros(0)
    plain = [float(entry) for entry in given if isinstance(entry, int | float) and not isinstance(entry, bool)]
    if len(plain) != 3 or len(given) != 3 or not np.isfinite(plain).all():
        raise InputError(f"{value!r}", "three finite numbers, right, anterior, superior", "write them as [1.0, 2.0, 3.0]")
    return plain[0], plain[1], plain[2]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InputError(f"{value!r}", "a finite number", "write a number such as 60")
    return float(value)


Triple = Annotated[Any, BeforeValidator(_triple)]
Number = Annotated[float, BeforeValidator(_number)]
KINDS = ("left_wall", "right_wall", "left_blood", "right_blood", "scar")


class LabelBlock(Block):
    """Which labels of a volume are what."""

    file: str
    left_wall: tuple[int, ...]
    right_wall: tuple[int, ...]
    left_blood: tuple[int, ...] = ()
    right_blood: tuple[int, ...] = ()
    scar: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> "LabelBlock":
        given: dict[int, str] = {}
        for kind in KINDS:
            for label in getattr(self, kind):
                if label == 0:
                    raise InputError(f"the label 0 in {kind}", "labels other than 0, which is background", "remove it")
                if label in given:
                    raise InputError(f"the label {label} in both {given[label]} and {kind}", "each label once", "remove one")
                given[label] = kind
        for kind in ("left_wall", "right_wall"):
            if not getattr(self, kind):
                raise InputError(f"{kind} without a label", "one or more", "list the label values, as [1]")
        if bool(self.left_blood) != bool(self.right_blood):
            raise InputError("blood of one ventricle only", "both or neither", "give left_blood and right_blood")
        return self


class FibreBlock(Block):
    """Fibres from a file, or by rule."""

    file: str | None = None
    helix_inside: Number = 60.0
    helix_outside: Number = -60.0

    @model_validator(mode="after")
    def _angles(self) -> "FibreBlock":
        if self.file is not None and self.model_fields_set - {"file"}:
            raise InputError("a file of fibres and angles of the rule", "one of the two", "remove the file, or the angles")
        for name in ("helix_inside", "helix_outside"):
            if not abs(getattr(self, name)) <= 90:
                raise InputError(f"{name} {getattr(self, name):g}", "-90 to 90 degrees", "give the angle to the circumference")
        return self


class PlaceBlock(Block):
    """Where a beat begins by itself."""

    place: Triple
    time: Number = 0.0

    @model_validator(mode="after")
    def _not_before(self) -> "PlaceBlock":
        if not 0 <= self.time <= 200:
            raise InputError(f"time {self.time:g}", "0 to 200 ms", "count from the beginning of the beat")
        return self


class HeartBlock(Block):
    """The whole file."""

    name: str
    labels: LabelBlock
    base: Triple | None = None
    fibres: FibreBlock = FibreBlock()
    transmural: str | None = None
    activation: tuple[PlaceBlock, ...] = ()
    electrodes: dict[str, Triple] | None = None
