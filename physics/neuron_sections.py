"""From unbranched stretches of a neuron to compartments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from physics.neuron_shape import NeuronShape
from solvers import tree_of


@dataclass(frozen=True)
class Section:
    """An unbranched stretch, drawn as a chain of truncated cones; or a sphere, from one point.

    Attributes:
        points: ``(points, 3)``, um.
        radii: ``(points,)``, um.
        parent: Place of the section whose end this one begins at; -1 for a root. What begins at a sphere begins at its middle, which
            is one compartment without inner resistance.
        name: Of the kind: soma, axon, dendrite.
    """

    points: np.ndarray
    radii: np.ndarray
    parent: int = -1
    name: str = ""

    @property
    def is_sphere(self) -> bool:
        """Whether it is one point."""
        return len(self.radii) == 1

    def steps(self) -> np.ndarray:
        """Length of each cone, um."""
        return np.linalg.norm(np.diff(self.points, axis=0), axis=1)

    @property
    def length(self) -> float:
        """um; a sphere's is its diameter."""
        return float(2 * self.radii[0] if self.is_sphere else self.steps().sum())

    @property
    def mean_diameter(self) -> float:
        """Along the length, um."""
        if self.is_sphere:
            return float(2 * self.radii[0])
        return float(np.sum(self.steps() * (self.radii[1:] + self.radii[:-1])) / self.length)


def length_constant(diameter_um: float, ohm_cm: float, hertz: float = 100.0, capacity: float = 1.0) -> float:
    r"""$\lambda_f = \tfrac12\sqrt{d/(\pi fR_aC)}$ in um: how far a sinusoid of frequency $f$ gets in a cable, leaks neglected.

    Source: Hines and Carnevale (2001), Neuroscientist 7, 123, who cut compartments to a tenth of it at 100 Hz (``d_lambda``).
    """
    return 1e4 * 0.5 * math.sqrt(diameter_um * 1e-4 / (math.pi * hertz * ohm_cm * capacity * 1e-6))


def neuron_shape(sections: Sequence[Section], longest_um: float | Sequence[float]) -> NeuronShape:
    """Cuts every section into equal compartments.

    Args:
        sections: In any order.
        longest_um: No compartment is longer; one number, or one per section, such as a tenth of :func:`length_constant`.

    Areas and resistances are those of the cones, integrated without approximation. Where two or more sections begin at the end of
    another, a compartment without membrane stands for the point where they meet; where one does, the two join directly.

    Raises:
        ValueError: No section, a radius or length that is not positive, lengths that are not one per section, a parent that is none, or a
            loop of parents.
    """
    if not sections:
        raise ValueError("got no sections; expected at least one; do: give a root")
    longest = np.asarray(longest_um, float)
    longest = np.full(len(sections), longest) if longest.ndim == 0 else longest
    if len(longest) != len(sections) or not (longest > 0).all():
        raise ValueError(f"got longest {longest.tolist()[:9]} um for {len(sections)} sections; expected one above 0 each; do: correct it")
    tree_of([section.parent for section in sections])
    for number, one in enumerate(sections):
        if not (one.radii > 0).all():
            raise ValueError(f"got a radius of {float(one.radii.min()):g} um in section {number}; expected above 0; do: correct it")
        if not one.is_sphere and not (one.steps() > 0).any():
            raise ValueError(f"got section {number} of no length; expected two points apart; do: leave it out")
    begun = np.bincount([one.parent for one in sections if one.parent >= 0], minlength=len(sections))
    rows: list[tuple[float, float, float, np.ndarray, float]] = []
    parents: list[int] = []
    origin: list[int] = []
    ends: dict[int, tuple[int, float]] = {}  # of a section: the compartment where others begin, and its distance from the root
    waiting = list(range(len(sections)))
    while waiting:
        number = next(i for i in waiting if sections[i].parent < 0 or sections[i].parent in ends)
        waiting.remove(number)
        one = sections[number]
        before, distance = ends.get(one.parent, (-1, 0.0))
        for row in _pieces(one, max(1, math.ceil(one.length / longest[number] - 1e-9)), distance):
            parents.append(before)
            rows.append(row)
            origin.append(number)
            before = len(rows) - 1
        if not one.is_sphere:
            distance += one.length
            if begun[number] > 1:
                parents.append(before)
                rows.append((0.0, 0.0, 0.0, one.points[-1], distance))
                origin.append(number)
                before = len(rows) - 1
        ends[number] = before, distance
    area, up, down, position, along = (jnp.asarray(np.array(column), float) for column in zip(*rows, strict=True))
    return NeuronShape(area, up, down, position, along, tree_of(parents), tuple(origin))


def _pieces(one: Section, count: int, distance: float) -> list[tuple[float, float, float, np.ndarray, float]]:
    """Area, resistance to either end, middle, and distance from the root, of each compartment."""
    if one.is_sphere:
        return [(4 * math.pi * float(one.radii[0]) ** 2, 0.0, 0.0, one.points[0], distance)]
    at = np.concatenate([[0.0], np.cumsum(one.steps())])
    edges = np.linspace(0.0, at[-1], 2 * count + 1)  # ends and middles
    knots = np.union1d(edges, at)
    radii = np.interp(knots, at, one.radii)
    step = np.diff(knots)
    r, s = radii[:-1], radii[1:]
    areas = np.concatenate([[0.0], np.cumsum(math.pi * (r + s) * np.hypot(step, s - r))])
    resists = np.concatenate([[0.0], np.cumsum(step / (math.pi * r * s))])
    area, resist = np.interp(edges, knots, areas), np.interp(edges, knots, resists)
    middles = np.stack([np.interp(edges[1::2], at, one.points[:, axis]) for axis in range(3)], axis=1)
    return [
        (
            float(area[2 * k + 2] - area[2 * k]), float(resist[2 * k + 1] - resist[2 * k]), float(resist[2 * k + 2] - resist[2 * k + 1]),
            middles[k], distance + float(edges[2 * k + 1]),
        )
        for k in range(count)
    ]  # fmt: skip
