"""A prompt's words and a test of texts -> the fewest of them that pass it, by Hypothesis's shrinker."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisSideeffectWarning, NoSuchExample

from memex_audit.records import NEUTRAL_WORD

# Of so many first tries about one is not the whole prompt, however long that is.
WHOLE_FIRST = 16
# None: not known, and there is nothing left to find it out with.
Test = Callable[[str], bool | None]


class Fate(IntEnum):
    """What becomes of a word, the simplest first: Hypothesis shrinks towards that."""

    DROPPED = 0
    REPLACED = 1
    KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortestPrompt:
    """What a search found: `text` passes the test, with `kept` words of the prompt.

    `complete`: it was tried that none of these can be left out or replaced, and no replaced one left out.
    """

    text: str
    kept: tuple[str, ...]
    replaced: int
    complete: bool


def find_shortest(words: Sequence[str], passes: Test) -> ShortestPrompt:
    """Return the shortest prompt that Hypothesis finds to pass, by leaving words out and replacing them.

    Where a text passes that holds some set of words, whatever else it holds, that set is found. In general no
    single word of what is found can be spared, and a shorter prompt of quite other words may pass.

    Args:
        words: of the whole prompt, which passes.
        passes: tests a text, each at most once.

    Raises:
        Exception: what the test raised.
    """
    search = _Search(words, passes)
    fates, before = (Fate.KEPT,) * len(words), None
    # Hypothesis ends a shrinking after 500 steps or 5 minutes: again from there, until nothing is new.
    while before != (fates, len(search.known)):
        before = (fates, len(search.known))
        for lowest in (Fate.DROPPED, Fate.REPLACED):
            fates = search.lower(fates, lowest)
    return ShortestPrompt(
        text=text_of(words, fates),
        kept=tuple(word for word, fate in zip(words, fates, strict=True) if fate is Fate.KEPT),
        replaced=fates.count(Fate.REPLACED),
        complete=all(search.known.get(text) is False for text in _one_word_less(words, fates)),
    )


def text_of(words: Sequence[str], fates: Sequence[Fate]) -> str:
    """Return the prompt that is left of these words; the neutral word where none is.

    >>> text_of(["skull", "and", "crossbones"], [Fate.REPLACED, Fate.DROPPED, Fate.KEPT])
    'a crossbones'
    """
    left = [
        word if fate is Fate.KEPT else NEUTRAL_WORD
        for word, fate in zip(words, fates, strict=True)
        if fate is not Fate.DROPPED
    ]
    return " ".join(left) or NEUTRAL_WORD


class _Search:
    """Remembers what every text came to: `known` by text."""

    def __init__(self, words: Sequence[str], passes: Test) -> None:
        self._words = words
        self._passes = passes
        self._error: Exception | None = None
        self.known: dict[str, bool | None] = {" ".join(words): True}

    def lower(self, fates: tuple[Fate, ...], lowest: Fate) -> tuple[Fate, ...]:
        """Return what Hypothesis shrinks these fates to, by giving words the lowest one."""
        above = [number for number, fate in enumerate(fates) if fate > lowest]
        if not above:
            return fates
        # Of booleans, since other draws make Hypothesis read the project's sources and write a folder there.
        # A word stays if any of its own is true: the first try then is nearly always the whole prompt.
        coins = math.ceil(math.log2(WHOLE_FIRST * len(above)))
        stays = st.tuples(*[st.booleans()] * coins).map(any)

        def lowered(staying: tuple[bool, ...]) -> tuple[Fate, ...]:
            gone = {number for number, stay in zip(above, staying, strict=True) if not stay}
            return tuple(lowest if number in gone else fate for number, fate in enumerate(fates))

        try:
            with warnings.catch_warnings():
                # A command that asked pytest for its settings looks to Hypothesis like a plugin that loads.
                warnings.simplefilter("ignore", HypothesisSideeffectWarning)
                found = find(st.tuples(*[stays] * len(above)).map(lowered), self._holds, settings=_quiet())
        except NoSuchExample:
            found = fates
        if self._error is not None:
            raise self._error
        return found

    def _holds(self, fates: Sequence[Fate]) -> bool:
        text = text_of(self._words, fates)
        if text not in self.known and self._error is None:
            try:
                self.known[text] = self._passes(text)
            except Exception as error:  # noqa: BLE001 - Hypothesis would shrink it as if it were the aim
                self._error = error
        return bool(self.known.get(text))


def _quiet() -> settings:
    return settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=100,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )


def _one_word_less(words: Sequence[str], fates: tuple[Fate, ...]) -> list[str]:
    """Return the texts in which one word more is left out or replaced."""
    simpler = [
        (*fates[:number], Fate(lower), *fates[number + 1 :])
        for number, fate in enumerate(fates)
        for lower in range(fate)
    ]
    found = text_of(words, fates)
    return [text for text in (text_of(words, one) for one in simpler) if text != found]
