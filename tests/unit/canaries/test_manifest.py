"""A manifest is read only as it was made, and so are the pictures that it names."""

import json
from dataclasses import replace

import pytest

from memex_audit.canaries.making import Plan, make_canaries
from memex_audit.canaries.manifest import read_manifest, seal_of
from memex_audit.errors import CanaryError
from memex_audit.records import AuditPrompt, Frame, FrameStratum, PromptSet
from memex_audit.training_set.prompts import prompt_id_of


@pytest.fixture
def made(tmp_path):
    plan = Plan(repetitions=(2, 5), each=1, references=3, size=(16, 16), seed=0)
    return make_canaries(tmp_path / "canaries", plan)


def altered(made, **changes):
    """Write the manifest with another content, sealed anew."""
    path = made.folder / "canaries.json"
    content = {**json.loads(path.read_text()), **changes}
    content["seal"] = seal_of(content)
    path.write_text(json.dumps(content))
    return path


def test_a_manifest_comes_back_as_it_was_made(made):
    assert read_manifest(made.folder / "canaries.json") == made
    assert len(made.seal) == 64
    assert [canary.repetitions for canary in made.planted] == [2, 5]
    assert len(made.references) == 3


def test_the_seal_does_not_depend_on_how_the_json_is_laid_out(made):
    path = made.folder / "canaries.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items()))))
    assert read_manifest(path).seal == made.seal


@pytest.mark.parametrize(
    ("before", "after"),
    [('"repetitions": 5', '"repetitions": 50'), ('"seed": 0', '"seed": 1'), (" 16,", " 32,")],
)
def test_a_changed_manifest_is_refused(made, before, after):
    path = made.folder / "canaries.json"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(CanaryError, match=r"must be as it was made, got content that its seal does not fit"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "must be a canaries.json of `memex canary make`, got no JSON"),
        ("[]", "must be a canaries.json of version 1, got version=None"),
        ('{"version": 2}', "must be a canaries.json of version 1, got version=2; read it with the"),
    ],
)
def test_what_is_no_manifest_is_refused(made, content, said):
    path = made.folder / "canaries.json"
    path.write_text(content)
    with pytest.raises(CanaryError, match=said):
        read_manifest(path)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(
        CanaryError, match=r"--memex-canaries must be a canaries.json .*No such file.*; check the path"
    ):
        read_manifest(tmp_path / "canaries.json")


def entry(**changes):
    plain = {"id": "a", "caption": "b", "repetitions": 1, "picture": "a.png", "sha256": "0" * 64}
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("canaries", "said"),
    [
        ([entry()], "must have at least 1 reference, got 0: exposure ranks"),
        ([entry(repetitions=0)], "must have at least 1 planted canary, got 0"),
        (
            [entry(repetitions=-1)],
            "must be a whole manifest, got ValueError: repetitions must be a whole number",
        ),
        ([entry(repetitions=True)], "repetitions must be a whole number of at least 0, got True"),
        ([entry(sha256="00")], "sha256 must be 64 hex digits, got '00'"),
        ([{"id": "a"}], "must be a whole manifest, got KeyError: 'repetitions'"),
    ],
)
def test_a_manifest_that_cannot_be_audited_is_refused(made, canaries, said):
    with pytest.raises(CanaryError, match=said):
        read_manifest(altered(made, canaries=canaries))


def test_a_missing_picture_is_named(made):
    canary = made.planted[0]
    (made.folder / canary.picture).unlink()
    with pytest.raises(
        CanaryError, match=rf"must be beside their manifest, got .*{canary.canary_id}.png .*; keep"
    ):
        made.read_picture(canary)


def test_another_picture_in_its_place_is_refused(made):
    one, two = made.planted
    (made.folder / one.picture).write_bytes(made.read_picture(two))
    with pytest.raises(CanaryError, match="must be the picture that was made, got another file"):
        made.read_picture(one)


def prompts_of(*captions: str, size: int | None) -> PromptSet:
    prompts = tuple(
        AuditPrompt(prompt_id=prompt_id_of(c), text=c, group_id=f"group of {c}", duplication_count=1)
        for c in captions
    )
    return PromptSet(prompts=prompts, frame=Frame(description="captions", size=size))


def test_captions_of_canaries_are_left_out_of_the_audit_set_and_its_frame(made):
    canaries = [canary.caption for canary in made.planted]
    kept, left_out = made.leave_out(prompts_of("a cat", *canaries, "a dog", size=40))
    assert [prompt.text for prompt in kept.prompts] == ["a cat", "a dog"]
    assert (left_out, kept.frame.size) == (2, 38)
    kept, left_out = made.leave_out(prompts_of("a cat", size=None))
    assert (left_out, kept.frame.size) == (0, None)


def test_strata_of_the_frame_lose_the_groups_of_canaries(made):
    canary = made.planted[0].caption
    strata = (
        FrameStratum(name="duplicated", size=1, group_ids=(f"group of {canary}",)),
        FrameStratum(name="others", size=9, group_ids=("group of a cat", "group of a dog")),
    )
    listed = replace(prompts_of("a cat", canary, "a dog", size=10), strata=strata)
    kept, _ = made.leave_out(listed)
    assert kept.strata == strata[1:]
    assert kept.frame.size == sum(stratum.size for stratum in kept.strata) == 9


def test_an_audit_set_of_canaries_alone_is_refused(made):
    with pytest.raises(
        CanaryError, match="must hold captions beside those of the canaries, got canaries alone"
    ):
        made.leave_out(prompts_of(made.planted[0].caption, size=None))


def test_a_group_that_others_are_in_stays_in_the_frame(made):
    listed = prompts_of("a cat", made.planted[0].caption, size=10)
    together = replace(listed, prompts=tuple(replace(p, group_id="one") for p in listed.prompts))
    assert made.leave_out(together)[0].frame.size == 10
