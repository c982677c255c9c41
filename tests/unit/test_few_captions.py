"""Few captions -> how many pictures each takes, and what images without one are of."""

import pytest

from memex_audit.config import Settings
from memex_audit.few_captions import protocols_of_few_captions, tie_uncaptioned
from memex_audit.records import AuditPrompt, Frame, PromptSet, Protocol, Unit

PROTOCOL = Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.1, match_delta=0.08)


def prompt(name, n_images=0):
    ids = tuple(f"{name}-{i}" for i in range(n_images))
    return AuditPrompt(prompt_id=name, text=name, group_id=name, duplication_count=1, example_ids=ids)


def prompt_set(*prompts, n_captions=None):
    n_captions = len(prompts) if n_captions is None else n_captions
    frame = Frame(description="f", size=len(prompts))
    return PromptSet(prompts=prompts, frame=frame, n_examples=100, n_captions=n_captions)


def test_each_caption_is_looked_at_once_with_generations_for_its_images():
    own = protocols_of_few_captions(Settings(), PROTOCOL, prompt_set(prompt("one", 1), prompt("many", 40)))
    assert {name: (p.looks, p.clique_size) for name, p in own.items()} == {
        "one": ((16,), 4),
        "many": ((320,), 80),  # a quarter of the generations, as the protocol asks
    }
    for protocol in own.values():
        assert protocol.unit is Unit.TRAINING_IMAGE
        assert (protocol.edge_delta, protocol.match_delta) == (0.1, 0.08)


def test_a_clique_size_of_ones_own_is_kept():
    own = protocols_of_few_captions(Settings(clique_size=6), PROTOCOL, prompt_set(prompt("many", 40)))
    assert own["many"].clique_size == 6


@pytest.mark.parametrize("settings", [Settings(generations=24), Settings(preset="carlini-2023")])
def test_a_number_of_generations_of_ones_own_and_another_preset_are_kept(settings):
    asked = Protocol(name="p", looks=(24,), clique_size=5, edge_delta=0.1, match_delta=0.1)
    own = protocols_of_few_captions(settings, asked, prompt_set(prompt("many", 40)))
    assert (own["many"].looks, own["many"].clique_size, own["many"].unit) == ((24,), 5, Unit.TRAINING_IMAGE)


def test_fifty_captions_have_one_protocol_in_common():
    assert protocols_of_few_captions(Settings(), PROTOCOL, prompt_set(prompt("a", 3), n_captions=50)) == {}


def test_images_without_a_caption_stand_under_every_listed_prompt():
    tied, n_captions = tie_uncaptioned([prompt("a", 1), prompt("b")], ["a"], 1, ("x", "y"))
    assert [p.example_ids for p in tied] == [("a-0", "x", "y"), ("x", "y")]
    assert n_captions == 2


def test_where_every_image_has_a_caption_listed_prompts_are_none():
    listed = [prompt("a", 1), prompt("b")]
    assert tie_uncaptioned(listed, ["a"], 1, ()) == (tuple(listed), 1)


def test_with_many_prompts_an_image_without_a_caption_is_of_none_of_them():
    listed = [prompt(str(i)) for i in range(50)]
    assert tie_uncaptioned(listed, (), 0, ("x",)) == (tuple(listed), 50)
