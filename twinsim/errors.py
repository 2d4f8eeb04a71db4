"""The one exception that a user of twinsim is meant to read."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input, refused at the boundary with one line: what was got, what was expected, what to do.

    Args:
        got: What the user gave, with the file, line or field that it came from.
        expected: What would have been accepted.
        do: The remedy, as an instruction.
    """

    def __init__(self, got: str, expected: str, do: str) -> None:
        self.got, self.expected, self.do = got, expected, do
        super().__init__(" ".join(f"got {got}; expected {expected}; do: {do}".split()))

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """So that a worker process can hand it on."""
        return type(self), (self.got, self.expected, self.do)


def near_misses(name: str, known: Iterable[str], count: int = 3) -> str:
    """A clause such as ``"did you mean 'a' or 'b'?"`` for an unknown name; the names known, at most 30, when nothing is close."""
    known = sorted(known)
    close = get_close_matches(name, known, n=count, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    more = f" and {len(known) - 30} more" if len(known) > 30 else ""
    return "known: " + ", ".join(known[:30]) + more


def refused(error: ValueError, where: str = "", remedy: str = "") -> InputError:
    """A refusal of the layers below with the place in the input that it came from.

    Args:
        error: Its words are ``got ...; expected ...; do: ...``.
        where: File or field, put before what was got.
        remedy: Put behind what to do.
    """
    got, _, rest = str(error).removeprefix("got ").partition("; expected ")
    expected, _, do = rest.partition("; do: ")
    return InputError(f"{where}: {got}" if where else got, expected, f"{do} {remedy}".rstrip())
