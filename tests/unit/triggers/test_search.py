"""The search of the shortest prompt: what triggers is planted, so what must be found is known."""

import subprocess
import sys
from random import Random

import pytest

from memex_audit.triggers.search import find_shortest


def planted_words(n_prompts):
    """Yield prompts of 1 to 14 distinct words, and which of them trigger."""
    random = Random(0)
    for _ in range(n_prompts):
        words = [f"word{i}" for i in range(random.randint(1, 14))]
        yield words, [word for word in words if random.random() < 0.3]


# Not drawn by Hypothesis, which the search runs inside: it may not be nested.
@pytest.mark.parametrize(("words", "wanted"), list(planted_words(40)))
def test_words_that_trigger_whatever_stands_beside_them_are_found(words, wanted):
    asked = []

    def passes(text):
        asked.append(text)
        return set(wanted) <= set(text.split())

    found = find_shortest(words, passes)
    assert list(found.kept) == wanted
    assert found.complete
    assert found.replaced == 0
    assert found.text == (" ".join(wanted) or "a")
    assert len(asked) == len(set(asked)), "a text is tested once"


def test_a_word_that_must_keep_its_place_has_neutral_words_before_it():
    found = find_shortest(
        ["smiling", "face", "with", "halo", "today"], lambda text: text.split()[3:4] == ["halo"]
    )
    assert (found.text, found.kept, found.replaced) == ("a a a halo", ("halo",), 3)
    assert found.complete


def test_of_two_sets_of_words_that_trigger_one_is_found_of_which_no_word_can_be_spared():
    found = find_shortest(
        ["b", "c", "d", "e"], lambda text: {"b", "c"} <= set(text.split()) or {"e"} <= set(text.split())
    )
    assert found.kept in (("b", "c"), ("e",))
    assert found.complete


def test_a_word_that_stands_twice_is_kept_once_where_once_is_enough():
    found = find_shortest(["red", "cat", "red"], lambda text: "red" in text.split())
    assert found.kept == ("red",)


@pytest.mark.parametrize("budget", [0, 1, 5])
def test_a_search_that_may_ask_no_more_says_that_it_is_not_complete(budget):
    words = [f"word{i}" for i in range(11)]
    asked = []

    def passes(text):
        if len(asked) == budget:
            return None
        asked.append(text)
        return {"word3", "word7"} <= set(text.split())

    found = find_shortest(words, passes)
    assert not found.complete
    assert {"word3", "word7"} <= set(found.kept)
    assert len(asked) == budget


def test_the_same_search_asks_the_same_texts():
    runs = []
    for _ in range(2):
        asked = []
        find_shortest(list("bcdefgh"), lambda text, asked=asked: asked.append(text) or {"d"} <= set(text))
        runs.append(asked)
    assert runs[0] == runs[1]


def test_an_error_of_the_test_is_raised_as_it_is():
    def passes(text):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match=r"^the disk is full$"):
        find_shortest(["red", "cat"], passes)


def test_a_search_writes_no_file_and_no_line(tmp_path):
    code = (
        "from memex_audit.triggers.search import find_shortest\n"
        "assert find_shortest(['b', 'c', 'd'], lambda text: 'c' in text).text == 'c'\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
