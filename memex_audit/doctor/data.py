"""Look at the training set, its embedder and the prompts: a few examples are read, nothing is embedded."""

import operator
from itertools import islice
from pathlib import Path

from memex_audit import specimen
from memex_audit.black_boxes import FOLDER, folder_of, recorded_prompts
from memex_audit.config import AUTO
from memex_audit.doctor.checks import Check, missing, ok, warning
from memex_audit.generation.black_box.recorded_pictures import read_recorded
from memex_audit.protocols import TrainingSet
from memex_audit.records import PromptSet, TrainingExample
from memex_audit.training_set import embedder_name, is_mined, read_prompt_file
from memex_audit.training_set.embedding import LOCAL_DIR
from memex_audit.workbench import Workbench

FIRST_EXAMPLES = 16
NO_PROMPTS = "--memex-training-set PATH, or --memex-prompts FILE"
GO_ONLINE = "go online once, or give a folder: --memex-embedder local-dir:FOLDER"


def read_first(training_set: TrainingSet) -> tuple[TrainingExample, ...]:
    """Return the first usable examples."""
    return tuple(islice(training_set.examples(), FIRST_EXAMPLES))


def check_training_set(bench: Workbench, first: tuple[TrainingExample, ...]) -> Check:
    """Say what the training set is, by its first examples.

    Raises:
        TrainingSetError: it cannot be opened.
    """
    training_set = bench.training_set
    if (
        training_set is None
        and bench.settings.prompts is None
        and not bench.settings.model.startswith(FOLDER)
    ):
        return missing("training set", "there is neither a training set nor a prompt file", NO_PROMPTS)
    if training_set is None:
        said = "none: what is flagged cannot be matched, and counts as extracted"
        return warning("training set", said, "name the model's own with --memex-training-set")
    if not first:
        aside = training_set.set_aside
        reason = f", the first: {aside[0].reason}" if aside else ""
        return missing("training set", f"{shown_set(bench)}: no example can be used{reason}")
    total = operator.length_hint(training_set, 0)
    height, width = first[0].pixels.shape[:2]
    said = f"{shown_set(bench)}: {total:,} pictures, the first {len(first)} can be read ({width} x {height})"
    without = sum(not example.caption.strip() for example in first)
    if without:
        return warning("training set", f"{said}; {without} of them have no caption, and so no prompt")
    return ok("training set", said)


def shown_set(bench: Workbench) -> str:
    """Name the training set as its user does."""
    return bench.settings.training_set or "the specimen's own"


def is_embedded(bench: Workbench) -> bool:
    """Whether the training set was mined before, and only has to be read."""
    if bench.training_set is None:
        return False
    cache = bench.store_path / "embeddings"
    specs = [bench.embedder_spec, *([specimen.EMBEDDER] if bench.settings.embedder == AUTO else [])]
    return any(is_mined(bench.training_set, embedder_name=embedder_name(spec), cache=cache) for spec in specs)


def check_embedder(bench: Workbench, *, embedded: bool, hub: bool) -> Check:
    """Say what the training set is embedded with, and whether that is here.

    Raises:
        EmbedderError: there is no such embedder, or its folder lacks a file.
    """
    if bench.training_set is None:
        return ok("embedder", "not needed without a training set")
    spec = bench.embedder_spec
    name = embedder_name(spec)
    if embedded or spec.startswith(LOCAL_DIR) or _weights_are_here(bench):
        return ok("embedder", f"{name}, here{'; the training set is embedded already' if embedded else ''}")
    if hub:
        return warning("embedder", f"{name} is fetched from the hub when the audit starts")
    said = f"{name} is not in the cache, and the hub does not answer"
    if bench.settings.embedder != AUTO:
        return missing("embedder", said, GO_ONLINE)
    said += "; the specimen's small one is used instead, which misses copies that differ more than a little"
    return warning("embedder", said, GO_ONLINE)


def _weights_are_here(bench: Workbench) -> bool:
    from memex_audit.training_set.open_clip_embedder import weights_are_cached

    arch, _, tag = bench.embedder_spec.partition("/")
    tag, _, revision = tag.partition("@")
    return weights_are_cached(arch, tag, revision or None)


def needs_hub(bench: Workbench, *, embedded: bool) -> bool:
    """Whether the embedder has to come from the hub.

    Raises:
        EmbedderError: there is no such embedder.
    """
    if bench.training_set is None or embedded or bench.embedder_spec.startswith(LOCAL_DIR):
        return False
    return not _weights_are_here(bench)


def find_prompts(bench: Workbench, *, embedded: bool) -> PromptSet | None:
    """Return the audit's prompts, None where the training set would have to be mined for them.

    Raises:
        TrainingSetError: the prompt file, or the mined set, cannot be read.
    """
    if embedded:
        return bench.prompts
    if bench.settings.prompts is None and bench.settings.model.startswith(FOLDER):
        listed = recorded_prompts(read_recorded(folder_of(bench.settings.model)))
        return PromptSet(prompts=listed.prompts[: bench.settings.max_prompts], frame=listed.frame)
    if bench.settings.prompts is None:
        return None
    listed = read_prompt_file(Path(bench.settings.prompts).expanduser())
    return PromptSet(prompts=listed.prompts[: bench.settings.max_prompts], frame=listed.frame)


def count_prompts(bench: Workbench, prompts: PromptSet | None) -> int:
    """Return how many prompts there are, or at most can be."""
    most = bench.settings.max_prompts
    if prompts is not None:
        return len(prompts.prompts)
    return min(most, operator.length_hint(bench.training_set, most)) if bench.training_set is not None else 0


def check_prompts(bench: Workbench, prompts: PromptSet | None) -> Check:
    """Say how many prompts there are, and whether so few can pass at all."""
    from memex_audit.rates.attempts import attempt_of
    from memex_audit.rates.bounds import groups_needed

    settings, n = bench.settings, count_prompts(bench, prompts)
    if prompts is not None:
        n_prompts, n = n, len({prompt.group_id for prompt in prompts.prompts})
        said = f"{n_prompts:,} in {n:,} groups ({prompts.frame.description})"
    elif n:
        said = f"at most {n:,}: the training set is mined for the most duplicated when the audit starts"
    else:
        return missing("prompts", "none", NO_PROMPTS)
    if _counts_images(bench, prompts):
        return ok("prompts", f"{said}; captions are so few that the rate counts training images")
    needed = groups_needed(settings.limit, attempt_of(1, settings.confidence).confidence)
    if n < needed:
        said += f"; a pass at limit {settings.limit:.3g} takes {needed:,} groups, none of them extracted"
        return warning("prompts", said, "audit more of them, or state a larger --memex-limit")
    return ok("prompts", said)


def _counts_images(bench: Workbench, prompts: PromptSet | None) -> bool:
    """Whether the captions are known to be so few that the rate counts training images."""
    from memex_audit.rates.images_extracted import FEW_CAPTIONS, has_few_captions

    if prompts is not None:
        return has_few_captions(prompts)
    return operator.length_hint(bench.training_set, FEW_CAPTIONS) < FEW_CAPTIONS
