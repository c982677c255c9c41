"""The options of an audit: one table, read by the pytest plugin, the ini file and the command line."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from memex_audit.errors import ConfigurationError

DEFAULT_MODEL = "specimen:deduplicated"
SPECIMEN_LORA = "specimen:lora"
API_KEY_ENV = "OPENAI_API_KEY"
# A longer name of an environment variable is a key.
LONGEST_VARIABLE = 40
AUTO = "auto"
# A picture from outside is decoded up to so many pixels: 200 MB of RGB. Pillow opens none beyond the other.
MAX_PIXELS, PILLOW_PIXELS = 64_000_000, 178_956_970
# How training brings a picture to the model's size.
CROPS = ("center", "random", "squash")
# Which pixels the store keeps, beside the block sums of every picture.
KEEP = ("all", "evidence", "none")
SCREEN_NAMES = ("guidance-difference", "anisotropy", "one-step-clique")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named protocol: cumulative looks, and what decides there.

    With `clique_size` the last look decides by it. Without, boundaries are planned (extraction/protocol.py)
    such that a prompt replicating in `blind_spot` of its generations is flagged with `power`, and one where
    chance gives no picture more than `null_share` with at most `alpha`. A delta where the preset fixes it.
    """

    looks: tuple[int, ...]
    clique_size: int | None = None
    blind_spot: float = 0.76
    power: float = 0.95
    null_share: float = 0.05
    alpha: float = 0.01
    match_delta: float | None = None


PRESETS: Mapping[str, Preset] = {
    "default": Preset(looks=(4, 8, 16, 32)),
    # The study fixes the match at 0.15 and publishes no edge threshold (Carlini et al. 2023).
    "carlini-2023": Preset(looks=(500,), clique_size=10, match_delta=0.15),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A LoRA on top of the model, and the weight it is given."""

    path: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may spend on drawing: network evaluations, or minutes from its first picture on."""

    evaluations: int | None = None
    minutes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option with its default; None means that the preset, the calibration or the model decides."""

    model: str = DEFAULT_MODEL
    model_config: str | None = None
    textual_inversion: str | None = None
    lora: Lora | None = None
    training_set: str | None = None
    embedder: str = AUTO
    duplicate_similarity: float | None = None
    join: Literal["exact", "ivf"] | None = None
    prompts: str | None = None
    max_prompts: int = 320
    preset: str = "default"
    generations: int | None = None
    blind_spot: float | None = None
    screen: str = "none"
    budget: Budget | None = None
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    negative_prompt: str | None = None
    scheduler: str | None = None
    batch_size: int | None = None
    device: str = AUTO
    dtype: str = AUTO
    attention_slicing: str | None = None
    offload: str | None = None
    compile: str | None = None
    seed: int = 0
    limit: float = 0.01
    confidence: float = 0.95
    edge_delta: float | None = None
    match_delta: float | None = None
    clique_size: int | None = None
    calibration: str | None = None
    store: str | None = None
    keep: str = "all"
    json: str | None = None
    report: str | None = None
    evidence: str = "mosaic"
    evidence_mb: float = 50.0
    redact: str | None = None
    canaries: str | None = None
    on_extracted: str = "fail"
    inconclusive: str = "fail"
    baseline: str | None = None
    baseline_policy: str = "warn"
    granularity: str = AUTO
    minimal_trigger: int = 0
    neighbours: int = 0
    untargeted: int | None = None
    untargeted_held_out: str | None = None
    sscd: str | None = None
    max_pixels: int = MAX_PIXELS
    crop: str = "center"

    max_images: int | None = None
    requests_per_minute: float | None = None
    api_key_env: str = API_KEY_ENV

    @property
    def redacts_captions(self) -> bool:
        """Whether no output may show a prompt's text."""
        return self.redact == "captions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How one setting is read and explained."""

    name: str
    parse: Callable[[str], Any]
    help: str
    metavar: str = "VALUE"

    @property
    def flag(self) -> str:
        return f"--memex-{self.name.replace('_', '-')}"

    @property
    def ini_type(self) -> Literal["int", "float", "string"]:
        """How it is written in [tool.pytest]: numbers as numbers, all else as text."""
        if self.parse in (_integer, _none_or_more, _pixels, _whole, _two_or_more):
            return "int"
        numbers = (_number, _share, _limit, _confidence, _delta, _scale, _per_minute)
        return "float" if self.parse in numbers else "string"


class _MayHoldKeyError(ValueError):
    """A value that is refused, and not shown: it may be a key."""


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("a number") from None
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return value


def _whole(text: str) -> int:
    if (value := _integer(text)) < 1:
        raise ValueError("at least 1")
    return value


def _pixels(text: str) -> int:
    if (value := _whole(text)) > PILLOW_PIXELS:
        raise ValueError(f"at most {PILLOW_PIXELS}: Pillow opens no larger picture")
    return value


def _none_or_more(text: str) -> int:
    if (value := _integer(text)) < 0:
        raise ValueError("0 or more")
    return value


def _two_or_more(text: str) -> int:
    if (value := _integer(text)) < 2:
        raise ValueError("at least 2: pictures are compared with each other")
    return value


def _share(text: str) -> float:
    if not 0 < (value := _number(text)) < 1:
        raise ValueError("between 0 and 1")
    return value


def _limit(text: str) -> float:
    if _number(text) == 0:
        raise ValueError(
            "above 0 (no number of groups shows that nothing is extracted; none seen in 320 groups is at "
            "most 0.93 % with 95 % confidence: give a limit that you could bear)"
        )
    return _share(text)


def _confidence(text: str) -> float:
    if (value := _number(text)) == 1:
        raise ValueError("below 1 (no sample is certain; 0.99 or 0.999 take more groups)")
    if not 0.5 <= value < 1:
        raise ValueError("in [0.5, 1)")
    return value


def _delta(text: str) -> float:
    if not 0 < (value := _number(text)) <= 1:
        raise ValueError("in (0, 1]: distances are scaled to [0, 1]")
    return value


def _scale(text: str) -> float:
    if (value := _number(text)) < 0:
        raise ValueError("0 or more")
    return value


def _per_minute(text: str) -> float:
    if (value := _number(text)) <= 0:
        raise ValueError("above 0")
    return value


def _variable(text: str) -> str:
    if not text.isidentifier() or not text.isascii() or len(text) > LONGEST_VARIABLE:
        raise _MayHoldKeyError("the name of an environment variable, never the key itself")
    return text


def _model(text: str) -> str:
    # Before the header shows it, and every report.
    if text.startswith("openai+") and "@" in text.partition("?")[0]:
        raise _MayHoldKeyError(
            "an endpoint without a user or key in its address; the key is read from the environment variable "
            "that --memex-api-key-env names"
        )
    return text


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.lower().partition("x")
    return _whole(height), _whole(width if cross else height)


def _lora(text: str) -> Lora:
    # Only a number after the last colon is a weight: paths have colons too (C:\\lora.safetensors).
    path, _, weight = text.rpartition(":")
    if not path or text == SPECIMEN_LORA or Path(text).expanduser().exists():
        return Lora(path=text)
    try:
        value = float(weight)
    except ValueError:
        if Path(path).expanduser().exists():
            raise ValueError("PATH or PATH:WEIGHT with a number as WEIGHT") from None
        return Lora(path=text)
    if not math.isfinite(value) or value == 0:
        raise ValueError("PATH:WEIGHT with a finite WEIGHT other than 0 (to audit the model alone: no LoRA)")
    return Lora(path=path, weight=value)


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            near = difflib.get_close_matches(text, names, n=1)
            raise ValueError(f"one of {', '.join(names)}" + (f" (did you mean {near[0]}?)" if near else ""))
        return text

    return parse


def _budget(text: str) -> Budget:
    for unit in ("min", "nfe"):
        if text.lower().endswith(unit):
            number = text[: -len(unit)].strip().replace(",", "").replace("_", "")
            try:
                amount = float(number)
            except ValueError:
                break
            if math.isfinite(amount) and amount > 0:
                return Budget(minutes=amount) if unit == "min" else Budget(evaluations=int(amount))
    raise ValueError("a positive number of minutes or network evaluations, such as 30min or 200000nfe")


def _evidence(text: str) -> str:
    kind, _, folder = text.partition(":")
    if text != "mosaic" and not (kind == "full" and folder):
        raise ValueError("mosaic or full:FOLDER")
    return text


OPTIONS: tuple[Option, ...] = (
    Option(name="model", parse=_model, metavar="MODEL",
           help="model to audit: a diffusers folder, a hub id NAME/MODEL@REVISION, folder:PATH of "
                "generations, an endpoint openai+https://HOST/v1?model=NAME, python:MODULE:FACTORY, or "
                "specimen:duplicated / specimen:deduplicated (default: the latter)"),
    Option(name="model_config", parse=str, metavar="FOLDER",
           help="configuration and tokenizers of a model that is one .safetensors file: a pipeline folder of "
                "its family, with or without weights"),
    Option(name="textual_inversion", parse=str, metavar="FILE",
           help="tokens learned by textual inversion, a .safetensors file; prompts call them by their names"),
    Option(name="lora", parse=_lora, metavar="PATH[:WEIGHT]",
           help="LoRA on top of the model: a .safetensors file, a folder that save_lora_weights wrote, or "
                "specimen:lora (default weight: 1)"),
    Option(name="training_set", parse=str, metavar="PATH",
           help="its training set: an image folder with captions, Parquet, or WebDataset tars"),
    Option(name="embedder", parse=str, metavar="NAME",
           help="ARCH/TAG of open_clip, local-dir:FOLDER, or specimen (default: ViT-B-32/laion2b_s34b_b79k, "
                "or the specimen's where that cannot be had)"),
    Option(name="duplicate_similarity", parse=_delta, metavar="COSINE",
           help="cosine from which on two training images are near-copies (default: the embedder's own)"),
    Option(name="join", parse=_one_of("exact", "ivf"), metavar="KIND",
           help="how near-copies are found: exact compares all training images with all; ivf each with the "
                "lists of images nearest to it, with a measured recall (default: ivf above 500,000 images)"),
    Option(name="prompts", parse=str, metavar="FILE",
           help="csv, jsonl, parquet or txt file of prompts, instead of mining the training set"),
    Option(name="max_prompts", parse=_whole, metavar="N",
           help="audit at most so many prompts (default: 320)"),
    Option(name="preset", parse=_one_of(*PRESETS), metavar="NAME",
           help=f"protocol: {', '.join(PRESETS)} (default: default)"),
    Option(name="generations", parse=_two_or_more, metavar="N",
           help="generations a prompt in one look, instead of the preset's looks"),
    Option(name="blind_spot", parse=_share, metavar="SHARE",
           help="smallest share of replicas among a prompt's generations that must be found (power 0.95); a "
                "smaller one takes more generations (default: 0.76)"),
    Option(name="screen", parse=_one_of("none", *SCREEN_NAMES), metavar="NAME",
           help="score every prompt by a few network evaluations first; audit those that score high, and of "
                f"the others a random sample: {', '.join(SCREEN_NAMES)} (default: none)"),
    Option(name="budget", parse=_budget, metavar="AMOUNT",
           help="draw for at most so long, 30min, or so many network evaluations, 200000nfe; what is not "
                "decided then is UNDECIDED, and goes on in the next run (default: no end)"),
    Option(name="steps", parse=_whole, metavar="N", help="sampler steps (default: the model's)"),
    Option(name="guidance", parse=_scale, metavar="SCALE", help="guidance scale (default: the model's)"),
    Option(name="size", parse=_size, metavar="HxW",
           help="size of the pictures in pixels (default: the model's)"),
    Option(name="negative_prompt", parse=str, metavar="TEXT",
           help="what guidance leads away from, for every prompt (default: the model's)"),
    Option(name="scheduler", parse=str, metavar="NAME",
           help="class of diffusers that takes the steps, such as DDIMScheduler, with the configuration of "
                "the model's own (default: the model's)"),
    Option(name="batch_size", parse=_whole, metavar="N", help="pictures drawn at once (default: 8)"),
    Option(name="device", parse=str, metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps (default: auto)"),
    Option(name="dtype", parse=_one_of("auto", "fp32", "fp16", "bf16"), metavar="TYPE",
           help="auto, fp32, fp16 or bf16 (default: auto: bf16 or fp16 on cuda, else fp32)"),
    Option(name="attention_slicing", parse=_one_of("auto", "max"), metavar="SLICES",
           help="compute attention in slices, in two (auto) or a head at a time (max): less memory, slower "
                "(default: none)"),
    Option(name="offload", parse=_one_of("model", "sequential"), metavar="PARTS",
           help="keep weights in main memory and bring them to the device a part (model) or a layer "
                "(sequential) at a time: less memory, slower (default: none)"),
    Option(name="compile", parse=_one_of("default", "reduce-overhead", "max-autotune"), metavar="MODE",
           help="compile the network by torch.compile: minutes at the first batch, then faster (default: "
                "none)"),
    Option(name="seed", parse=_integer, metavar="N", help="root seed of all pictures (default: 0)"),
    Option(name="limit", parse=_limit, metavar="RATE",
           help="largest extraction rate that passes (default: 0.01)"),
    Option(name="confidence", parse=_confidence, metavar="SHARE",
           help="confidence of each bound (default: 0.95)"),
    Option(name="edge_delta", parse=_delta, metavar="DELTA",
           help="tile-l2 within which two generations agree (default: the calibration's)"),
    Option(name="match_delta", parse=_delta, metavar="DELTA",
           help="l2 within which a generation is a training image (default: the calibration's)"),
    Option(name="clique_size", parse=_two_or_more, metavar="N",
           help="generations that must agree with each other (default: the calibration's or preset's)"),
    Option(name="calibration", parse=str, metavar="FILE", help="calibration written by `memex calibrate`"),
    Option(name="store", parse=str, metavar="FOLDER",
           help="where generations and embeddings are kept (default: ROOTDIR/.memex)"),
    Option(name="keep", parse=_one_of(*KEEP), metavar="WHAT",
           help="pixels that the store keeps: all; evidence, of prompts whose block sums do not rule out "
                "that they matter, and of 1 % of the others; or none: what is not kept is drawn again where "
                "it must be looked at (default: all)"),
    Option(name="json", parse=str, metavar="FILE", help="write the result as JSON"),
    Option(name="report", parse=str, metavar="FILE",
           help="write one page of Markdown for the record, with the SHA-256 of the JSON (FILE.json, unless "
                "--memex-json names another)"),
    Option(name="evidence", parse=_evidence, metavar="KIND",
           help="mosaic, or full:FOLDER to write original pictures there and nowhere else (default: mosaic)"),
    Option(name="evidence_mb", parse=_scale, metavar="MB",
           help="most megabytes of mosaics in an Allure report; it says how many it left out (default: 50)"),
    Option(name="redact", parse=_one_of("captions"), metavar="WHAT",
           help="captions: show no prompt text in any output"),
    Option(name="canaries", parse=str, metavar="FILE",
           help="manifest of canaries that were planted into the training set, written by `memex canary "
                "make`; they are audited, and left out of the rate"),
    Option(name="on_extracted", parse=_one_of("fail", "xfail"), metavar="POLICY",
           help="what an extracted prompt does to its case: fail or xfail (default: fail)"),
    Option(name="inconclusive", parse=_one_of("fail", "warn"), metavar="POLICY",
           help="what an inconclusive case does: fail or warn (default: fail)"),
    Option(name="baseline", parse=str, metavar="FILE",
           help="audit to compare with, written by `memex bless` (default: audits/baselines/NAME.json, where "
                "there is one)"),
    Option(name="baseline_policy", parse=_one_of("required", "warn", "create"), metavar="POLICY",
           help="what a missing baseline does: required fails, warn skips the comparison and says so, create "
                "writes one of this run (default: warn)"),
    Option(name="granularity", parse=_one_of("auto", "prompt", "batch"), metavar="KIND",
           help="what a case is: a prompt, a batch of them, or auto: a batch in sets of more than 5,000 "
                "prompts (default: auto)"),
    Option(name="minimal_trigger", parse=_none_or_more, metavar="N",
           help="look for the words of an extracted prompt that are enough, with at most so many generations "
                "a prompt, beside those of --memex-budget (default: 0, not at all)"),
    Option(name="neighbours", parse=_none_or_more, metavar="N",
           help="also audit so many prompts that are like each known one, for a model that was repaired "
                "(default: 0, none)"),
    Option(name="untargeted", parse=_none_or_more, metavar="N",
           help="draw so many pictures for no prompt in particular, or for those of --memex-prompts in turn, "
                "and look each up in the training set (default: 0; 1000 for a model that takes no prompts)"),
    Option(name="untargeted_held_out", parse=str, metavar="SET",
           help="pictures that were not trained on, a set as for --memex-training-set: the threshold of the "
                "untargeted extraction is measured on them (default: none, and a stated threshold)"),
    Option(name="sscd", parse=str, metavar="FILE",
           help="SSCD copy detector as TorchScript, such as sscd_disc_mixup.torchscript.pt: its cosine to "
                "the training image stands in each finding; a file is code, use one that you trust"),
    Option(name="max_pixels", parse=_pixels, metavar="N",
           help="largest picture, in pixels, that is decoded of a training set, a folder of generations or "
                "an answer; a larger one is set aside and counted (default: 64,000,000)"),
    Option(name="crop", parse=_one_of(*CROPS), metavar="HOW",
           help="how training brought pictures to the model's size, and training images are brought to it to "
                "be compared: center, resized to cover it and cut at the centre; random, cut anywhere, as "
                "trainers do without --center_crop: the place is looked for; squash, both sides resized and "
                "nothing cut (default: center)"),
    Option(name="max_images", parse=_whole, metavar="N",
           help="ask an endpoint for at most so many pictures, all runs with one --memex-store together; "
                "what is not decided then is UNDECIDED (default: no end)"),
    Option(name="requests_per_minute", parse=_per_minute, metavar="N",
           help="ask an endpoint at most so often, all processes with one --memex-store together (default: "
                "as often as it answers)"),
    Option(name="api_key_env", parse=_variable, metavar="NAME",
           help=f"environment variable that holds the endpoint's key (default: {API_KEY_ENV})"),
)  # fmt: skip

# What the command line offers wherever pictures are drawn.
DRAWN_WITH = (
    "steps", "guidance", "size", "negative_prompt", "scheduler", "batch_size", "device", "dtype",
    "attention_slicing", "offload", "compile",
)  # fmt: skip

# What a marker may set: how a case is judged. What is drawn is one thing for the whole run.
MARKER_ARGUMENTS = ("limit", "confidence", "on_extracted", "inconclusive")


def read_settings(values: Mapping[str, str | None]) -> Settings:
    """Parse option texts by name; None and missing names keep their defaults.

    Raises:
        ConfigurationError: a value cannot be used; the message names its option.
    """
    parsed = {}
    for option in OPTIONS:
        text = values.get(option.name)
        if text is None:
            continue
        try:
            parsed[option.name] = option.parse(text)
        except _MayHoldKeyError as error:
            raise ConfigurationError(f"{option.flag} must be {error}.") from None
        except ValueError as error:
            raise ConfigurationError(f"{option.flag} must be {error}, got {text!r}.") from error
    settings = Settings(**parsed)
    if settings.prompts and not Path(settings.prompts).is_file():
        raise ConfigurationError(f"--memex-prompts must be a file, got {settings.prompts}; check the path.")
    if settings.canaries and not Path(settings.canaries).is_file():
        raise ConfigurationError(f"--memex-canaries must be a file, got {settings.canaries}; check the path.")
    _check_lora(settings.lora)
    return settings


def _check_lora(lora: Lora | None) -> None:
    if lora and lora.path != SPECIMEN_LORA and not Path(lora.path).expanduser().exists():
        raise ConfigurationError(
            f"--memex-lora must be a file or folder, got {lora.path}, which does not exist; check the path. "
            "A weight is written PATH:0.8."
        )


def check_marker(arguments: Mapping[str, object]) -> None:
    """Refuse marker arguments that do not exist or cannot be used.

    Raises:
        ConfigurationError: the message names the nearest valid argument.
    """
    for name, value in arguments.items():
        if name not in MARKER_ARGUMENTS:
            near = difflib.get_close_matches(name, MARKER_ARGUMENTS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(MARKER_ARGUMENTS)}."
            raise ConfigurationError(f"@pytest.mark.memex takes no argument {name!r}; {hint}")
        try:
            read_settings({name: str(value)})
        except ConfigurationError as error:
            raise ConfigurationError(f"@pytest.mark.memex: {error}") from error


assert {option.name for option in OPTIONS} == {field.name for field in fields(Settings)}
