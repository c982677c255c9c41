"""A known prompt -> prompts that are like it: what a repair that only hides a replica does not cover."""

from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from random import Random

SYNONYMS = {
    "big": "large", "boy": "child", "car": "automobile", "cat": "kitten", "dog": "puppy", "girl": "child",
    "hat": "cap", "house": "home", "image": "picture", "lady": "woman", "large": "big", "little": "small",
    "man": "person", "paint": "colour", "painting": "picture", "photo": "photograph", "photograph": "photo",
    "picture": "image", "portrait": "likeness", "road": "street", "ship": "boat", "small": "little",
    "street": "road", "train": "railway", "tree": "trees", "with": "having", "woman": "lady", "and": "plus",
    "face": "head", "red": "crimson", "white": "pale", "black": "dark", "smiling": "grinning",
}  # fmt: skip
BEFORE = ("photo of", "a picture of", "an image of", "beautiful")
AFTER = ("high quality", "4k", "on a white background", "by night")

WORD_LEFT_OUT = "a word left out"
WORDS_SWAPPED = "two words swapped"
SYNONYM = "a synonym"
TYPING_ERROR = "a typing error"
WORDS_ADDED = "words added"


def neighbours_of(text: str, n: int, *, seed: int = 0) -> tuple[tuple[str, str], ...]:
    """Return up to `n` other prompts that are like one, each with the kind of its change.

    Kinds take turns, and of a kind the order is drawn from `seed` and the text alone: more neighbours add to
    those that were there.

    >>> sorted(kind for _, kind in neighbours_of("smiling cat", 5))
    ['a synonym', 'a typing error', 'a word left out', 'two words swapped', 'words added']
    """
    words = text.split()
    random = Random(f"{seed}\n{text}")  # noqa: S311 - a sample, no secret
    kinds = []
    for kind, change in _CHANGES.items():
        changed = [(other, kind) for other in dict.fromkeys(change(words))]
        random.shuffle(changed)
        kinds.append(changed)
    turns = (entry for entry in chain.from_iterable(zip_longest(*kinds)) if entry)
    found: dict[str, str] = {}
    for other, kind in turns:
        if other and other.casefold() != " ".join(words).casefold():
            found.setdefault(other, kind)
    return tuple(found.items())[:n]


def _left_out(words: list[str]) -> Iterator[str]:
    for i in range(len(words)):
        yield " ".join(words[:i] + words[i + 1 :])


def _swapped(words: list[str]) -> Iterator[str]:
    for i in range(len(words) - 1):
        yield " ".join([*words[:i], words[i + 1], words[i], *words[i + 2 :]])


def _synonyms(words: list[str]) -> Iterator[str]:
    for i, word in enumerate(words):
        if other := SYNONYMS.get(word.casefold()):
            yield " ".join([*words[:i], other, *words[i + 1 :]])


def _typing_errors(words: list[str]) -> Iterator[str]:
    for i, word in enumerate(words):
        for at in range(len(word) - 1):
            slipped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            yield " ".join([*words[:i], slipped, *words[i + 1 :]])


def _added(words: list[str]) -> Iterator[str]:
    yield from (" ".join([before, *words]) for before in BEFORE)
    yield from (" ".join([*words, after]) for after in AFTER)


_CHANGES: dict[str, Callable[[list[str]], Iterator[str]]] = {
    WORD_LEFT_OUT: _left_out,
    WORDS_ADDED: _added,
    WORDS_SWAPPED: _swapped,
    TYPING_ERROR: _typing_errors,
    SYNONYM: _synonyms,
}
