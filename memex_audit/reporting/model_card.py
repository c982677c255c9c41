"""Result -> what a model card says of it: metadata that the Hugging Face Hub reads, and a paragraph."""

import math
from pathlib import PurePath

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

from memex_audit.errors import ReportError
from memex_audit.explain import quoted
from memex_audit.explain_rate import how_bounded, rate_sentence
from memex_audit.explain_run import as_sentence, explain_power, explain_verdict, not_proven
from memex_audit.generation.black_box.endpoint import name_of_endpoint
from memex_audit.records import AuditResult, Provenance, Rate
from memex_audit.reporting.markdown import code, prose

EVAL_RESULTS_FILE = PurePath(".eval_results", "memex-audit.yaml")
DIGITS = 6


def model_card_block(result: AuditResult, name: str | None = None) -> str:
    """Return YAML front matter with a model-index, and a paragraph.

    Args:
        result: of a run; no prompt of it is shown.
        name: of the model, instead of the one it was audited under.

    Raises:
        ReportError: no rate was computed.
    """
    rate, provenance = _known(result)
    card = ModelCardData(
        model_name=name or model_name(provenance.lora or provenance.model),
        eval_results=eval_results(rate, provenance),
    )
    return f"---\n{card.to_yaml()}\n---\n\n## Memorization\n\n{_paragraph(result, rate, provenance)}\n"


def model_name(model: str) -> str:
    """Return the last part of a model's name, without the revision.

    >>> model_name("./out/my-finetune/"), model_name("someone/model@0123abc")
    ('my-finetune', 'model')
    """
    if endpoint := name_of_endpoint(model):
        return quoted(endpoint)[1:-1]
    return quoted(PurePath(model.partition("@")[0]).name or "model")[1:-1]


def eval_results(rate: Rate, provenance: Provenance) -> list[EvalResult]:
    """Return the figures as the Hub's model-index takes them; bounds are rounded outward."""
    bounded = quoted(how_bounded(rate), 100)[1:-1]
    scale = 10**DIGITS
    figures = {
        f"Extraction rate, upper bound ({bounded})": math.ceil(rate.upper * scale) / scale,
        f"Extraction rate, lower bound ({bounded})": math.floor(rate.lower * scale) / scale,
        f"Extracted {rate.unit.value}s": rate.extracted_groups,
        f"Audited {rate.unit.value}s": rate.groups,
    }
    counted = f"{rate.unit.value}s".replace(" ", "_")
    types = (
        "extraction_rate_upper_bound",
        "extraction_rate_lower_bound",
        f"extracted_{counted}",
        f"audited_{counted}",
    )
    arguments = {
        "training_set_sha256": provenance.training_set_fingerprint,
        "model_sha256": provenance.model_fingerprint,
        "limit": rate.limit,
        "blind_spot": round(rate.blind_spot, 4),
    }
    return [
        EvalResult(
            task_type="text-to-image",
            task_name="Memorization audit",
            # The Hub takes a name here, and a training set under audit has none there.
            dataset_type="memex-audit",
            dataset_name=quoted(rate.frame, 300)[1:-1],
            dataset_args={name: value for name, value in arguments.items() if value is not None},
            metric_type=kind,
            metric_name=name,
            metric_value=value,
        )
        for kind, (name, value) in zip(types, figures.items(), strict=True)
    ]


def eval_results_file(result: AuditResult, *, benchmark: str, task_id: str) -> str:
    """Return a file of `.eval_results/`: the upper bound as the value, and what it means as a note.

    Args:
        result: of a run.
        benchmark: id of the dataset on the Hub that the result is listed under; it must be registered there
            as a benchmark.
        task_id: a task of its eval.yaml.

    Raises:
        ReportError: no rate was computed.
    """
    rate, provenance = _known(result)
    entry = {
        "dataset": {"id": benchmark, "task_id": task_id},
        "value": math.ceil(rate.upper * 10**DIGITS) / 10**DIGITS,
        "date": provenance.started,
        "notes": f"Upper bound of the extraction rate. Verdict: {result.verdict.value}. "
        f"{rate_sentence(rate)}.",
    }
    return str(yaml_dump([entry], sort_keys=False))


def _paragraph(result: AuditResult, rate: Rate, provenance: Provenance) -> str:
    version = f"memex-audit {provenance.memex_version}"
    found = f"{explain_verdict(result)} {rate_sentence(rate)}."
    hashed = "address and name" if name_of_endpoint(provenance.model) else "files"
    return (
        f"Audited for memorized training images with {code(version)} on {provenance.started[:10]}: "
        f"**{result.verdict.value.upper()}**. {prose(found)}\n\n"
        f"A pass does not show: {prose(not_proven(result))}. {prose(as_sentence(explain_power(result)))} "
        f"SHA-256 over the model's {hashed}: {code(provenance.model_fingerprint)}."
    )


def _known(result: AuditResult) -> tuple[Rate, Provenance]:
    if result.rate is None or result.provenance is None:
        raise ReportError(
            f"a result must hold a rate to be put on a model card, got verdict={result.verdict.value} and no "
            "rate; run the whole suite, with its rate case."
        )
    return result.rate, result.provenance
