"""Each rule of a contract can fail: a good object keeps all, a broken one breaks those it is meant to."""

import re
import subprocess
import sys
from pathlib import Path

import numpy  # noqa: F401 - cannot be loaded twice, and pytester forgets what it loaded
import pytest

import memex_audit.testing  # noqa: F401

HERE = Path(__file__).parent
SUBJECTS = ("generators", "embedders", "indexes", "training_sets")


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def outcomes(pytester, kept):
    """Run a module of contracts once: (class, rule) -> outcome and message, and what each class breaks."""

    def run(name):
        if name not in kept:
            kept[name] = run_anew(name)
        return kept[name]

    def run_anew(name):
        source = (HERE / f"broken_{name}.py").read_text()
        pytester.makepyfile(**{f"test_{name}": source})
        recorder = pytester.inline_run("-q", "-p", "no:cacheprovider")
        found = {}
        for report in recorder.getreports("pytest_runtest_logreport"):
            if report.when == "call" or report.failed:
                _, cls, rule = report.nodeid.split("::")
                found[cls, rule] = (report.outcome, report.longreprtext)
        breaks = {
            cls: set(re.findall(r"\"(test_\w+)\"", body))
            for cls, body in re.findall(
                r"class (Test\w+)\(Contract\):(.*?)(?=\nclass |\Z)", source, re.DOTALL
            )
        }
        return found, breaks

    return run


@pytest.mark.parametrize("name", SUBJECTS)
def test_each_broken_object_breaks_the_rules_it_is_meant_to_and_no_other(outcomes, name):
    found, breaks = outcomes(name)
    failed = {cls: {rule for (of, rule), (outcome, _) in found.items() if of == cls and outcome == "failed"}
              for cls in breaks}  # fmt: skip
    assert failed == breaks
    assert breaks["TestGood"] == set()


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_rule_is_without_an_object_that_breaks_it(outcomes, name):
    found, breaks = outcomes(name)
    assert {rule for _, rule in found} == set().union(*breaks.values())


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_broken_rule_is_one_sentence_without_a_traceback(outcomes, name):
    found, _ = outcomes(name)
    for (cls, rule), (outcome, text) in found.items():
        if outcome == "failed" and cls not in {"TestWithoutEvaluations", "TestWithoutDimension"}:
            assert re.search(r"\bmust\b.*\bgot\b", text), (cls, rule, text)
            assert "Traceback" not in text
            assert "memex_audit/testing" not in text, (cls, rule, text)


def test_what_is_not_seeded_skips_the_rules_of_seeds_and_no_other(outcomes):
    found, _ = outcomes("generators")
    skipped = {
        rule for (cls, rule), (outcome, _) in found.items() if outcome == "skipped" and cls == "TestUnseeded"
    }
    assert skipped == {rule for _, rule in found if rule.startswith("test_the_same_request")}


def test_the_largest_difference_is_recorded(pytester):
    pytester.makepyfile(test_generators=(HERE / "broken_generators.py").read_text())
    reports = pytester.inline_run("-q", "-k", "TestRounding").getreports("pytest_runtest_logreport")
    recorded = {
        report.nodeid.rpartition("_")[2]: dict(report.user_properties)["largest_difference"]
        for report in reports
        if report.when == "call" and "same_request" in report.nodeid
    }
    assert recorded == {"again": 0, "order": 0, "alone": 2}


def test_the_generator_of_the_project_is_tested_where_no_other_is_named(pytester):
    pytester.makeconftest(
        """
        import numpy as np
        import pytest
        from memex_audit.records import Generation

        class Noise:
            fingerprint, settings, seeded, shareable, evaluations_per_image = "noise", {"a": 1}, True, True, 1

            def generate(self, requests):
                for request in requests:
                    pixels = np.random.default_rng(request.seed).integers(0, 256, (8, 8, 3), np.uint8)
                    yield Generation(request=request, pixels=pixels)

        @pytest.fixture(scope="session")
        def memex_generator():
            return Noise()
        """
    )
    pytester.makepyfile(
        """
        from memex_audit.testing import GeneratorContract

        class TestOurs(GeneratorContract):
            pass
        """
    )
    result = pytester.runpytest("-q")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] >= 13


def test_an_index_contract_without_an_index_says_what_to_define(pytester):
    pytester.makepyfile(
        """
        from memex_audit.testing import IndexContract

        class TestOurs(IndexContract):
            pass
        """
    )
    result = pytester.runpytest("-q")
    result.stdout.fnmatch_lines("*NotImplementedError: *must define build(self, embeddings, example_ids)")


def test_importing_the_contracts_loads_nothing_heavier_than_numpy():
    heavy = ("torch", "diffusers", "transformers", "open_clip", "faiss", "PIL", "scipy", "pyarrow", "allure")
    code = f"import sys, memex_audit.testing; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
