"""Hear of every step that a pipeline takes while it draws: a picture may take minutes."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from diffusers import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from memex_audit.generation.pipeline_loading import Pipeline

# Hears the number of the step that was just taken, from 1, and how many there are.
HearStep = Callable[[int, int], None]


@contextmanager
def heard(pipeline: Pipeline, hear: HearStep | None) -> Iterator[None]:
    """Let `hear` know each step; with None nothing is touched.

    It is the scheduler that is listened to: every family has one, and only some pipelines call back. Of a
    pipeline of several stages each counts from 1.
    """
    with ExitStack() as stack:
        if hear is not None:
            for scheduler in _schedulers(pipeline):
                stack.enter_context(_listening(scheduler, hear))
        yield


@contextmanager
def _listening(scheduler: Any, hear: HearStep) -> Iterator[None]:
    take, taken = scheduler.step, 0

    @functools.wraps(take)  # pipelines look at its signature
    def step(*args: Any, **kwargs: Any) -> Any:
        nonlocal taken
        result = take(*args, **kwargs)
        taken += 1
        hear(taken, max(taken, len(getattr(scheduler, "timesteps", ()))))
        return result

    scheduler.step = step
    try:
        yield
    finally:
        del scheduler.step


def _schedulers(pipeline: Pipeline) -> list[Any]:
    """Return the schedulers of a pipeline and of the stages that it holds, each once."""
    stages = [part for part in vars(pipeline).values() if isinstance(part, DiffusionPipeline)]
    parts = [part for stage in (pipeline, *stages) for part in stage.components.values()]
    found = {id(part): part for part in parts if isinstance(part, SchedulerMixin)}
    return list(found.values())
