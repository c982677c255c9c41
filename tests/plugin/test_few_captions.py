"""A fine-tune on few captions, as its owner meets it: which of the pictures come back, and why they count."""

import json
import shutil

import pytest


@pytest.fixture
def fine_tune(project):
    """A project that is judged as a fine-tune."""
    project.take_for_a_fine_tune()
    return project


def result(project):
    return json.loads((project.path / "result.json").read_text())


def test_images_that_come_back_are_named_and_counted_out_of_all(fine_tune):
    fine_tune.captions("copied cat", "clean dog", "clean sun")
    run = fine_tune.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-report", "r.md"
    )
    run.assert_outcomes(passed=2, failed=2)
    found = result(fine_tune)
    rate = found["rate"]
    assert (rate["unit"], rate["captions"], rate["groups"], rate["extracted_groups"]) == (
        "training image",
        3,
        3,
        1,
    )
    assert rate["unit_reason"].startswith("the training set has 3 distinct captions, fewer than 50")
    copied = next(f for f in found["findings"] if f["verdict"] == "extracted")
    assert [(image["example_id"], image["seeds"]) for image in copied["images"]] == [("copied-cat.png", 16)]
    assert found["protocol"]["unit"] == "training image"
    assert found["protocol"]["looks"] == [16]
    shown = run.stdout.str()
    assert 'The model gives back training image copied-cat.png for "copied cat".' in shown
    assert "1 of 3 training images extracted" in shown
    page = (fine_tune.path / "r.md").read_text()
    assert "- **Distinct captions of the training set**: 3" in page
    assert (
        "- **Unit of the rate**: training image (the training set has 3 distinct captions, fewer than 50"
        in page
    )


def test_a_fine_tune_that_gives_nothing_back_passes_on_one_caption(fine_tune):
    fine_tune.captions("clean dog")
    run = fine_tune.audit("--memex-training-set", "images", "--memex-embedder", "specimen")
    run.assert_outcomes(passed=2)
    assert result(fine_tune)["verdict"] == "pass"
    assert result(fine_tune)["rate"]["upper"] == 0


def test_the_more_images_a_caption_has_the_more_is_drawn_for_it(fine_tune):
    fine_tune.captions(*(f"clean dog {i}" for i in range(5)))
    for i in range(5):
        (fine_tune.path / "images" / f"clean-dog-{i}.txt").write_text("my dog")
    fine_tune.captions("clean sun")
    fine_tune.audit("--memex-training-set", "images", "--memex-embedder", "specimen").assert_outcomes(
        passed=3
    )
    drawn = {finding["prompt"]: finding["generations"] for finding in result(fine_tune)["findings"]}
    assert drawn == {"my dog": 40, "clean sun": 16}


def test_a_number_of_generations_of_ones_own_is_kept_to(fine_tune):
    fine_tune.captions("clean dog", "clean sun")
    fine_tune.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-generations", "5"
    ).assert_outcomes(passed=3)
    assert len(fine_tune.drawn) == 2 * 5


def without_captions(project):
    """Leave pictures only in images/, as a folder for DreamBooth holds them."""
    for caption in (project.path / "images").glob("*.txt"):
        caption.unlink()


def test_pictures_without_captions_are_looked_for_under_the_prompts_of_a_file(fine_tune):
    fine_tune.captions("copied cat", "clean dog", "clean sun")
    without_captions(fine_tune)
    fine_tune.prompts("copied cat")
    arguments = ("--memex-training-set", "images", "--memex-embedder", "specimen")
    run = fine_tune.audit(*arguments, "--memex-prompts", "prompts.csv")
    run.assert_outcomes(failed=2)
    found = result(fine_tune)
    assert found["rate"]["captions"] == 1
    assert (found["rate"]["extracted_groups"], found["rate"]["groups"]) == (1, 3)
    assert found["findings"][0]["match"]["kind"] == "matching"
    assert found["findings"][0]["generations"] == 24  # three pictures stand under the prompt
    assert found["set_aside"]["by_reason"] == {"picture without a caption": 3}


def test_pictures_without_captions_and_without_prompts_are_refused_with_the_way_out(fine_tune):
    fine_tune.captions("clean dog")
    without_captions(fine_tune)
    run = fine_tune.audit("--memex-training-set", "images", "--memex-embedder", "specimen")
    assert "must hold a caption for each picture, got pictures only" in run.stdout.str()
    assert "--memex-prompts FILE" in run.stdout.str()


def test_a_set_whose_only_caption_is_of_a_broken_picture_is_refused_with_the_way_out(fine_tune):
    fine_tune.captions("clean dog", "clean sun")
    without_captions(fine_tune)
    (fine_tune.path / "images" / "broken.png").write_text("no picture")
    (fine_tune.path / "images" / "broken.txt").write_text("a caption")
    run = fine_tune.audit("--memex-training-set", "images", "--memex-embedder", "specimen")
    assert "a training set must have captions to make prompts of" in run.stdout.str()


def test_a_caption_left_out_of_the_audit_leaves_it_inconclusive(fine_tune):
    fine_tune.captions("clean dog", "clean sun")
    run = fine_tune.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-max-prompts", "1"
    )
    run.assert_outcomes(passed=1, failed=1)
    assert result(fine_tune)["verdict"] == "inconclusive"
    assert "audit every caption: 1 training image stand" in " ".join(run.stdout.str().split())


def test_with_captions_redacted_no_report_names_an_image(fine_tune):
    fine_tune.captions("copied cat", "clean dog")
    run = fine_tune.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-redact", "captions",
        "--memex-report", "r.md", "--junitxml", "junit.xml", "--alluredir", "allure",
    )  # fmt: skip
    run.assert_outcomes(passed=1, failed=2)
    texts = [
        run.stdout.str(),
        *((fine_tune.path / name).read_text() for name in ("result.json", "r.md", "junit.xml")),
    ]
    texts += [path.read_text() for path in (fine_tune.path / "allure").iterdir() if path.suffix == ".json"]
    for text in texts:
        assert "copied cat" not in text
        assert "copied-cat" not in text
    (image,) = next(f["images"] for f in result(fine_tune)["findings"] if f["images"])
    assert len(image["example_id"]) == 12


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_the_result_is_the_same_on_several_workers(fine_tune, workers):
    fine_tune.captions("copied cat", "copied bird", *(f"clean dog {i}" for i in range(4)))
    run = fine_tune.audit("--memex-training-set", "images", "--memex-embedder", "specimen", workers)
    run.assert_outcomes(passed=4, failed=3)
    assert (result(fine_tune)["rate"]["extracted_groups"], result(fine_tune)["rate"]["groups"]) == (2, 6)
    assert len(set(fine_tune.drawn)) == len(fine_tune.drawn) == 6 * 16


def test_originals_of_every_image_given_back_go_to_the_private_folder(fine_tune):
    fine_tune.captions("copied cat", "copied bird", "clean dog")
    # Two images under one caption, both of which come back.
    shutil.copy(fine_tune.path / "images" / "copied-cat.png", fine_tune.path / "images" / "again.png")
    (fine_tune.path / "images" / "again.txt").write_text("copied cat")
    fine_tune.audit(
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-evidence", "full:private"
    )
    written = {
        path.relative_to(fine_tune.path / "private").as_posix()
        for path in fine_tune.path.glob("private/*/**/*.png")
    }
    assert sum(name.endswith("image-02/training-image.png") for name in written) == 1
    assert sum(name.endswith("training-image.png") for name in written) == 3
