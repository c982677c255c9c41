"""Settings of an audit -> what a pass takes: groups, generations, network evaluations, hours, and chance."""

from dataclasses import dataclass
from pathlib import Path

from memex_audit.black_boxes import is_black_box
from memex_audit.config import Settings
from memex_audit.doctor.checks import State
from memex_audit.doctor.data import count_prompts, find_prompts, is_embedded
from memex_audit.doctor.examination import ANY_PROMPT
from memex_audit.doctor.machine import find_device
from memex_audit.doctor.model import find_drawing
from memex_audit.doctor.plan import draw_one, pictures_of_a_prompt
from memex_audit.errors import ModelError
from memex_audit.rates.attempts import attempt_of, extension_needed
from memex_audit.rates.images_extracted import has_few_captions
from memex_audit.rates.planning import (
    SHARES_OF_LIMIT,
    PlannedAudit,
    bound_if_none_seen,
    groups_to_pass,
    plan_audits,
)
from memex_audit.records import PromptSet
from memex_audit.workbench import Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCost:
    """What a prompt and a generation cost.

    `least`, `most`: generations of a prompt in which no two agree, and of one that is decided last;
    `evaluations`: network evaluations of a generation, `seconds`: measured; None where that is not known.
    """

    least: int
    most: int
    evaluations: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlan:
    """What a pass at a limit takes.

    `n_prompts`, `n_groups`: of the audit as it is set up, groups None where nothing was mined yet;
    `frame_size`: groups of its frame, where that is known; `like_these`: plans where the rate speaks of
    prompts like these, `in_frame`: where it speaks of the frame; `none_seen`: the bound that the audit as it
    is shows if nothing is extracted; all these at the confidence of a first run. `first_run`,
    `with_extension`: groups for a pass with an extension fixed beforehand (rates/attempts.py).
    """

    model: str
    preset: str
    device: str
    limit: float
    confidence: float
    cost: GenerationCost
    n_prompts: int
    n_groups: int | None
    counts_images: bool
    frame_size: int | None
    like_these: tuple[PlannedAudit, ...]
    in_frame: tuple[PlannedAudit, ...]
    none_seen: float | None
    first_run: int
    with_extension: int

    @property
    def rates(self) -> tuple[float, ...]:
        """The true rates that the plans' chances are for."""
        return tuple(share * self.limit for share in SHARES_OF_LIMIT)

    @property
    def prompts_a_group(self) -> float:
        """Prompts of a group, on average; 1 where it is not known."""
        return self.n_prompts / self.n_groups if self.n_groups else 1.0

    def generations(self, groups: int) -> tuple[int, int]:
        """Generations of so many groups: if none of a prompt's agree, and if all prompts are decided last."""
        prompts = groups * self.prompts_a_group
        return round(prompts * self.cost.least), round(prompts * self.cost.most)


def make_plan(
    settings: Settings, rootdir: Path, *, frame_size: int | None = None, draw: bool = True
) -> AuditPlan:
    """Plan an audit with these settings.

    Args:
        settings: of the audit.
        rootdir: of the project.
        frame_size: groups of the population that the rate is to speak of; by default the prompts' own frame,
            where that is known.
        draw: load the model and time a few pictures.

    Raises:
        MemexAuditError: the model, or the prompts, cannot be used.
    """
    bench = Workbench(settings, rootdir)
    prompts = find_prompts(bench, embedded=is_embedded(bench))
    n_groups = len({prompt.group_id for prompt in prompts.prompts}) if prompts else None
    frame_size = frame_size or (prompts.frame.size if prompts else None)
    limit, confidence = settings.limit, settings.confidence
    # That is how the audit bounds it: rates/attempts.py.
    first = attempt_of(1, confidence).confidence
    first_run = groups_to_pass(limit, first) or 0
    return AuditPlan(
        model=settings.model,
        preset=settings.preset,
        device=find_device(settings).name,
        limit=limit,
        confidence=confidence,
        cost=_cost(bench, prompts, draw=draw),
        n_prompts=count_prompts(bench, prompts),
        n_groups=n_groups,
        counts_images=prompts is not None and has_few_captions(prompts),
        frame_size=frame_size,
        like_these=plan_audits(limit, first),
        in_frame=plan_audits(limit, first, frame_size=frame_size) if frame_size else (),
        none_seen=bound_if_none_seen(n_groups, first) if n_groups else None,
        first_run=first_run,
        with_extension=extension_needed(limit, confidence, first_run),
    )


def _cost(bench: Workbench, prompts: PromptSet | None, *, draw: bool) -> GenerationCost:
    """Count and time a generation, drawn as the audit draws it."""
    least, most = pictures_of_a_prompt(bench.settings)
    if is_black_box(bench.settings.model):  # what is timed would be paid for
        return GenerationCost(least=least, most=most, evaluations=None, seconds=None)
    seconds = None
    if draw:
        seconds, check = draw_one(bench, prompts.prompts[0].text if prompts else ANY_PROMPT)
        if check.state is State.MISSING:
            raise ModelError(f"a model must draw to be timed, got: {check.said}; {check.advice}.")
    evaluations = find_drawing(bench.model_folder, bench.sampler).evaluations
    return GenerationCost(least=least, most=most, evaluations=evaluations, seconds=seconds)
