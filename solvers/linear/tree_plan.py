"""In which order the nodes of a tree are eliminated, many at a time; planned on the host."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True)
class Tree:
    """Nodes that hang together without a loop; one tree, or several side by side.

    Attributes:
        parents: Place of each node's parent; -1 for a root. Any order.
    """

    parents: tuple[int, ...]

    @property
    def nodes(self) -> int:
        """How many there are."""
        return len(self.parents)

    def has_parent(self) -> np.ndarray:
        """Booleans."""
        return np.asarray(self.parents) >= 0

    def parent(self) -> np.ndarray:
        """Place of the parent; a root's is its own, so that differences to it vanish."""
        own = np.arange(self.nodes)
        return np.where(self.has_parent(), self.parents, own)

    def children(self) -> np.ndarray:
        """``(most, nodes)``: the children of each node, filled up with ``nodes``."""
        lists: list[list[int]] = [[] for _ in self.parents]
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                lists[parent].append(node)
        return _table(lists, self.nodes)


def tree_of(parents: Sequence[int] | np.ndarray) -> Tree:
    """A :class:`Tree`, checked.

    Raises:
        ValueError: No node, a parent that is none of the nodes, or a loop.
    """
    tree = Tree(tuple(int(parent) for parent in parents))
    if not tree.nodes:
        raise ValueError("got a tree without nodes; expected at least one; do: give the parents, -1 for the root")
    for node, parent in enumerate(tree.parents):
        if not -1 <= parent < tree.nodes or parent == node:
            raise ValueError(f"got parent {parent} of node {node}; expected -1 to {tree.nodes - 1}, another node; do: correct it")
    seen = np.zeros(tree.nodes, int)  # 0 unknown, 1 on the way, 2 leads to a root
    for start in range(tree.nodes):
        way, node = [], start
        while node >= 0 and seen[node] == 0:
            seen[node] = 1
            way.append(node)
            node = tree.parents[node]
        if node >= 0 and seen[node] == 1:
            raise ValueError(f"got node {node} in a loop of parents; expected a way to a root; do: correct its parent")
        seen[way] = 2
    return tree


@dataclass(frozen=True)
class Round:
    """Nodes that are eliminated together: none is the neighbour of another, each has at most two neighbours left.

    Attributes:
        first: Place of the first in the order of elimination.
        count: How many.
        receives: ``(most, left)``: per node left, which of the ``2 * count`` contributions it gets (filled up with ``2 * count``).
        fills: ``(2, left)``: per edge slot of the nodes left, which node's elimination makes that edge (``count`` for none); None where
            no edge is made.
        targets: ``(2, count)``: the neighbours as places among the nodes left; their number where there is none.
    """

    first: int
    count: int
    receives: np.ndarray
    fills: np.ndarray | None
    targets: np.ndarray


@dataclass(frozen=True)
class Elimination:
    """Attributes: ``order`` of the nodes, its inverse ``place``, the tree's edge in each of two ``slots`` per node, and the rounds."""

    order: np.ndarray
    place: np.ndarray
    slots: np.ndarray
    rounds: tuple[Round, ...]


@cache
def elimination(tree: Tree) -> Elimination:
    """Rounds that each take an independent set of ends and of nodes with two neighbours: about half of what is left.

    Eliminating a node with two neighbours joins these by an edge, so that what is left stays a tree. An edge is kept at the end that is
    eliminated first, which has at most two: slots. Source: Miller and Reif (1985), Proc. 26th FOCS, 478 (rake and compress); for a chain
    this is cyclic reduction.
    """
    chosen = _chosen(tree)
    order = [node for together in chosen for node, _ in together]
    place = {node: i for i, node in enumerate(order)}
    nodes = tree.nodes
    used, target, slot_of = np.zeros(nodes, int), np.full((2, nodes), nodes), {}

    def slot(one: int, other: int) -> tuple[int, int]:
        """Where the edge between two places is kept."""
        low, high = min(one, other), max(one, other)
        if (low, high) not in slot_of:
            slot_of[low, high] = int(used[low])
            target[used[low], low] = high
            used[low] += 1
        return slot_of[low, high], low

    slots = np.full((2, nodes), nodes)
    for node, parent in enumerate(tree.parents):
        if parent >= 0:
            slots[slot(place[node], place[parent])] = node
    rounds, first = [], 0
    for together in chosen:
        count = len(together)
        after = first + count
        lists: list[list[int]] = [[] for _ in range(nodes - after)]
        fills = np.full((2, nodes - after), count)
        for k, (node, neighbours) in enumerate(together):
            for other in neighbours:
                row, _ = slot(place[node], place[other])
                lists[place[other] - after].append(row * count + k)
            if len(neighbours) == 2:
                row, low = slot(place[neighbours[0]], place[neighbours[1]])
                fills[row, low - after] = k
        made = fills if (fills < count).any() else None
        rounds.append(Round(first, count, _table(lists, 2 * count), made, np.array([])))
        first = after
    rounds = [Round(r.first, r.count, r.receives, r.fills, target[:, r.first : r.first + r.count] - r.first - r.count) for r in rounds]
    return Elimination(np.array(order), np.argsort(order), slots, tuple(rounds))


def _chosen(tree: Tree) -> list[list[tuple[int, list[int]]]]:
    """Per round, the nodes with their neighbours at that time."""
    around: list[set[int]] = [set() for _ in tree.parents]
    for node, parent in enumerate(tree.parents):
        if parent >= 0:
            around[node].add(parent)
            around[parent].add(node)
    left, rounds = list(range(tree.nodes)), []
    while left:
        blocked: set[int] = set()
        picked = []
        for node in sorted(left, key=lambda node: len(around[node]) > 1):  # ends first, else in order
            if len(around[node]) <= 2 and node not in blocked:
                picked.append(node)
                blocked |= around[node] | {node}
        together = []
        for node in picked:
            neighbours = sorted(around[node])
            together.append((node, neighbours))
            for other in neighbours:
                around[other].discard(node)
            if len(neighbours) == 2:
                around[neighbours[0]].add(neighbours[1])
                around[neighbours[1]].add(neighbours[0])
        gone = set(picked)
        left = [node for node in left if node not in gone]
        rounds.append(together)
    return rounds


def _table(lists: list[list[int]], filler: int) -> np.ndarray:
    table = np.full((max(map(len, lists), default=0), len(lists)), filler)
    for column, entries in enumerate(lists):
        table[: len(entries), column] = entries
    return table
