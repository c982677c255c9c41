"""The order of the checks, and what they hand to each other."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch

from memex_audit.black_boxes import ENDPOINT, is_black_box
from memex_audit.config import Settings
from memex_audit.doctor.black_box import check_asking, check_black_box, find_recorded
from memex_audit.doctor.checks import Check, State, checked, ok, warning
from memex_audit.doctor.data import (
    check_embedder,
    check_prompts,
    check_training_set,
    count_prompts,
    find_prompts,
    is_embedded,
    needs_hub,
    read_first,
)
from memex_audit.doctor.machine import (
    Device,
    check_device,
    check_memory,
    check_packages,
    check_store,
    find_device,
    free_memory,
    hub_answers,
)
from memex_audit.doctor.model import (
    Drawing,
    check_captions,
    count_parameters,
    find_drawing,
    find_model,
)
from memex_audit.doctor.plan import (
    bytes_to_keep,
    check_calibration,
    check_plan,
    draw_one,
    pictures_to_draw,
)
from memex_audit.generation.model_folder import looks_like_hub_id
from memex_audit.records import PromptSet, TrainingExample
from memex_audit.workbench import Workbench

ANY_PROMPT = "a photograph"
SUITE = "audits"


def examine(settings: Settings, rootdir: Path, *, draw: bool = False) -> Iterator[Check]:
    """Check what an audit with these settings needs, one thing after the other.

    Args:
        settings: of the audit.
        rootdir: of the project.
        draw: load the model too, and draw one picture.
    """
    return Examination(settings, rootdir).checks(draw=draw)


def check_suite(folder: Path) -> Check:
    """Look for the audit suite where the command is typed."""
    if any(folder.glob("**/test_*.py")):
        return ok("suite", f"{folder.name}/")
    return warning("suite", f"no tests in {folder.name}/ of this folder", "memex init")


class Examination:
    """Facts that several checks rest on, found when first asked for."""

    def __init__(self, settings: Settings, rootdir: Path) -> None:
        self.settings = settings
        self.bench = Workbench(settings, rootdir)
        self._folder: Path | None = None
        self._n_parameters = 0

    def checks(self, *, draw: bool) -> Iterator[Check]:
        """Yield every check that can be made; what rests on something that is missing is left out."""
        yield check_suite(Path.cwd() / SUITE)
        yield (device := checked("device", lambda: check_device(self.device, torch.cuda.device_count())))
        yield checked("packages", lambda: check_packages(self.settings))
        yield (model := checked("model", self._check_model))
        if self._folder and device.state is not State.MISSING:
            yield checked("memory", self._check_memory)
        yield (data := checked("training set", lambda: check_training_set(self.bench, self.first)))
        if data.state is State.MISSING:
            return
        yield checked("embedder", self._check_embedder)
        yield (prompts := checked("prompts", lambda: check_prompts(self.bench, self.prompts)))
        if is_black_box(self.settings.model) and State.MISSING not in (prompts.state, model.state):
            yield from self._check_asking(draw=draw)
            return
        if prompts.state is State.MISSING or model.state is State.MISSING or self._folder is None:
            yield checked("store", lambda: check_store(self.bench.store_path, None))
            return
        yield checked("captions", lambda: check_captions(self.folder, self.captions))
        yield checked("calibration", lambda: check_calibration(self.bench, self.folder))
        yield checked("store", lambda: check_store(self.bench.store_path, self._needed))
        yield from self._check_drawing(draw=draw and device.state is not State.MISSING)

    # -- facts

    @cached_property
    def device(self) -> Device:
        return find_device(self.settings)

    @cached_property
    def hub(self) -> bool:
        return hub_answers()

    @property
    def folder(self) -> Path:
        assert self._folder is not None
        return self._folder

    @cached_property
    def drawing(self) -> Drawing:
        return find_drawing(self.folder, self.bench.sampler)

    @cached_property
    def first(self) -> tuple[TrainingExample, ...]:
        training_set = self.bench.training_set
        return read_first(training_set) if training_set is not None else ()

    @cached_property
    def embedded(self) -> bool:
        return is_embedded(self.bench)

    @cached_property
    def prompts(self) -> PromptSet | None:
        return find_prompts(self.bench, embedded=self.embedded)

    @property
    def captions(self) -> list[str]:
        """Captions to look at: the prompts where they are known, else those of the first examples."""
        if self.prompts is not None:
            return [prompt.text for prompt in self.prompts.prompts]
        return [example.caption for example in self.first]

    @property
    def _pictures(self) -> tuple[int, int]:
        n_prompts = count_prompts(self.bench, self.prompts)
        return pictures_to_draw(self.settings, self.prompts, n_prompts)

    @property
    def _needed(self) -> tuple[int, int] | None:
        return bytes_to_keep(self._pictures, self.drawing.size, self.settings.keep)

    # -- checks that rest on several facts

    def _check_model(self) -> Check:
        spec = self.settings.model
        if is_black_box(spec):
            return check_black_box(self.settings, find_recorded(self.settings))
        folder, check = find_model(self.bench, hub=looks_like_hub_id(spec) and self.hub)
        checkpoint = self.bench.model_files.checkpoint if folder else None
        self._n_parameters = count_parameters(folder, checkpoint) if folder else 0
        self._folder = folder
        return check

    def _check_asking(self, *, draw: bool) -> Iterator[Check]:
        """Check what is kept and paid for of a model that can only be asked."""
        given = self.settings.calibration
        if given:
            yield ok("calibration", f"{given}, compared with the model when the audit starts")
        else:
            said = "the shipped thresholds are used, and false alarms on this model are not bounded"
            yield warning(
                "calibration",
                said,
                "memex calibrate --model MODEL --negatives FILE of prompts that were never trained on",
            )
        yield checked("store", lambda: check_store(self.bench.store_path, None))
        if draw:
            prompt = self.captions[0] if self.captions else ANY_PROMPT
            yield checked("try", lambda: draw_one(self.bench, prompt)[1])
        if self.settings.model.startswith(ENDPOINT):
            calibrated = given is not None
            yield checked(
                "to ask", lambda: check_asking(self.settings, self._pictures, calibrated=calibrated)
            )

    def _check_memory(self) -> Check:
        return check_memory(self._n_parameters, self.device, free_memory(self.device.name))

    def _check_embedder(self) -> Check:
        hub = needs_hub(self.bench, embedded=self.embedded) and self.hub
        return check_embedder(self.bench, embedded=self.embedded, hub=hub)

    def _check_drawing(self, *, draw: bool) -> Iterator[Check]:
        seconds: float | None = None
        if draw:

            def attempt() -> Check:
                nonlocal seconds
                seconds, check = draw_one(self.bench, self.captions[0] if self.captions else ANY_PROMPT)
                return check

            yield checked("try", attempt)
        yield checked("to draw", lambda: check_plan(self._pictures, self.drawing, seconds, self.device.name))
