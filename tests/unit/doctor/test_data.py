"""Training set, embedder and prompts."""

from importlib import import_module

import pytest

from memex_audit import specimen
from memex_audit.doctor import data
from memex_audit.doctor.checks import State
from memex_audit.doctor.data import (
    check_embedder,
    check_prompts,
    check_training_set,
    count_prompts,
    find_prompts,
    is_embedded,
    needs_hub,
    read_first,
)
from memex_audit.errors import EmbedderError, TrainingSetError

HUB = "ViT-B-32/laion2b_s34b_b79k"


@pytest.fixture
def cached(monkeypatch):
    """Say whether the hub's weights are in the cache."""
    return lambda here: monkeypatch.setattr(data, "_weights_are_here", lambda bench: here)


def test_the_first_examples_are_read(bench, images):
    laid = bench(training_set=str(images("a cat", "a dog")), model="none")
    check = check_training_set(laid, read_first(laid.training_set))
    assert check.state is State.OK
    assert "2 pictures, the first 2 can be read (8 x 6)" in check.said


def test_pictures_without_a_caption_are_said_to_have_no_prompt(bench, images):
    folder = images("a cat", "a dog")
    (folder / "1.txt").unlink()
    laid = bench(training_set=str(folder), model="none")
    check = check_training_set(laid, read_first(laid.training_set))
    assert check.state is State.WARNING
    assert check.said.endswith("1 of them have no caption, and so no prompt")


def test_only_the_first_are_read_of_many(bench, images):
    laid = bench(training_set=str(images(*map(str, range(30)))), model="none")
    assert len(read_first(laid.training_set)) == 16


def test_a_set_without_a_usable_example_is_missing_and_says_why(bench, images):
    folder = images("a cat")
    (folder / "0.png").write_bytes(b"")
    laid = bench(training_set=str(folder), model="none")
    check = check_training_set(laid, read_first(laid.training_set))
    assert check.state is State.MISSING
    assert "no example can be used, the first: empty file" in check.said


def test_a_set_that_cannot_be_opened_is_the_error_that_an_audit_gives(bench):
    with pytest.raises(TrainingSetError, match="does not exist"):
        check_training_set(bench(training_set="nowhere", model="none"), ())


def test_without_a_set_there_must_be_prompts_and_matches_are_not_known(bench, tmp_path):
    assert check_training_set(bench(model="none"), ()).state is State.MISSING
    (tmp_path / "prompts.txt").write_text("a cat\n")
    check = check_training_set(bench(model="none", prompts=str(tmp_path / "prompts.txt")), ())
    assert check.state is State.WARNING
    assert "counts as extracted" in check.said


def test_an_embedder_in_a_folder_is_here_and_asks_no_hub(bench, images):
    laid = bench(training_set=str(images("a cat")), model="none", embedder="specimen")
    assert check_embedder(laid, embedded=False, hub=False).state is State.OK
    assert not needs_hub(laid, embedded=False)


def test_an_embedder_of_the_hub_is_cached_or_fetched_or_missing(bench, images, cached):
    laid = bench(training_set=str(images("a cat")), model="none", embedder=HUB)
    cached(True)
    assert check_embedder(laid, embedded=False, hub=False).state is State.OK
    assert not needs_hub(laid, embedded=False)
    cached(False)
    assert needs_hub(laid, embedded=False)
    assert check_embedder(laid, embedded=False, hub=True).state is State.WARNING
    assert check_embedder(laid, embedded=False, hub=False).state is State.MISSING


def test_the_cache_is_asked_for_the_revision_that_was_named(bench, images, monkeypatch):
    # Not as an attribute of its package: an audit that ran in this process may have left another there.
    open_clip_embedder = import_module("memex_audit.training_set.open_clip_embedder")
    asked = []
    monkeypatch.setattr(open_clip_embedder, "weights_are_cached", lambda *names: not asked.append(names))
    folder = str(images("a cat"))
    for name in (HUB, f"{HUB}@abc"):
        laid = bench(training_set=folder, model="none", embedder=name)
        assert check_embedder(laid, embedded=False, hub=False).state is State.OK
    assert asked == [("ViT-B-32", "laion2b_s34b_b79k", None), ("ViT-B-32", "laion2b_s34b_b79k", "abc")]


def test_the_embedder_that_nobody_chose_gives_way_to_the_specimens(bench, images, cached):
    cached(False)
    laid = bench(training_set=str(images("a cat")), model="none")
    check = check_embedder(laid, embedded=False, hub=False)
    assert check.state is State.WARNING
    assert "the specimen's small one is used instead" in check.said


def test_no_embedder_is_needed_for_what_is_embedded_already_or_without_a_set(bench, images, cached):
    cached(False)
    laid = bench(training_set=str(images("a cat")), model="none", embedder=HUB)
    assert check_embedder(laid, embedded=True, hub=False).state is State.OK
    assert not needs_hub(laid, embedded=True)
    assert check_embedder(bench(model="none"), embedded=False, hub=False).state is State.OK


def test_an_embedder_that_does_not_exist_is_the_error_that_an_audit_gives(bench, images):
    laid = bench(training_set=str(images("a cat")), model="none", embedder="local-dir:nowhere")
    with pytest.raises(EmbedderError, match="Embedder folder must hold"):
        check_embedder(laid, embedded=False, hub=False)


def test_a_set_that_was_mined_before_is_read_and_one_that_was_not_is_not_mined(bench, images, tmp_path):
    options = {"training_set": str(images("a cat", "a dog")), "model": "none", "embedder": "specimen"}
    laid = bench(**options)
    assert not is_embedded(laid)
    assert find_prompts(laid, embedded=False) is None
    assert not (tmp_path / "store").exists()
    assert len(bench(**options).prompts.prompts) == 2
    laid = bench(**options)
    assert is_embedded(laid)
    found = find_prompts(laid, embedded=True)
    assert count_prompts(laid, found) == 2


def test_prompts_of_a_file_are_counted_up_to_the_most(bench, tmp_path):
    (tmp_path / "prompts.txt").write_text("".join(f"picture {i}\n" for i in range(400)))
    laid = bench(model="none", prompts=str(tmp_path / "prompts.txt"))
    found = find_prompts(laid, embedded=False)
    assert count_prompts(laid, found) == 320
    check = check_prompts(laid, found)
    assert check.state is State.OK
    assert check.said == "320 in 320 groups (prompts like those of prompts.txt)"


def test_prompts_that_are_not_mined_yet_are_at_most_the_pictures(bench, images):
    laid = bench(training_set=str(images("a cat", "a dog")), model="none")
    assert count_prompts(laid, None) == 2
    laid = bench(training_set=str(specimen.TRAINING_SET), model="none")
    assert count_prompts(laid, None) == 320


def test_so_few_prompts_that_no_audit_can_pass_are_a_warning(bench, tmp_path):
    (tmp_path / "prompts.txt").write_text("".join(f"picture {i}\n" for i in range(298)))
    prompts = str(tmp_path / "prompts.txt")
    laid = bench(model="none", prompts=prompts)
    check = check_prompts(laid, find_prompts(laid, embedded=False))
    assert check.state is State.WARNING
    # 1 - 0.045 ** (1 / 309) = 0.00999: the first number of groups whose bound, of a first run, is within 1 %.
    assert "takes 309 groups" in check.said
    laid = bench(model="none", prompts=prompts, limit="0.02")
    assert check_prompts(laid, find_prompts(laid, embedded=False)).state is State.OK


def test_captions_that_are_few_are_no_lack_where_the_images_are_counted(bench, images):
    laid = bench(training_set=str(images("a cat", "a dog")), model="none")
    check = check_prompts(laid, None)
    assert check.state is State.OK
    assert check.said.endswith("captions are so few that the rate counts training images")


def test_no_prompts_at_all_are_missing(bench):
    assert check_prompts(bench(model="none"), None).state is State.MISSING
