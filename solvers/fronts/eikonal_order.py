"""Linear systems whose unknowns depend on earlier ones only, solved in the order of arrival; both ways."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from solvers.fronts.eikonal_sweeps import Links
from solvers.shapes import Index

CHUNK = 512


def solve_in_order(links: Links, times: Float[Array, " cells"], right: Float[Array, " cells"]) -> Float[Array, " cells"]:
    r"""$x$ with $(I-P)\,x = r$, where row $i$ of $P$ holds the weights of the cells that cell $i$'s time comes from.

    Cells are taken in chunks of rising time, each until it no longer changes. One pass is exact where every ray comes from earlier
    cells; strong anisotropy can break that for some, and then passes are repeated. $P$ is a Markov chain that is absorbed in the
    sources, so the iteration converges.
    """

    def chunk(number: Index, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        solution, moved = carry
        cells = lax.dynamic_slice_in_dim(order, number * CHUNK, CHUNK)
        neighbour, weight, constant = links.neighbour[:, cells], links.weight[:, cells], right[cells]

        def again(inner: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            solution, moved, _ = inner
            old = solution[cells]
            new = constant + jnp.sum(weight * solution[neighbour], axis=0)
            change = jnp.abs(new - old) > 4 * jnp.finfo(new.dtype).eps * jnp.max(jnp.abs(new))
            return solution.at[cells].set(new), moved | change.any(), change.any()

        solution, moved, _ = lax.while_loop(lambda inner: inner[2], again, (solution, moved, jnp.asarray(True)))
        return solution, moved

    order, chunks = _order(times)

    def one_pass(carry: tuple[Array, Array, Index]) -> tuple[Array, Array, Index]:
        solution, moved = lax.fori_loop(0, chunks, chunk, (carry[0], jnp.asarray(False)))
        return solution, moved, carry[2] + 1

    # The second pass finds nothing to do where the first was exact.
    begin = (right, jnp.asarray(True), jnp.asarray(0))
    return lax.while_loop(lambda carry: carry[1] & (carry[2] < 100), one_pass, begin)[0]


def solve_in_reverse_order(links: Links, times: Float[Array, " cells"], right: Float[Array, " cells"]) -> Float[Array, " cells"]:
    r"""$x$ with $(I-P)^T x = r$: every cell hands on what it got to the cells that its time comes from, the latest first."""
    order, chunks = _order(times)
    small = jnp.finfo(right.dtype).eps * jnp.max(jnp.abs(right))

    def chunk(number: Index, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        cells = lax.dynamic_slice_in_dim(order, (chunks - 1 - number) * CHUNK, CHUNK)
        neighbour, weight = links.neighbour[:, cells], links.weight[:, cells]

        def again(inner: tuple[Array, Array]) -> tuple[Array, Array]:
            solution, waiting = inner
            handed = jnp.where(real(number), waiting[cells], 0)
            waiting = waiting.at[cells].add(-handed)
            return solution.at[cells].add(handed), waiting.at[neighbour].add(weight * handed[None, :])

        def more(inner: tuple[Array, Array]) -> Array:
            return (jnp.where(real(number), jnp.abs(inner[1][cells]), 0) > small).any()

        return lax.while_loop(more, again, carry)

    def real(number: Index) -> Array:
        return (chunks - 1 - number) * CHUNK + jnp.arange(CHUNK) < times.shape[0]

    def one_pass(carry: tuple[Array, Array, Index]) -> tuple[Array, Array, Index]:
        solution, waiting = lax.fori_loop(0, chunks, chunk, carry[:2])
        return solution, waiting, carry[2] + 1

    def going(carry: tuple[Array, Array, Index]) -> Array:
        return (jnp.abs(carry[1]) > small).any() & (carry[2] < 100)

    return lax.while_loop(going, one_pass, (jnp.zeros_like(right), right, jnp.asarray(0)))[0]


def _order(times: Array) -> tuple[Int[Array, " padded"], int]:
    """Cells by rising time; the last one is repeated to fill its chunk."""
    chunks = -(-times.shape[0] // CHUNK)
    order = jnp.argsort(times)
    return jnp.concatenate([order, jnp.broadcast_to(order[-1], (chunks * CHUNK - times.shape[0],))]), chunks
