"""A model that gives a training image back mirrored, and what the finding says of it."""

import json
import warnings

import jsonschema
import pytest
import torch

from memex_audit.reporting.json_report import SCHEMA_FILE

GIVEN = ("--memex-training-set", "images", "--memex-embedder", "specimen")


class Averages(torch.nn.Module):
    """Stands for SSCD: the mean colour of each of 16 x 16 cells."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pixels, 20).flatten(1)


@pytest.fixture
def mirroring(project):
    """The project's model, which gives copies back with left and right exchanged."""
    path = project.path / "conftest.py"
    text = path.read_text()
    assert '.convert("RGB")).astype(int)' in text
    path.write_text(text.replace('.convert("RGB")).astype(int)', '.convert("RGB"))[:, ::-1].astype(int)'))
    project.captions("copied cat", *(f"clean picture {i}" for i in range(4)))
    return project


def findings_of(project):
    data = json.loads((project.path / "result.json").read_text())
    jsonschema.validate(data, json.loads(SCHEMA_FILE.read_text()))
    return {finding["prompt"]: finding for finding in data["findings"]}


def test_a_mirrored_training_image_is_extracted_and_the_finding_says_so(mirroring):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(Averages().eval()).save(str(mirroring.path / "sscd.pt"))
    run = mirroring.audit(*GIVEN, "--memex-sscd", "sscd.pt")
    found = findings_of(mirroring)
    assert {prompt: finding["verdict"] for prompt, finding in found.items()} == {
        "copied cat": "extracted", **{f"clean picture {i}": "not_flagged" for i in range(4)},
    }  # fmt: skip
    match = found["copied cat"]["match"]
    assert (match["alteration"], match["kind"], match["example_id"]) == (
        "mirrored",
        "matching",
        "copied-cat.png",
    )
    assert match["distance"] < 0.05
    assert -1 <= match["sscd"] < 0.75
    assert -1 <= match["cosine"] <= 1
    said = " ".join(run.stdout.str().split())
    assert "gives back training image copied-cat.png, mirrored" in said
    notes = json.loads((mirroring.path / "result.json").read_text())["notes"]
    assert any(note.startswith("cosines of SSCD are those of sscd.pt@") for note in notes)


def test_a_file_that_is_no_copy_detector_is_one_error(mirroring):
    (mirroring.path / "sscd.pt").write_bytes(b"no zip")
    run = mirroring.audit(*GIVEN, "--memex-sscd", "sscd.pt")
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    run.stdout.fnmatch_lines(["*EmbedderError*--memex-sscd must be TorchScript*"])
