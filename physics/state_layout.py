"""What the components of a state are: their names and units, and where they lie."""

from dataclasses import dataclass
from difflib import get_close_matches

from physics.closure import Variable


@dataclass(frozen=True)
class StateLayout:
    """Names and units of a state, as far as a term that is added to its rates must know them.

    Args:
        variables: The components in order.
        time_unit: Of the rates: ``"day"``, ``"ms"``, ``"h"``.
        stacked: Whether the components lie along the first axis; False for one field without such an axis.
        clock_unit: Of the times that steppers hand over, where it is another; None where nothing is told the time.
        box: Voxels along each axis, where places are the cells of a grid.
    """

    variables: tuple[Variable, ...]
    time_unit: str
    stacked: bool = True
    clock_unit: str | None = ""
    box: tuple[int, int, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the components."""
        return tuple(variable.name for variable in self.variables)

    @property
    def clock(self) -> tuple[Variable, ...]:
        """The time as a variable; none where nothing is told the time."""
        return () if self.clock_unit is None else (Variable("time", self.clock_unit or self.time_unit),)

    def place(self, name: str) -> int:
        """Number of a component.

        Raises:
            ValueError: No such component.
        """
        if name not in self.names:
            raise ValueError(unknown(name, self.names, "a component of the state"))
        return self.names.index(name)

    def rate_variable(self, target: str | tuple[str, str], relative: bool = False) -> Variable:
        """What a closure gives that adds to a component, or takes from one what it gives another: its name and unit.

        ``density`` in ``1`` has ``density_rate`` in ``1/day``; from ``gut`` to ``plasma`` goes ``gut_to_plasma_rate``. A relative one is
        ``density_relative_rate`` in ``1/day`` whatever the unit of the component.

        Raises:
            ValueError: No such component, or an exchange between components of different units, or of one with itself.
        """
        ends = (target,) if isinstance(target, str) else target
        if len(ends) not in (1, 2):
            raise ValueError(f"got {target} to add to; expected a component, or a pair that exchanges; do: name one or two")
        units = [self.variables[self.place(end)].unit for end in ends]
        if len(ends) == 2 and (ends[0] == ends[1] or units[0] != units[1]):
            raise ValueError(
                f"got an exchange from {ends[0]} [{units[0]}] to {ends[1]} [{units[1]}]; expected two components of one unit, whose sum is "
                "kept; do: name two such, or add to each on its own"
            )
        if relative:
            return Variable(f"{'_to_'.join(ends)}_relative_rate", f"1/{self.time_unit}")
        return Variable(f"{'_to_'.join(ends)}_rate", f"{units[0]}/{self.time_unit}")


def unknown(name: str, known: tuple[str, ...], what: str) -> str:
    """One line about a name that is not known, with near misses."""
    close = get_close_matches(name, known, n=3, cutoff=0.5) or list(known)
    return f"got {name!r}; expected {what}; do: use {' or '.join(map(repr, close))}"
