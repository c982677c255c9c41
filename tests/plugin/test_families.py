"""`pytest audits/` on a tiny model of every family: loaded, drawn with, judged, and its exit code that of the
verdict. The weights are random, so that a verdict says nothing of the family."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from families.builders import FAMILIES
from PIL import Image

AUDITS = Path(__file__).parents[2] / "audits"
BY_LABEL = ("DiT", "Consistency model by class")
UNPROMPTED = ("DDPM", "DDIM", "EDM", "Consistency model", "Latent diffusion without prompts")
# Of diffusers' own classes, where the tiny models are made; not where a user's are loaded.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning"),
]


@pytest.fixture
def audit(pytester, tmp_path_factory):
    shutil.copytree(AUDITS, pytester.path / "audits", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makeini("[pytest]\n")

    def run(family, *arguments):
        folder = FAMILIES[family](tmp_path_factory.mktemp("model") / "pipeline")
        ended = pytester.runpytest_inprocess(
            *arguments, "-W", "default", "--memex-model", str(folder), "--memex-json", "result.json"
        )
        return ended, json.loads((pytester.path / "result.json").read_text())

    return run


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in UNPROMPTED])
def test_prompts_are_audited_and_the_exit_code_is_that_of_the_verdict(audit, pytester, family):
    prompts = ("0", "1") if family in BY_LABEL else ("a red barn", "two dogs")
    (pytester.path / "prompts.csv").write_text("\n".join(["prompt", *prompts]) + "\n")
    suite = ("audits/test_duplicated_prompts.py", "audits/test_replica_rates.py")
    ended, result = audit(family, *suite, "--memex-prompts", "prompts.csv", "--memex-limit", "0.8")
    assert result["verdict"] in ("pass", "inconclusive"), ended.stdout.str()
    assert ended.ret == (0 if result["verdict"] == "pass" else 1)
    assert {finding["prompt"] for finding in result["findings"]} == set(prompts)
    assert all(finding["generations"] + finding["set_aside"] >= 4 for finding in result["findings"])


@pytest.mark.parametrize("family", UNPROMPTED)
def test_a_model_without_prompts_is_audited_unasked(audit, pytester, family):
    images = pytester.mkdir("images")
    for number in range(60):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    ended, result = audit(
        family, "audits/test_untargeted.py", "audits/test_duplicated_prompts.py",
        "--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-untargeted", "16",
    )  # fmt: skip
    assert result["verdict"] in ("pass", "inconclusive"), ended.stdout.str()
    assert ended.ret == (0 if result["verdict"] == "pass" else 1)
