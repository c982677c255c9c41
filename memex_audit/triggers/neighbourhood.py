"""Known prompts -> an audit of those that are like them: does a repaired model still give the image back?"""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from memex_audit.errors import ConfigurationError
from memex_audit.records import AuditPrompt, Neighbour, Neighbourhood
from memex_audit.training_set.prompts import prompt_id_of
from memex_audit.triggers.neighbours import neighbours_of

if TYPE_CHECKING:
    from memex_audit.workbench import Workbench

MOST_KNOWN = 16


def audit_neighbourhood(bench: "Workbench", n: int, extracted: Collection[str] = ()) -> Neighbourhood:
    """Audit `n` neighbours of each known prompt, by the protocol of this audit.

    Known are those of the audit set that were `extracted` before, by their ids; where none is named, its
    first MOST_KNOWN, the most duplicated.

    Raises:
        ConfigurationError: no known prompt has training images to compare with.
    """
    listed = bench.prompts_as_read
    comparable = [prompt for prompt in listed.prompts if prompt.example_ids]
    known = [prompt for prompt in comparable if prompt.prompt_id in extracted] or comparable[:MOST_KNOWN]
    if not known or not n:
        raise ConfigurationError(
            f"memex.neighbourhood() must have known prompts and neighbours, got {len(known)} prompts with "
            f"training images and {n} neighbours each; give --memex-training-set and --memex-neighbours N."
        )
    taken = {prompt.prompt_id for prompt in listed.prompts}
    asked: dict[str, tuple[AuditPrompt, str, AuditPrompt]] = {}
    for prompt in known:
        for text, change in neighbours_of(prompt.text, n, seed=bench.settings.seed):
            neighbour = replace(prompt, prompt_id=prompt_id_of(text), text=text, slice=None)
            if neighbour.prompt_id not in taken:
                asked.setdefault(neighbour.prompt_id, (prompt, change, neighbour))
    prompts = tuple(neighbour for _, _, neighbour in asked.values())
    audit = bench.audit(replace(listed, prompts=prompts, strata=(), screen=None, read_as={}))
    return Neighbourhood(
        known=len(known),
        protocol=audit.protocol,
        neighbours=tuple(
            Neighbour(
                known_id=prompt.prompt_id, known=prompt.text, change=change, finding=audit.finding(neighbour)
            )
            for prompt, change, neighbour in asked.values()
        ),
    )


def without_captions(found: Neighbourhood) -> Neighbourhood:
    """Name the prompts of a neighbourhood by their ids only."""
    return replace(
        found,
        neighbours=tuple(
            replace(neighbour, known="", finding=replace(neighbour.finding, prompt=""))
            for neighbour in found.neighbours
        ),
    )
