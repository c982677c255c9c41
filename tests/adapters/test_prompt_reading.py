"""What a real pipeline reads of a prompt, and that it does not print the rest of it."""

import pytest

from memex_audit import specimen
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.generation.pipeline_loading import load_pipeline
from memex_audit.protocols import ReadsTokens
from memex_audit.records import GenerationRequest

LONG = "a red cat on a mat in a house by the sea under a tree near a boat with a secret behind it"


@pytest.fixture(scope="module")
def generator():
    pipeline = load_pipeline(specimen.twin_folder("specimen:deduplicated"), device="cpu")
    sampler = SamplerSettings(steps=1, guidance=1.0, size=(32, 32))
    return DiffusersGenerator(pipeline, fingerprint="0" * 64, sampler=sampler)


def test_it_says_what_it_reads_of_a_prompt(generator):
    assert isinstance(generator, ReadsTokens)
    short, cut = generator.read_tokens("a cat")
    assert cut == 0
    read, cut = generator.read_tokens(LONG)
    assert cut > 0
    assert generator.read_tokens(LONG + " and a dog") == (read, cut + 3)
    assert read != short


def test_the_end_of_a_prompt_that_is_cut_is_not_printed(generator, capfd, caplog):
    (generation,) = generator.generate([GenerationRequest(prompt=LONG, seed=1)])
    assert generation.request.prompt == LONG
    printed = capfd.readouterr()
    assert "secret" not in printed.out + printed.err + caplog.text
    # That it is cut is reported by the audit, once for all prompts.
    assert "sequence length" not in printed.out + printed.err + caplog.text
