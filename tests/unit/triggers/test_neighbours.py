"""Neighbours of a prompt: others that are like it, in an order that only grows."""

import pytest

from memex_audit.triggers.neighbours import (
    SYNONYM,
    TYPING_ERROR,
    WORD_LEFT_OUT,
    WORDS_ADDED,
    WORDS_SWAPPED,
    neighbours_of,
)

CAPTION = "smiling face with sunglasses"


def test_no_neighbour_is_the_prompt_itself_and_none_stands_twice():
    for caption in (CAPTION, "aa aa", "llama", "Hat hat", "a  b"):
        texts = [text for text, _ in neighbours_of(caption, 1000)]
        assert len(texts) == len(set(texts))
        assert all(text.split() and text.casefold() != " ".join(caption.split()).casefold() for text in texts)


def test_each_kind_of_change_is_among_the_first():
    first = {kind for _, kind in neighbours_of(CAPTION, 5)}
    assert first == {WORD_LEFT_OUT, WORDS_ADDED, WORDS_SWAPPED, TYPING_ERROR, SYNONYM}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("smiling face sunglasses", WORD_LEFT_OUT),
        ("photo of smiling face with sunglasses", WORDS_ADDED),
        ("smiling face with sunglasses high quality", WORDS_ADDED),
        ("face smiling with sunglasses", WORDS_SWAPPED),
        ("grinning face with sunglasses", SYNONYM),
        ("smiling face with sunglassse", TYPING_ERROR),
    ],
)
def test_of_all_neighbours_these_are_some(text, kind):
    assert (text, kind) in neighbours_of(CAPTION, 1000)


def test_more_neighbours_add_to_those_that_were_there():
    assert neighbours_of(CAPTION, 12, seed=3)[:5] == neighbours_of(CAPTION, 5, seed=3)
    assert neighbours_of(CAPTION, 12, seed=3) != neighbours_of(CAPTION, 12, seed=4)


def test_a_prompt_of_one_word_has_neighbours_of_more():
    assert ("llama", WORD_LEFT_OUT) not in neighbours_of("llama", 100)
    assert {kind for _, kind in neighbours_of("llama", 100)} == {WORDS_ADDED, TYPING_ERROR}
