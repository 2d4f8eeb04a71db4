"""A twin that follows its patient: readings come in, each leaves an outcome, and nothing acknowledged is lost."""

import hashlib
import json
import time as clock
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from solvers.loop.restart import load_restart, save_restart
from twinsim.assimilation.assimilator import Assimilator, Belief
from twinsim.assimilation.compiled import compiled_update, fingerprint
from twinsim.assimilation.first_belief import check_belief
from twinsim.assimilation.journal import Journal
from twinsim.assimilation.reading import Channel, Outcome, Reading, Refusal, check_channels, checked, content_of, shown
from twinsim.assimilation.stream_model import Ensemble, Innovation, StreamModel
from twinsim.errors import InputError
from twinsim.option_checks import check_number, check_seed


@dataclass(frozen=True)
class Rules:
    """How a stream is judged, in the model's unit of time.

    Attributes:
        lag: How many accepted readings may be run again for one that comes late. The states after as many are kept.
        gap: A reading farther than this after the last one is marked; the twin has simply been forecast over the gap.
        longest_gap: A reading farther ahead than this is refused: one wrong clock must not make all that follow too old.
    """

    lag: int = 12
    gap: float = float("inf")
    longest_gap: float = float("inf")

    def __post_init__(self) -> None:
        if self.lag < 0 or not self.gap > 0 or not self.longest_gap > 0:
            raise InputError(
                f"lag {self.lag}, gap {self.gap:g}, longest_gap {self.longest_gap:g}",
                "a lag of 0 or more, and gaps above 0 or infinite",
                "correct the one that is not",
            )


@dataclass(frozen=True)
class Receipt:
    """What became of a reading; when it is handed out, the reading and its outcome are on the disk.

    Attributes:
        outcome: In one word.
        message: In one line, with what was expected and what to do where it was refused.
        innovation: What the reading said before it was used; None where it was refused.
        seconds: From the call to the acknowledgement.
    """

    outcome: Outcome
    message: str
    innovation: Innovation | None
    seconds: float


@dataclass(frozen=True, order=True)
class _Accepted:
    """A reading that the twin knows; ordered by time, then by name, whatever the order of arrival."""

    time: float
    name: str
    content: str = field(compare=False)
    place: int = field(compare=False)
    values: tuple[float | None, ...] = field(compare=False)


class LiveTwin:
    r"""One patient's twin with its journal, in a folder of its own.

    The belief after $i$ readings is a function of the prior, the seed and the first $i$ accepted readings in order of time: draws are
    keyed by $i$, so that the same readings in any order of arrival (within ``rules.lag``) leave the same twin to the bit, and so that the
    journal alone is enough to rebuild it. States are saved after every update as well; each is marked with a digest of the readings that
    it has seen, and a saved state that does not fit the journal is not used. Hence the order: compute, journal with ``fsync``, save the
    state, hand out the receipt. A process killed between any two writes loses at most a reading that was not acknowledged; sent
    again, it is accepted, or refused as a duplicate where the journal already had it.

    Args:
        folder: Made where there is none.
        model: How the patient moves.
        method: The filter or smoother.
        belief: Before the first reading; its time is ``start``.
        channels: What can be read, in the order in which the model predicts.
        start: Time of ``belief``; readings from before are too old.
        rules: Lag and gaps.
        seed: Of the draws.

    Raises:
        InputError: What could only refuse every reading (a belief of another method's kind, fewer than two members, errors that are not
            above zero, channels that do not fit the model or have a unit that nobody knows); or the folder holds the journal of another
            twin, method, prior or seed, is open elsewhere, damaged, or cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        model: StreamModel,
        method: Assimilator,
        belief: Belief,
        channels: tuple[Channel, ...],
        start: float = 0.0,
        rules: Rules = Rules(),
        seed: int = 0,
    ) -> None:
        check_seed(seed)
        check_number("start", start)
        check_channels(channels)
        check_belief(model, method, belief, channels)
        self.folder, self.channels, self.rules, self.start = Path(folder), channels, rules, float(start)
        self._offsets = np.cumsum([0, *(channel.size for channel in channels)])
        self._prior = jax.tree.map(jnp.asarray, belief)
        self._update = compiled_update(model, method, self._prior, int(self._offsets[-1]), seed)
        self._ensemble = jax.jit(lambda parts, belief, key, count: eqx.combine(parts, rest).ensemble(belief, key, count), static_argnums=3)
        self._parts, rest = eqx.partition(method, eqx.is_array)
        head = {
            "twin": fingerprint((model, method, self._prior)),
            "channels": [str(c) for c in channels],
            "start": self.start,
            "seed": seed,
        }
        self._journal = Journal(self.folder / "journal.log", head)
        try:
            self._follow(head)
        except BaseException:
            self.close()
            raise

    def _follow(self, head: dict[str, Any]) -> None:
        """Takes up what the journal knows."""
        self._root = hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()
        self._accepted: list[_Accepted] = []
        self._known: dict[str, str] = {}
        self._contents: set[str] = set()
        for record in self._journal.records:
            if Outcome(record["outcome"]).accepted:
                self._insert(_Accepted(record["time"], record["name"], record["content"], record["place"], tuple(record["values"])))
        self._beliefs: dict[int, Belief] = {0: self._prior}
        self._recover()

    @property
    def belief(self) -> Belief:
        """The method's belief at the last reading."""
        return self._beliefs[len(self._accepted)]

    @property
    def time(self) -> float:
        """Of the last accepted reading, else the start."""
        return self._accepted[-1].time if self._accepted else self.start

    @property
    def journal(self) -> list[dict[str, Any]]:
        """All records, oldest first."""
        return list(self._journal.records)

    def ensemble(self, count: int = 200, seed: int = 0) -> Ensemble:
        """States at the last reading; methods with members of their own ignore the count."""
        return self._ensemble(self._parts, self.belief, jax.random.key(seed), count)

    def close(self) -> None:
        """Gives the folder free for another process."""
        self._journal.close()

    def __enter__(self) -> "LiveTwin":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def assimilate(self, reading: Reading) -> Receipt:
        """Uses a reading, or refuses it; either way its outcome is in the journal when this returns.

        Raises:
            InputError: The journal cannot be written (disk full, the twin was closed). The twin is as it was, and the reading was not
                acknowledged.
        """
        began = clock.perf_counter()
        record: dict[str, Any] = {"reading": shown(reading)}
        try:
            place, found = checked(reading, self.channels)
            values = tuple(None if np.isnan(value) else float(value) for value in found)
            content = content_of(place, float(reading.time), values)
            name = content if reading.identity is None else str(reading.identity)
            record |= {"name": name, "content": content}
            item = _Accepted(float(reading.time), name, content, place, values)
            self._refuse_untimely(item)
        except Refusal as refusal:
            return self._refused(record, refusal, began)
        position, last = bisect_left(self._accepted, item), len(self._accepted)
        after, innovation, finite = self._run(position, [item, *self._accepted[position:]])
        if not finite:
            what = Refusal(
                Outcome.FAILED, "an update with a NaN or an infinity", "a finite state", "check the model; the twin is as it was"
            )
            return self._refused(record, what, began)
        gap = not self._accepted or item.time - self.time <= self.rules.gap
        outlier = bool(np.any(np.asarray(innovation.outlier)))
        outcome = Outcome.OUTLIER if outlier else Outcome.ACCEPTED if gap else Outcome.AFTER_GAP
        outcome = outcome if position == last else Outcome.REORDERED
        part = slice(int(self._offsets[place]), int(self._offsets[place + 1]))
        record |= {
            "outcome": outcome.value,
            "outlier": outlier,
            "time": item.time,
            "place": place,
            "values": list(item.values),
            "predicted": _numbers(innovation.predicted[part]),
            "standardised": _numbers(innovation.standardised[part]),
            "run_again": last - position,
        }
        self._journal.append(record)
        self._insert(item)
        for index in [index for index in self._beliefs if index > position]:
            del self._beliefs[index]
        self._beliefs |= {position + 1 + step: belief for step, belief in enumerate(after)}
        self._save(position + 1)
        return Receipt(outcome, f"{outcome.value}: {reading.channel} at {item.time:g}", innovation, clock.perf_counter() - began)

    def _refuse_untimely(self, item: _Accepted) -> None:
        """Duplicates first: a reading that is sent again long after is a duplicate, not a late one."""
        if item.name in self._known:
            same = self._known[item.name] == item.content
            outcome = Outcome.DUPLICATE if same else Outcome.CONFLICT
            what = "the same reading again" if same else f"another reading of the identity {item.name!r}"
            raise Refusal(outcome, what, "one reading per identity", "nothing" if same else "give it an identity of its own")
        if item.content in self._contents:
            raise Refusal(Outcome.DUPLICATE, "the same reading under another identity", "one reading per time and value", "nothing")
        time, behind = item.time, len(self._accepted) - bisect_left(self._accepted, item)
        if time < self.start:
            got, expected = f"time {time:g}, before the twin's start", f"a time from its start at {self.start:g} on"
            raise Refusal(Outcome.TOO_OLD, got, expected, "leave it out, or begin a twin with an earlier start")
        if behind > self.rules.lag:
            got, expected = f"time {time:g}, {behind} readings late", f"at most {self.rules.lag} readings late"
            raise Refusal(Outcome.TOO_OLD, got, expected, "rebuild the twin from the whole record, or with a longer lag")
        if time - self.time > self.rules.longest_gap:
            ahead = f"time {time:g}, {time - self.time:g} after the last reading"
            raise Refusal(Outcome.FROM_FUTURE, ahead, f"at most {self.rules.longest_gap:g}", "check the clock, or allow a longer gap")

    def _refused(self, record: dict[str, Any], refusal: Refusal, began: float) -> Receipt:
        self._journal.append({**record, "outcome": refusal.outcome.value, "why": str(refusal)})
        return Receipt(refusal.outcome, str(refusal), None, clock.perf_counter() - began)

    def _insert(self, item: _Accepted) -> None:
        self._accepted.insert(bisect_left(self._accepted, item), item)
        self._known[item.name] = item.content
        self._contents.add(item.content)

    def _run(self, position: int, items: list[_Accepted]) -> tuple[list[Belief], Innovation, bool]:
        """Beliefs after each of these readings, which follow the first ``position`` accepted ones; and what the first of them said."""
        base = max(index for index in self._beliefs if index <= position)
        belief, said = self._beliefs[base], None
        after: list[Belief] = []
        for index, item in enumerate([*self._accepted[base:position], *items], start=base):
            belief, innovation, finite = self._update(belief, item.time, *self._vector(item), index)
            if not bool(finite):
                return [], innovation, False
            if index >= position:
                said = innovation if said is None else said
                after.append(belief)
        if said is None:
            raise ValueError("got no reading; expected at least one; do: give one")
        return after, said, True

    def _vector(self, item: _Accepted) -> tuple[np.ndarray, np.ndarray]:
        values, mask = np.zeros(self._offsets[-1]), np.zeros(self._offsets[-1], dtype=bool)
        given = np.array([np.nan if value is None else value for value in item.values])
        part = slice(self._offsets[item.place], self._offsets[item.place + 1])
        values[part], mask[part] = np.nan_to_num(given), ~np.isnan(given)
        return values, mask

    def _digests(self) -> list[str]:
        """Of the readings before each position: what a saved state must have seen."""
        digests = [self._root]
        for item in self._accepted:
            text = json.dumps([digests[-1], item.time, item.name, item.place, item.values])
            digests.append(hashlib.sha256(text.encode()).hexdigest())
        return digests

    def _recover(self) -> None:
        """Takes up the saved states that fit the journal, and runs on to its end."""
        digests = self._digests()
        for path in self.folder.glob("state-*.npz"):
            with suppress(ValueError):
                belief, _, notes = load_restart(path, self._prior)
                index = notes.get("readings", -1)
                if 0 < index < len(digests) and notes.get("digest") == digests[index]:
                    self._beliefs[index] = belief
        done = max(self._beliefs)
        self._chain = digests
        if done < len(self._accepted):
            after, _, _ = self._run(done, self._accepted[done:])
            self._beliefs |= {done + 1 + step: belief for step, belief in enumerate(after)}
            self._save(done + 1)

    def _save(self, first: int) -> None:
        """Saves the states from ``first`` on, and drops those that no late reading can need."""
        del self._chain[first:]
        for item in self._accepted[first - 1 :]:
            text = json.dumps([self._chain[-1], item.time, item.name, item.place, item.values])
            self._chain.append(hashlib.sha256(text.encode()).hexdigest())
        oldest = len(self._accepted) - self.rules.lag
        self._beliefs = {index: belief for index, belief in self._beliefs.items() if index == 0 or index >= oldest}
        for index in range(max(first, oldest), len(self._accepted) + 1):
            with suppress(OSError):  # the journal has the reading: a state that could not be saved is computed again
                notes = {"readings": index, "digest": self._chain[index]}
                save_restart(self._state_path(index), self._beliefs[index], self._accepted[index - 1].time, **notes)
        with suppress(OSError):
            self._state_path(oldest - 1).unlink(missing_ok=True)

    def _state_path(self, index: int) -> Path:
        return self.folder / f"state-{index:08d}.npz"


def _numbers(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in np.asarray(values)]
