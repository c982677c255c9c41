"""Seed -> captions of random words, no two of which share more than one."""

from collections.abc import Collection, Iterator
from itertools import combinations
from pathlib import Path

from memex_audit.canaries.pictures import random_of

WORDS_FILE = Path(__file__).with_name("words.txt")
WORDS_PER_CAPTION = 4


def draw_captions(n: int, *, seed: int) -> Iterator[str]:
    """Yield `n` captions of four random words; any two of them share at most one word."""
    words = read_words()
    random, taken, made = random_of("captions", seed), set[frozenset[str]](), 0
    while made < n:
        caption = " ".join(random.choice(words, size=WORDS_PER_CAPTION, replace=False).tolist())
        pairs = word_pairs(caption.split())
        if taken.isdisjoint(pairs):
            taken |= pairs
            made += 1
            yield caption


def read_words() -> list[str]:
    """Return the words that captions are made of."""
    return WORDS_FILE.read_text(encoding="utf-8").split()


def word_pairs(words: Collection[str]) -> set[frozenset[str]]:
    """Return every two different words of a caption."""
    return {frozenset(pair) for pair in combinations(sorted(set(words)), 2)}
