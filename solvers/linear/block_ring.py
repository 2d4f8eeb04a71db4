"""Direct solution of symmetric positive definite systems whose blocks couple to their two neighbours on a ring."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

Blocks = Float[Array, "blocks size size"]
Vectors = Float[Array, "blocks size"]


class BlockRing(eqx.Module):
    r"""A symmetric matrix of blocks: row $i$ is $U_{i-1}^\top x_{i-1} + D_i x_i + U_i x_{i+1}$, indices taken round the ring.

    A chain is a ring whose last $U$ is zero.

    Args:
        diagonal: $D$, symmetric, three blocks or more.
        upper: $U$; the last one couples the last block to the first.

    Raises:
        ValueError: Fewer than three blocks, or two arrays of different shapes.
    """

    diagonal: Blocks
    upper: Blocks

    def __check_init__(self) -> None:
        if self.diagonal.shape != self.upper.shape or self.diagonal.shape[0] < 3:
            got = f"diagonal blocks of shape {self.diagonal.shape} and upper ones of {self.upper.shape}"
            raise ValueError(f"got {got}; expected the same, three blocks or more; do: divide the ring into more blocks")

    def apply(self, vectors: Vectors) -> Vectors:
        """The product with a vector."""
        after = jnp.einsum("iab,ib->ia", self.upper, jnp.roll(vectors, -1, axis=0))
        before = jnp.roll(jnp.einsum("iba,ib->ia", self.upper, vectors), 1, axis=0)
        return jnp.einsum("iab,ib->ia", self.diagonal, vectors) + after + before

    def solve(self, right: Vectors) -> Vectors:
        r"""$x$ of $Ax=b$ by block Cholesky elimination; $O(\text{blocks}\cdot\text{size}^3)$, and $O(\text{blocks}\cdot\text{size}^2)$ for
        every derivative after that: the factors serve the transposed solve of reverse mode and the tangents of forward mode as well.

        Fails: not a number everywhere where the matrix is not positive definite, or so badly conditioned that round-off makes it so.
        Source: Golub, Van Loan 2013 (Matrix Computations), section 4.5.1, bordered by the last block.
        """
        factors = _factorised(lax.stop_gradient(self.diagonal), lax.stop_gradient(self.upper))
        return lax.custom_linear_solve(self.apply, right, lambda _, vectors: _substituted(factors, vectors), symmetric=True)


class _Factors(eqx.Module):
    """Cholesky factors, couplings to the next block and to the last, of all blocks but the last two; and those of the last two."""

    factor: Blocks
    following: Blocks
    bordering: Blocks
    before_last: Float[Array, "size size"]
    border: Float[Array, "size size"]
    last: Float[Array, "size size"]


def _factorised(diagonal: Blocks, upper: Blocks) -> _Factors:
    """Blocks are eliminated one after another; what each leaves at the last block is kept beside."""

    def eliminate(carry: tuple[Array, Array, Array], blocks: tuple[Array, Array]) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
        here, bordering, last = carry
        following, below = blocks
        factor = jnp.linalg.cholesky(here)
        size = here.shape[0]
        solved = cho_solve((factor, True), jnp.concatenate([following, bordering], axis=1))
        carry = below - following.T @ solved[:, :size], -following.T @ solved[:, size:], last - bordering.T @ solved[:, size:]
        return carry, (factor, following, bordering)

    start = diagonal[0], upper[-1].T, diagonal[-1]
    (here, bordering, last), kept = lax.scan(eliminate, start, (upper[:-2], diagonal[1:-1]))
    border = bordering + upper[-2]
    factor = jnp.linalg.cholesky(here)
    last = jnp.linalg.cholesky(last - border.T @ cho_solve((factor, True), border))
    factors, following, borders = kept
    return _Factors(factors, following, borders, factor, border, last)


def _substituted(factors: _Factors, right: Vectors) -> Vectors:
    def forward(carry: tuple[Array, Array], one: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        here, last = carry
        factor, following, bordering, below = one
        solved = cho_solve((factor, True), here)
        return (below - following.T @ solved, last - bordering.T @ solved), solved

    blocks = factors.factor, factors.following, factors.bordering
    (here, last), solved = lax.scan(forward, (right[0], right[-1]), (*blocks, right[1:-1]))
    here = cho_solve((factors.before_last, True), here)
    last = cho_solve((factors.last, True), last - factors.border.T @ here)
    here = here - cho_solve((factors.before_last, True), factors.border @ last)

    def backward(after: Array, one: tuple[Array, ...]) -> tuple[Array, Array]:
        factor, following, bordering, solved = one
        found = solved - cho_solve((factor, True), following @ after + bordering @ last)
        return found, found

    _, found = lax.scan(backward, here, (*blocks, solved), reverse=True)
    return jnp.concatenate([found, here[None], last[None]])
