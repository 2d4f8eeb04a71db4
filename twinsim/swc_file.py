"""Morphologies of neurons in SWC: one sample per line, a point with a radius that hangs on another."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from physics import NeuronShape, Section, length_constant, neuron_shape
from twinsim.errors import InputError

KINDS = {0: "undefined", 1: "soma", 2: "axon", 3: "dendrite", 4: "apical dendrite"}
SOMA = 1


class _Sample(NamedTuple):
    kind: int
    point: tuple[float, float, float]
    radius: float
    parent: int


def read_swc(path: str | Path) -> list[Section]:
    """Unbranched stretches of the neuron in a file, in um, parents first; :func:`swc_shape` cuts them into compartments.

    Columns are number, kind, x, y, z, radius and number of the parent (-1 for the root), by blanks; # begins a comment. A soma of one
    sample, or of three of which two lie a radius from the first (as NeuroMorpho writes them), is a sphere, and neurites begin at their
    first sample; any other soma is made of cones as the rest. A new stretch begins at a branching and where the kind changes.

    Raises:
        InputError: No such file or no sample in it; a line without seven numbers; a number twice; a radius that is not above 0; a
            parent that is no sample; a loop; or several roots.

    Source: Cannon et al. (1998), J. Neurosci. Methods 84, 49.
    """
    samples = _samples(Path(path))
    _check_tree(path, samples)
    root = next(number for number, one in samples.items() if one.parent < 0)
    children = _children(samples)
    somatic = [number for number, one in samples.items() if one.kind == SOMA]
    sphere = samples[root].kind == SOMA and (len(somatic) == 1 or _is_three_point_soma(samples, root, somatic))
    if sphere:
        for number in somatic[1:]:  # they only say how large the sphere is; what hangs on them hangs on it
            for child in children[number]:
                samples[child] = samples[child]._replace(parent=root)
            del samples[number]
    elif len(children[root]) > 1:
        samples, root = _hung_by_an_end(samples, root, children)
    children = _children(samples)
    sections: list[Section] = []
    waiting: list[tuple[int, int]] = []  # a sample that begins a stretch, and the section where it does
    if sphere:
        sections.append(Section(np.array([samples[root].point]), np.array([samples[root].radius]), -1, "soma"))
        waiting = [(child, 0) for child in children[root]]
    else:
        waiting = [(child, -1) for child in children[root]]
        if not waiting:
            raise InputError(f"{path}: one sample that is no soma", "two, or a soma", "add the rest of the neuron")
    while waiting:
        number, parent = waiting.pop(0)
        chain, kind = [number], samples[number].kind
        while len(children[chain[-1]]) == 1 and samples[children[chain[-1]][0]].kind == kind:
            chain.append(children[chain[-1]][0])
        before = samples[samples[number].parent]
        points, radii = [samples[i].point for i in chain], [samples[i].radius for i in chain]
        on_sphere = sphere and parent == 0
        if not on_sphere or len(chain) == 1:
            points.insert(0, before.point)
            radii.insert(0, samples[number].radius if on_sphere or before.kind != kind else before.radius)
        sections.append(Section(np.array(points), np.array(radii), parent, KINDS.get(kind, f"kind {kind}")))
        waiting += [(child, len(sections) - 1) for child in children[chain[-1]]]
    return sections


def swc_shape(path: str | Path, longest_um: float | None = None, axial_ohm_cm: float = 100.0, fraction: float = 0.1) -> NeuronShape:
    """A file in compartments.

    Args:
        path: Of the SWC file.
        longest_um: No compartment is longer; None for ``fraction`` of the length constant at 100 Hz (:func:`physics.length_constant`).
        axial_ohm_cm: For the length constant.
        fraction: 0.1 is usual.

    Raises:
        InputError: As :func:`read_swc`, or a stretch of no length.
    """
    sections = read_swc(path)
    longest = [fraction * length_constant(one.mean_diameter, axial_ohm_cm) if longest_um is None else longest_um for one in sections]
    try:
        return neuron_shape(sections, longest)
    except ValueError as error:
        raise InputError(f"{path}: {error}", "a neuron that can be cut", "correct the file, or longest-um") from None


def _samples(path: Path) -> dict[int, _Sample]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", "an SWC file", "correct the path") from None
    samples: dict[int, _Sample] = {}
    for at, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{path}, line {at}"
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        whole = [values[i] for i in (0, 1, 6)] if len(values) == 7 and np.isfinite(values).all() else [0.5]
        if any(value != int(value) for value in whole):
            got = f"{where}: {' '.join(words)[:60]!r}"
            raise InputError(got, "seven numbers: number kind x y z radius parent", "correct the line")
        number, kind, parent = (int(value) for value in whole)
        if number in samples:
            raise InputError(f"{where}: sample {number} a second time", "each number once", "renumber it")
        if not values[5] > 0:
            raise InputError(f"{where}: radius {values[5]:g} um", "above 0", "correct it, or remove the sample")
        samples[number] = _Sample(kind, (values[2], values[3], values[4]), values[5], parent)
    if not samples:
        raise InputError(f"{path}: no sample", "lines of seven numbers", "give a file with a neuron")
    return samples


def _check_tree(path: str | Path, samples: dict[int, _Sample]) -> None:
    for number, one in samples.items():
        if one.parent >= 0 and one.parent not in samples:
            raise InputError(f"{path}: parent {one.parent} of sample {number}", "a sample of the file, or -1", "correct it")
    roots = [number for number, one in samples.items() if one.parent < 0]
    reached, waiting, children = set(roots), list(roots), _children(samples)
    while waiting:
        for child in children[waiting.pop()]:
            reached.add(child)
            waiting.append(child)
    if len(reached) < len(samples):
        lost = min(set(samples) - reached)
        raise InputError(f"{path}: sample {lost} in a loop of parents", "a way to the root", "correct its parent")
    if len(roots) != 1:
        raise InputError(f"{path}: {len(roots)} roots, {roots[:5]}", "one neuron in one piece", "join the pieces, or give one file each")


def _children(samples: dict[int, _Sample]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {number: [] for number in samples}
    for number, one in samples.items():
        if one.parent >= 0:
            children[one.parent].append(number)
    return children


def _is_three_point_soma(samples: dict[int, _Sample], root: int, somatic: list[int]) -> bool:
    others = [samples[number] for number in somatic if number != root]
    size = samples[root].radius
    gaps = [np.linalg.norm(np.subtract(one.point, samples[root].point)) for one in others]
    return len(others) == 2 and all(one.parent == root and abs(gap - size) < 0.02 * size for one, gap in zip(others, gaps, strict=True))


def _hung_by_an_end(samples: dict[int, _Sample], root: int, children: dict[int, list[int]]) -> tuple[dict[int, _Sample], int]:
    """The same tree with an end as its root: a root in the middle of the neuron would be a branching that no stretch leads to."""
    path = [root]
    while children[path[-1]]:
        path.append(children[path[-1]][0])
    hung = dict(samples)
    for child, parent in zip(path[1:], path[:-1], strict=True):
        hung[parent] = hung[parent]._replace(parent=child)
    hung[path[-1]] = hung[path[-1]]._replace(parent=-1)
    return hung, path[-1]
