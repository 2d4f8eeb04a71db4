"""Lempel-Ziv complexity by hand, by another programme and in its limits; the index of answers whose complexity is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from physics import AdaptingWilsonCowan, WilsonCowan, lempel_ziv_phrases, normalised_complexity, perturbational_complexity, source_entropy


def bits(text):
    return np.array([int(one) for one in text])


def slow_phrases(sequence):
    """Straight from the definition: a phrase grows while some earlier start spells it, symbol by symbol."""
    symbols, start, phrases = list(sequence), 0, 0
    while start < len(symbols):
        length = 1
        while start + length <= len(symbols) and any(
            all(symbols[first + k] == symbols[start + k] for k in range(length)) for first in range(start)
        ):
            length += 1
        phrases, start = phrases + 1, start + length
    return phrases


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("0001101001000101", 6),  # 0.001.10.100.1000.101: Lempel and Ziv's own example
        ("0", 1),
        ("01", 2),
        ("0" * 40, 2),  # 0.000...
        ("01" * 20, 3),  # 0.1.0101...
        ("0110", 3),  # 0.1.10
        ("", 0),
    ],
)
def test_phrases_counted_by_hand(text, phrases):
    assert lempel_ziv_phrases(bits(text)) == phrases


def test_phrases_are_those_of_the_definition():
    generator = np.random.default_rng(0)
    for share in (0.05, 0.3, 0.5, 0.9):
        for length in (1, 2, 7, 50, 120):
            sequence = (generator.uniform(size=length) < share).astype(int)
            assert lempel_ziv_phrases(sequence) == slow_phrases(sequence)


def test_limits_of_constant_periodic_and_random_sequences():
    generator = np.random.default_rng(1)
    assert normalised_complexity(np.ones(5000)) == 0.0 and source_entropy(np.zeros(9)) == 0.0
    periodic = np.tile(bits("0110100"), 3000)
    assert normalised_complexity(periodic) < 0.01
    fair = [normalised_complexity(generator.uniform(size=length) < 0.5) for length in (500, 2000, 32_000)]
    assert fair[0] > fair[1] > fair[2] > 1  # from above, slowly
    assert all(abs(normalised_complexity(generator.uniform(size=8000) < share) - 1) < 0.03 for share in (0.1, 0.3, 0.5))
    assert source_entropy(generator.uniform(size=100_000) < 0.25) == pytest.approx(0.25 * 2 + 0.75 * np.log2(4 / 3), abs=0.01)


def _noise(generator, trials=30, sources=20, times=150):
    return generator.normal(size=(trials, sources, times))


def test_a_pulse_without_an_answer_has_none_and_alpha_is_kept():
    generator = np.random.default_rng(2)
    empty = [
        perturbational_complexity(_noise(generator), _noise(generator, times=75), alpha=0.2, resamples=100, seed=n).significant.any()
        for n in range(40)
    ]
    assert np.mean(empty) < 0.35  # 0.2 of chance for 150 times, about half of it for 75
    assert perturbational_complexity(_noise(generator), _noise(generator, times=75), resamples=100).index < 0.2


def test_different_answers_are_more_complex_than_alike_and_than_one_alone():
    generator, times = np.random.default_rng(3), np.arange(75)
    alike = np.tile(3 * np.exp(-times / 20.0) * np.sin(times / 4.0), (20, 1))
    different = np.stack([
        3 * np.exp(-times / 30.0) * np.sin(times / generator.uniform(1.5, 8) + generator.uniform(0, 6)) for _ in range(20)
    ])  # fmt: skip
    alone = alike * (np.arange(20) < 1)[:, None]
    found = {}
    for name, answer in (("alike", alike), ("different", different), ("alone", alone)):
        before, after = _noise(generator), _noise(generator, times=75) + answer
        found[name] = perturbational_complexity(before, after, resamples=100)
    assert found["different"].index > 1.5 * found["alike"].index
    assert found["alone"].significant.any(axis=1).sum() <= 2 and found["alone"].entropy < 0.2
    counts = found["different"].significant.sum(axis=1)
    assert (np.diff(counts) >= 0).all() and found["different"].response.shape == (20, 75)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (np.zeros((3, 4, 9)), np.zeros((3, 4, 20)), "10 samples before"),
        (np.zeros((3, 4, 20)), np.zeros((3, 4, 20)), "constant before"),
        (np.full((3, 4, 20), np.nan), np.zeros((3, 4, 20)), "not finite"),
    ],
)
def test_bad_trials_are_one_line(before, after, words):
    with pytest.raises(ValueError, match=words) as caught:
        perturbational_complexity(before, after)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="binarise"):
        lempel_ziv_phrases(np.array([0, 2]))


def test_adaptation_takes_from_the_excitation_of_itself():
    mass = AdaptingWilsonCowan.published()
    tired = AdaptingWilsonCowan(mass.populations, jnp.asarray(3.0), jnp.asarray(200.0))
    state = jnp.asarray([0.2, 0.1, 0.6])  # a = 3 E: where adaptation rests
    weaker = WilsonCowan(**{
        name: getattr(mass.populations, name) - (3.0 if name == "excitatory_to_excitatory" else 0.0)
        for name in WilsonCowan.__dataclass_fields__
    })  # fmt: skip
    assert jnp.allclose(tired.rates(state, jnp.zeros(1))[:2], weaker.rates(state[:2], jnp.zeros(1)), rtol=1e-12)
    assert abs(float(tired.rates(state, jnp.zeros(1))[2])) < 1e-15
    assert float(tired.rates(state.at[0].add(0.1), jnp.zeros(1))[2]) == pytest.approx(0.3 / 200)
    awake = mass.rates(state.at[2].set(0.0), jnp.ones(1))
    assert jnp.allclose(awake[:2], mass.populations.rates(state[:2], jnp.ones(1)), rtol=1e-12)
