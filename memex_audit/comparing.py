"""Two results -> whether they can be compared, and how they differ: checkpoint against checkpoint.

What of an audit a later one is compared with is a Baseline: figures and ids, no prompt text, no picture.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from memex_audit.errors import ComparisonError
from memex_audit.generation.black_box.endpoint import name_of_endpoint
from memex_audit.rates.comparison import Comparison, PromptOutcome, compare_outcomes, outcome_of
from memex_audit.records import AuditResult, Finding, Protocol, Provenance, Unit, prompt_set_digest

LEAST_SHARED = 0.5
"""A baseline that has fewer of its prompts in the audit set is of another prompt set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What of an audit a later one is compared with.

    `model`: its name without the folder it lay in; `settings`, `settings_digest`, `seed`: what fixes the
    pictures beside the weights; `images`: training images, where the rate counts these, else None;
    `training_set_fingerprint`: None for an audit without a training set; `prompt_set`: digest of the ids of
    the whole audit set.
    """

    model: str
    model_fingerprint: str
    settings: dict[str, object]
    settings_digest: str
    seed: int
    protocol: Protocol
    training_set_fingerprint: str | None
    images: int | None
    prompt_set: str
    prompts: tuple[PromptOutcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditComparison:
    """A later audit against an earlier one, and what there is to know of it beside the figures.

    `remarks`: what the comparison cannot tell apart or leaves out, one sentence each; `texts`: of prompts by
    id, where they are known and may be shown.
    """

    before: Baseline
    after: Baseline
    found: Comparison
    remarks: tuple[str, ...]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)


def baseline_of(result: AuditResult) -> Baseline:
    """Return what of a run a later one is compared with.

    Raises:
        ComparisonError: the run came not far enough to say what it audited.
    """
    provenance, protocol, rate = result.provenance, result.protocol, result.rate
    if provenance is None or protocol is None or not result.findings:
        raise ComparisonError(
            "a run must have findings, and say what it audited, to be compared, got one that broke before; "
            "audit again."
        )
    return baseline_of_findings(result.findings, provenance, protocol, n_images=rate.groups if rate else None)


def baseline_of_findings(
    findings: Sequence[Finding], provenance: Provenance, protocol: Protocol, *, n_images: int | None
) -> Baseline:
    """Return what of an audit a later one is compared with.

    Args:
        findings: of the prompts that it came to.
        provenance: of the audit.
        protocol: that its prompts were decided by.
        n_images: of the training set; used where the rate counts these.
    """
    counts_images = protocol.unit is Unit.TRAINING_IMAGE
    outcomes = [outcome_of(f, _image_digests(f) if counts_images else ()) for f in findings]
    return Baseline(
        model=model_name(provenance.model, provenance.lora, provenance.lora_weight),
        model_fingerprint=provenance.model_fingerprint,
        settings=dict(provenance.settings),
        settings_digest=provenance.settings_digest,
        seed=provenance.seed,
        protocol=protocol,
        training_set_fingerprint=provenance.training_set_fingerprint,
        images=n_images if counts_images else None,
        prompt_set=provenance.prompt_set or prompt_set_digest(f.prompt_id for f in findings),
        prompts=tuple(sorted(outcomes, key=lambda outcome: outcome.prompt_id)),
    )


def model_name(model: str, lora: str | None = None, weight: float | None = None) -> str:
    """Name an audited model without the folder it lay in: a baseline is read on other machines.

    A hub id and a specimen keep their whole name.

    >>> model_name("/data/runs/checkpoint-9000"), model_name("org/model@main", "style.safetensors", 0.8)
    ('checkpoint-9000', 'org/model@main with style.safetensors at 0.8')
    """
    names = [_last_part(model)]
    if lora:
        names.append(f"{_last_part(lora)} at {1 if weight is None else weight:g}")
    return " with ".join(names)


def _last_part(name: str) -> str:
    if endpoint := name_of_endpoint(name):
        return endpoint
    path = PurePath(name)
    # NAME/MODEL is a hub id as well as a folder; what is longer, or starts at the root, is a folder.
    return path.name if path.is_absolute() or len(path.parts) > 2 or name.startswith((".", "~")) else name


def compare_audits(
    before: Baseline,
    after: Baseline,
    *,
    confidence: float,
    audit_set: Collection[str] | None = None,
    texts: Mapping[str, str] | None = None,
) -> AuditComparison:
    """Compare a later audit with an earlier one, on the prompts that both have; other weights are the point.

    Args:
        before: the earlier audit.
        after: the later one.
        confidence: of the tests, and of the interval of the difference.
        audit_set: ids of the prompts that the later audit is of; default: those it came to.
        texts: of prompts by id, to name them by.

    Raises:
        ComparisonError: the pictures, or the verdicts, do not mean the same in both, or no prompt is in both.
    """
    check_same_kind(before, after)
    if not {o.prompt_id for o in before.prompts} & {o.prompt_id for o in after.prompts}:
        raise ComparisonError("two audits must have prompts in common to be compared, got none in both.")
    compared = compare_outcomes(
        before.prompts,
        after.prompts,
        confidence=confidence,
        count_flagged=after.training_set_fingerprint is None,
        audit_set=audit_set,
        n_images=after.images,
    )
    remarks = tuple(_remarks(before, after, compared))
    return AuditComparison(before=before, after=after, found=compared, remarks=remarks, texts=texts or {})


def check_same_kind(before: Baseline, after: Baseline) -> None:
    """Refuse audits whose pictures, or verdicts, do not mean the same.

    Raises:
        ComparisonError: seed, sampler settings, protocol or what they are matched in differ.
    """
    if found := _misfit(before, after):
        raise ComparisonError(f"two audits must be of the same kind to be compared, {found}")


def check_prompt_set(before: Baseline, audit_set: Collection[str]) -> None:
    """Refuse a baseline most of whose prompts are not in the audit set: it is another set's.

    Raises:
        ComparisonError: fewer than half of its prompts are.
    """
    known = set(audit_set)
    shared = sum(outcome.prompt_id in known for outcome in before.prompts)
    if shared < LEAST_SHARED * len(before.prompts):
        raise ComparisonError(
            f"a baseline must be of this audit's prompts, got one with {shared:,} of its "
            f"{len(before.prompts):,} in this audit set: it is another prompt set's; bless a run of this one."
        )


def _misfit(before: Baseline, after: Baseline) -> str | None:
    """Say what the two do not have in common that they must, and what to do; None where they fit."""
    if before.seed != after.seed:
        return (
            f"got root seeds {before.seed} and {after.seed}: pictures are paired by seed; audit with the "
            "same --memex-seed."
        )
    if before.settings_digest != after.settings_digest:
        differing = _differing(before.settings, after.settings)
        return f"got other sampler settings ({differing}); audit with the same."
    first, second = before.protocol, after.protocol
    if (first.name, first.looks, first.unit) != (second.name, second.looks, second.unit):
        protocols = f"{_protocol(first)} and {_protocol(second)}"
        return f"got the protocols {protocols}; audit with the same --memex-preset."
    if (before.training_set_fingerprint is None) != (after.training_set_fingerprint is None):
        return "got one with a training set and one without; give it to both (--memex-training-set)."
    return None


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    names = sorted(
        name for name in {*before, *after} if before.get(name, "-") != after.get(name, "-")
    )  # fmt: skip
    return (
        ", ".join(f"{name}: {before.get(name, '-')} and {after.get(name, '-')}" for name in names)
        or "by their digest"
    )


def _protocol(protocol: Protocol) -> str:
    looks = " then ".join(map(str, protocol.looks))
    return f"{protocol.name} ({looks} generations, by {protocol.unit})"


def _remarks(before: Baseline, after: Baseline, found: Comparison) -> list[str]:
    said = []
    if before.model_fingerprint == after.model_fingerprint:
        said.append("both are of the same weights")
    first, second = before.protocol, after.protocol
    thresholds = [
        f"{name.replace('_', ' ')} {getattr(first, name):.3g} and {getattr(second, name):.3g}"
        for name in ("edge_delta", "match_delta", "clique_size")
        if getattr(first, name) != getattr(second, name)
    ]
    if thresholds:
        said.append(
            f"other thresholds ({', '.join(thresholds)}): what changed may be theirs, not the model's; "
            "--memex-edge-delta, --memex-match-delta and --memex-clique-size set them alike"
        )
    if before.training_set_fingerprint != after.training_set_fingerprint:
        said.append("other training sets: each is matched in its own")
    if found.missing:
        said.append(f"{len(found.missing):,} prompts of the earlier audit are not in the later one")
    if found.unaudited:
        said.append(f"{len(found.unaudited):,} prompts of the earlier audit were not audited this time")
    if found.added:
        said.append(f"{len(found.added):,} prompts are new, and compared with nothing")
    return said


def _image_digests(finding: Finding) -> tuple[str, ...]:
    """Name training images by digests, since ids are often made of captions; a redacted result did so."""
    ids = [image.example_id for image in finding.images]
    if finding.prompt:
        ids = [hashlib.sha256(i.encode("utf-8", "surrogatepass")).hexdigest()[:12] for i in ids]
    return tuple(sorted(ids))
