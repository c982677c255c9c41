"""Prompts that the model cuts are named, and those that it reads alike are one."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from memex_audit import specimen
from memex_audit.generation.prompt_tokens import merge_read_alike, pipeline_tokenizers, read_tokens
from memex_audit.records import AuditPrompt, Frame, FrameStratum, PromptSet
from memex_audit.training_set.prompts import prompt_id_of


class Words:
    """A tokenizer of whole words in lower case."""

    def __init__(self, model_max_length):
        self.model_max_length = model_max_length

    def __call__(self, text, *, truncation, max_length=None, verbose=True):
        ids = [hash(word) for word in text.lower().split()]
        return SimpleNamespace(input_ids=ids[:max_length] if truncation else ids)


class WordsWithCase(Words):
    """A tokenizer of letters, white space and case."""

    def __call__(self, text, *, truncation, max_length=None, verbose=True):
        ids = [ord(letter) for letter in text]
        return SimpleNamespace(input_ids=ids[:max_length] if truncation else ids)


class Reader:
    def __init__(self, *limits):
        self._tokenizers = [(Words(limit), limit) for limit in limits]

    def read_tokens(self, prompt):
        return read_tokens(self._tokenizers, prompt)


def prompts(*texts, size=None, groups=None):
    made = [
        AuditPrompt(
            prompt_id=prompt_id_of(text), text=text, duplication_count=1,
            group_id=groups[i] if groups else f"g{i}",
        )
        for i, text in enumerate(texts)
    ]  # fmt: skip
    return PromptSet(prompts=tuple(made), frame=Frame(description="all", size=size))


def grouped(found):
    return [prompt.group_id for prompt in found.prompts]


def test_short_prompts_stay_as_they_are():
    before = prompts("a cat", "a dog")
    assert merge_read_alike(before, Reader(3)) == (before, ())


def test_a_generator_that_does_not_say_what_it_reads_changes_nothing():
    before = prompts("a cat", "a cat")
    assert merge_read_alike(before, object()) == (before, ())


def test_a_prompt_that_is_cut_is_named_by_its_id_and_keeps_its_text():
    before = prompts("a cat on a mat", "a dog")
    after, notes = merge_read_alike(before, Reader(3))
    assert after == before
    named = prompt_id_of("a cat on a mat")
    assert notes == (f"1 of 2 prompts is longer than the model reads, and audited as cut: {named}.",)


def test_prompts_that_become_equal_by_the_cut_are_one_and_the_frame_is_smaller():
    before = prompts("a cat on a mat", "a dog", "a cat on a roof", "a cat on", size=10)
    after, notes = merge_read_alike(before, Reader(3))
    assert [prompt.text for prompt in after.prompts] == ["a cat on a mat", "a dog"]
    first, second = prompt_id_of("a cat on a roof"), prompt_id_of("a cat on")
    assert after.read_as == dict.fromkeys([first, second], prompt_id_of("a cat on a mat"))
    assert after.frame.size == 8
    assert notes[0].startswith("2 of 4 prompts are longer than the model reads, and audited as cut: ")
    assert notes[1].startswith(
        "3 prompts are 1 to the model, which reads the same tokens of them, and are audited as one each: "
    )


def test_the_prompt_that_stands_for_others_has_their_training_images_and_largest_count():
    before = prompts("A cat", "a  CAT")
    few, many = (
        replace(before.prompts[0], example_ids=("x", "y")),
        replace(before.prompts[1], example_ids=("y", "z"), duplication_count=7),
    )
    after, _ = merge_read_alike(replace(before, prompts=(few, many)), Reader(9))
    assert [(p.text, p.example_ids, p.duplication_count) for p in after.prompts] == [
        ("A cat", ("x", "y", "z"), 7)
    ]


def test_prompts_that_differ_only_in_what_the_tokenizer_drops_are_one():
    after, notes = merge_read_alike(prompts("A cat", "a  CAT", "a dog"), Reader(9))
    assert grouped(after) == ["g0", "g2"]
    assert len(notes) == 1


def test_groups_that_share_a_prompt_by_a_chain_are_one():
    before = prompts("a", "A", "b", "B", "c", groups=["g4", "g3", "g3", "g2", "g1"], size=4)
    after, _ = merge_read_alike(before, Reader(9))
    assert grouped(after) == ["g2", "g2", "g1"]
    assert after.frame.size == 2


def test_a_stratum_loses_the_groups_that_are_joined_to_others():
    before = prompts("a", "A", "b", "c", groups=["g4", "g3", "g2", "g1"], size=14)
    strata = (
        FrameStratum(name="census", size=1, group_ids=("g4",)),
        FrameStratum(name="sample", size=13, group_ids=("g3", "g2", "g1")),
    )
    after, _ = merge_read_alike(replace(before, strata=strata), Reader(9))
    assert after.strata == (
        FrameStratum(name="census", size=1, group_ids=("g3",)),
        FrameStratum(name="sample", size=12, group_ids=("g2", "g1")),
    )


def test_many_are_counted_and_the_first_named():
    texts = [f"a long prompt number {i}" for i in range(8)]
    _, notes = merge_read_alike(prompts(*texts), Reader(4))
    first = ", ".join(prompt_id_of(text) for text in texts[:5])
    assert (
        notes[0] == f"8 of 8 prompts are longer than the model reads, and audited as cut: {first} and 3 more."
    )
    assert notes[1].endswith(f"{first} and 3 more.")


def test_what_one_of_several_tokenizers_still_reads_is_not_cut():
    long, other = "a cat on a mat", "a cat on a roof"
    assert Reader(3, 9).read_tokens(long)[1] == 0
    assert Reader(3, 4).read_tokens(long)[1] == 1
    assert Reader(3, 9).read_tokens(long)[0] != Reader(3, 9).read_tokens(other)[0]
    assert Reader(3, 4).read_tokens(long)[0] == Reader(3, 4).read_tokens(other)[0]


def test_a_model_without_a_tokenizer_reads_everything():
    assert read_tokens((), "a cat") == ("a cat", 0)


class Pipeline:
    def __init__(self, **tokenizers):
        vars(self).update(tokenizers)

    def __call__(self, prompt, max_sequence_length=256):
        raise NotImplementedError


class Plain(Pipeline):
    def __call__(self, prompt):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("pipeline", "limits"),
    [
        (Plain(tokenizer=Words(77)), [77]),
        (Plain(tokenizer=Words(77), tokenizer_2=None), [77]),
        (Pipeline(tokenizer=Words(77), tokenizer_2=Words(77), tokenizer_3=Words(512)), [77, 77, 256]),
        (Pipeline(tokenizer=Words(int(1e30))), [256]),
        (Plain(prior_tokenizer=Words(77)), [77]),
        (type("IFPipeline", (Plain,), {})(tokenizer=Words(512)), [77]),
        (Plain(), []),
    ],
)
def test_a_pipelines_tokenizers_have_the_room_that_the_pipeline_gives_them(pipeline, limits):
    assert [limit for _, limit in pipeline_tokenizers(pipeline)] == limits


def test_a_pipeline_that_drops_case_reads_two_captions_alike():
    """PixArt, Sana and DeepFloyd IF read by tokenizers that keep case, and make small letters first."""
    recased = type("Recased", (Plain,), {"_text_preprocessing": None})(tokenizer=WordsWithCase(9))
    plain = Plain(tokenizer=WordsWithCase(9))
    alike = [read_tokens(pipeline_tokenizers(recased), text) for text in ("A Cat ", "a cat")]
    apart = [read_tokens(pipeline_tokenizers(plain), text) for text in ("A Cat ", "a cat")]
    assert alike[0] == alike[1]
    assert apart[0] != apart[1]


def test_a_learned_token_of_several_vectors_takes_the_room_of_all():
    class Learned(Plain):
        def maybe_convert_prompt(self, prompt, tokenizer):
            return prompt.replace("<toy>", "<toy> <toy>_1 <toy>_2")

    assert read_tokens(pipeline_tokenizers(Learned(tokenizer=Words(2))), "a <toy>")[1] == 2
    assert read_tokens(pipeline_tokenizers(Plain(tokenizer=Words(2))), "a <toy>")[1] == 0


def test_a_tokenizer_without_a_limit_cuts_nothing():
    unlimited = Words(math.inf)
    assert read_tokens([(unlimited, math.inf)], "word " * 1000)[1] == 0


def test_the_specimens_tokenizer_says_what_it_reads():
    from transformers import CLIPTokenizer

    folder = specimen.twin_folder("specimen:duplicated") / "tokenizer"
    tokenizers = [(CLIPTokenizer.from_pretrained(folder), 16.0)]
    whole, n_cut = read_tokens(tokenizers, "a cat")
    assert n_cut == 0
    assert len(whole[0]) < 16
    long = " ".join(["cat"] * 100)
    cut, n_cut = read_tokens(tokenizers, long)
    assert (len(cut[0]), n_cut) == (16, 100 + 2 - 16)
    assert read_tokens(tokenizers, long + " dog")[0] == cut
    assert read_tokens(tokenizers, "A  Cat")[0] == whole
