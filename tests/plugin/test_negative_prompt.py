"""A negative prompt of a redacted run is in none of its outputs."""

import json

SECRET = "zebra of Jane Roe"


def test_a_negative_prompt_is_in_no_output_where_captions_are_redacted(project):
    project.take_the_model_that_is_named()
    project.prompts("disappointed but relieved face")
    run = project.audit(
        "--memex-prompts", "prompts.csv", "--memex-redact", "captions", "--memex-negative-prompt", SECRET,
        "--memex-model", "specimen:duplicated", "--memex-device", "cpu",
        "--memex-steps", "4", "--memex-report", "report.md", "--junitxml", "junit.xml",
        "--alluredir", "allure-results", "audits/test_duplicated_prompts.py",
    )  # fmt: skip
    settings = json.loads((project.path / "result.json").read_text())["provenance"]["settings"]
    # echo -n "zebra of Jane Roe" | sha256sum
    assert settings["negative_prompt"] == "451637df4cce"
    assert "--memex-negative-prompt TEXT" in (project.path / "junit.xml").read_text()  # to repeat the case
    names = ("result.json", "report.md", "junit.xml")
    outputs = [project.path / name for name in names] + list((project.path / "allure-results").iterdir())
    for text in (run.stdout.str(), *(path.read_text(errors="replace") for path in outputs)):
        assert "zebra" not in text
