"""What the stages of an audit hand to each other, and what is written down at the end.

Every record is frozen and holds no pixels but `Generation` and `Prediction`, which never leave memory as they
are.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Verdict(StrEnum):
    """What an audit says of one prompt."""

    NOT_FLAGGED = "not_flagged"
    FLAGGED = "flagged"
    EXTRACTED = "extracted"
    UNDECIDED = "undecided"


class RunVerdict(StrEnum):
    """What a whole run says. Only PASS is a pass."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INCOMPLETE = "incomplete"
    ERROR = "error"


class Unit(StrEnum):
    """What a rate counts."""

    PROMPT_GROUP = "prompt group"
    TRAINING_IMAGE = "training image"


class MatchKind(StrEnum):
    """How the training image that was given back is tied to the prompt (Webster 2023).

    MATCHING: it stands under the prompt's own caption. RETRIEVED: it stands under another one. TEMPLATE: the
    generations equal it outside of a region in which its near-copies differ; no extraction.
    """

    MATCHING = "matching"
    RETRIEVED = "retrieved"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """One row of a training set as it is read: `pixels` is uint8 (h, w, 3)."""

    id: str
    caption: str
    pixels: "NDArray[np.uint8]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Something that could not be used, and why: a file of the training set, a generation."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPrompt:
    """A prompt to audit.

    `prompt_id` is the first 12 hex digits of SHA-256 of the text (NFC, UTF-8); `group_id` names the
    duplicate group, the unit of every rate; `duplication_count` is the largest number of near-copies
    that an image of this caption has in the training set, itself included; `example_ids` are the
    training images that stand under this caption; `slice` is a part of the audit that the user named.
    """

    prompt_id: str
    # Not in the repr: pytest prints arguments in tracebacks, and captions may have to stay out of reports.
    text: str = field(repr=False)
    group_id: str
    duplication_count: int
    example_ids: tuple[str, ...] = field(default=(), repr=False)
    slice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The population that a rate speaks of: `size` groups, or None where it is not known."""

    description: str
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStratum:
    """Groups of a frame that were set apart before any outcome was known.

    `size`: how many; `group_ids`: those to audit, all of them or a simple random sample.
    """

    name: str
    size: int
    group_ids: tuple[str, ...] = field(repr=False)

    def without(self, groups: Collection[str]) -> "FrameStratum":
        """Return the stratum of a frame that these groups are not in."""
        left = tuple(group for group in self.group_ids if group not in groups)
        return FrameStratum(name=self.name, size=self.size - len(self.group_ids) + len(left), group_ids=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumCount:
    """What came of a stratum: of `size` groups `sampled` were audited.

    `cut_short`: the budget ended before others of the sample were begun; they are in no count.
    """

    name: str
    size: int
    sampled: int
    extracted: int
    undecided: int
    cut_short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenScore:
    """How suspicious a screen finds a prompt, the higher the more; it decides order and budget only.

    `name`: the screen's; `network_evaluations`: what the score cost when it was taken, on one latent each;
    `seeds`, `steps`: how many of the prompt's first seeds, and sampler steps of each.
    """

    name: str
    score: float
    network_evaluations: int
    seeds: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenUse:
    """How a screen divided a frame: groups that score `cut` or more are audited all.

    `scores`: of every prompt of the frame by its id; a prompt that has one and is not in the audit set was
    not drawn for.
    """

    name: str
    cut: float
    scores: dict[str, ScreenScore] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """The prompts of an audit, most duplicated first, and the frame they come from.

    `n_examples`, `n_captions`: training images, and distinct captions of them; `duplicated_share`: share of
    the images that have another within the duplicate similarity. None where no training set was mined.
    `read_as`: ids of prompts that the model reads as another one, by the id of the one that stands for them.
    `strata`: of the frame, where it is known which of its groups were drawn, and how; else none. `screen`:
    what divided the frame, if anything did.
    """

    prompts: tuple[AuditPrompt, ...]
    frame: Frame
    n_examples: int | None = None
    n_captions: int | None = None
    duplicated_share: float | None = None
    set_aside: tuple[SetAside, ...] = ()
    read_as: dict[str, str] = field(default_factory=dict)
    strata: tuple[FrameStratum, ...] = ()
    screen: ScreenUse | None = None


def prompt_set_digest(prompt_ids: Iterable[str]) -> str:
    """Return what tells audits of the same prompts: 16 hex digits of SHA-256 over their sorted ids."""
    return hashlib.sha256("\n".join(sorted(prompt_ids)).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One picture to be generated; `seed` is in [0, 2**63)."""

    prompt: str
    seed: int


# Reasons of a Generation without pixels that are counted apart from pictures that are blank or broken.
REFUSED = "refused by a content filter"
ABSENT = "not in the folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generated picture: `pixels` uint8 (h, w, 3), or None with the `reason` it was set aside.

    `sums`: its block sums, uint16 (blocks, 3), where they are known, with its `size` (height, width). A
    picture without pixels and without a reason is reduced to these two; it can be drawn again from its seed.
    """

    request: GenerationRequest
    pixels: "NDArray[np.uint8] | None"
    reason: str | None = None
    sums: "NDArray[np.uint16] | None" = None
    size: tuple[int, int] | None = None

    @property
    def reduced(self) -> bool:
        """Whether the picture was usable, and its pixels were not kept."""
        return self.pixels is None and self.reason is None and self.sums is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model makes of n latents at one noise level, one row of d values a request.

    `latent` float32 (n, d) = `signal` * picture + `noise` * Gaussian noise is what the network saw;
    `conditional` and `unconditional` float32 (n, d) are the pictures (x0, as latents) that it predicts behind
    it with the prompt and with none; `unconditional` is None where it was not asked for. `signal` is
    sqrt(abar), `noise` sqrt(1 - abar); in a flow model 1 - t and t.
    """

    latent: "NDArray[np.float32]"
    conditional: "NDArray[np.float32]"
    unconditional: "NDArray[np.float32] | None"
    signal: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenThreshold:
    """A screen's score above which a prompt is suspicious, measured on negative prompts of one model.

    `flagged` of `negatives` score above `threshold`; `lower` and `upper` are the exact two-sided 95 %
    interval of that share (Clopper-Pearson). `seeds` and `steps` are those of the scores.
    """

    name: str
    threshold: float
    flagged: int
    negatives: int
    lower: float
    upper: float
    seeds: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a prompt is decided.

    `looks` are cumulative numbers of generations. A prompt is flagged at look i when `flag_at[i]` of them
    lie pairwise within `edge_delta` by tile-l2 (a clique), and clean when no clique is larger than
    `clean_at[i]`; else, and where one lies near a training image of its caption, it goes on to the next look.
    `clique_size` is the size that flags at the last look. Without `flag_at` and `clean_at` only the last look
    flags, and an earlier one is clean where no two agree: extraction/protocol.py has the test and its power.
    Matched: within `match_delta` by l2 of a training image. `unit`: what the rate counts; a training image by
    itself where captions are few (rates/images_extracted.py).
    """

    name: str
    looks: tuple[int, ...]
    clique_size: int
    edge_delta: float
    match_delta: float
    unit: Unit = Unit.PROMPT_GROUP
    flag_at: tuple[int, ...] = ()
    clean_at: tuple[int, ...] = ()

    def flags_with(self, drawn: int) -> int:
        """Return the clique size that flags at the look that so many drawn generations belong to."""
        reached = (flag for n, flag in zip(self.looks, self.flag_at, strict=False) if drawn <= n)
        return next(reached, self.clique_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The training image that was given back; of a flagged prompt the one that its template or a copy
    detector points to.

    `distance`: l2 of the nearest generation to it (of a template over what the near-copies share); `k`:
    training images within match delta of it, itself included (Carlini et al. 2023, definition 2), among its
    nearest neighbours by embedding. `alteration`: how it was altered to match, such as "mirrored"; empty as
    it is. `cosine`, `sscd`: of the embedder, and of the copy detector where one is given, between that
    generation and the training image.
    """

    example_id: str
    distance: float
    kind: MatchKind
    k: int
    alteration: str = ""
    cosine: float | None = None
    sscd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageExtracted:
    """A training image that seeds of one prompt gave back: how many did, and the l2 of the nearest."""

    example_id: str
    seeds: int
    distance: float


# Stands where a word was, so that those after it keep their place: models read places too.
NEUTRAL_WORD = "a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The shortest prompt found that still gives the training image of a finding back.

    `text`: that prompt, and `kept` the words of the extracted one in it, `n_kept` of its `n_words`;
    `replaced`: how many more stand there as NEUTRAL_WORD. `complete`: it was tried that no word can be left
    out or replaced; False where the search used up the `generations` that it was given. These, and their
    `network_evaluations`, are not among the finding's.
    """

    prompt_id: str
    text: str = field(repr=False)
    kept: tuple[str, ...] = field(repr=False)
    n_kept: int
    n_words: int
    replaced: int
    generations: int
    network_evaluations: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the audit found for one prompt.

    `generations`: how many were judged; `set_aside`: how many more were blank or broken;
    `clique_size`: generations of the largest clique, 0 where no two agree (of more than 64 generations only
    cliques that flag are looked for); `clique_seeds`: its seeds; `replicas`:
    generations within match delta of a training image of the prompt's own caption, or of the clique's
    match; `blind_spot`: smallest replicating share that this many generations flag with probability
    0.95; `near_miss`: a single generation lies within match delta of an own training image; `nearest`:
    smallest l2 of any generation to a training image of the caption, or to the clique's match, None where
    there was nothing to compare with; `nearest_is_bound`: it is a bound from below on that, since the block
    sums of a clean prompt's pictures were enough (--memex-keep); `images_extracted`: training images that two
    seeds or more lie near;
    `images`: those, most seeds first, where the rate counts them one by one (the first 1,000); `slice`: the
    prompt's. `screen`: what a screen said, its cost among the network evaluations; `trigger`: the words that
    are enough, where they were looked for. `refused` and `absent`, among those set aside: what a content
    filter refused, and what a folder of generations does not hold.
    """

    prompt_id: str
    prompt: str = field(repr=False)
    duplication_count: int
    group_id: str
    verdict: Verdict
    near_miss: bool
    generations: int
    set_aside: int
    network_evaluations: int
    clique_size: int
    clique_seeds: tuple[int, ...]
    replicas: int
    replica_seeds: tuple[int, ...]
    blind_spot: float
    match: Match | None = field(repr=False)
    nearest: float | None = None
    nearest_is_bound: bool = False
    images_extracted: int = 0
    images: tuple[ImageExtracted, ...] = field(default=(), repr=False)
    slice: str | None = None
    screen: ScreenScore | None = None
    trigger: Trigger | None = field(default=None, repr=False)
    refused: int = 0
    absent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A prompt that is like a known one by a `change`, and what was found for it.

    Its finding is compared with the training images of the known prompt, and counts in no rate.
    """

    known_id: str
    known: str = field(repr=False)
    change: str
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """Neighbours of `known` prompts, decided by `protocol`."""

    known: int
    protocol: Protocol
    neighbours: tuple[Neighbour, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A rate on groups with its bounds; see rates/bounds.py for how they are made.

    `lower` and `upper` are each one-sided at `confidence`. `undecided` groups count as extracted in
    `upper`, as not extracted in `lower`. `unit`: what a group is, and `unit_reason` why where it is no prompt
    group: rates/images_extracted.py. `captions`, `images`: of the training set; `images_extracted`: how many
    of the images two seeds lie near. None where there is no training set. `strata`: of the frame, where the
    bounds are of its groups (rates/frames.py); `upper_of_alike` is then the binomial bound beside them, of
    prompts like these. `attempt`: which run of this audit it is, from 1, and `overall_confidence` that of all
    its runs together, of which `confidence` is this run's part (rates/attempts.py); 0 and None by itself.
    """

    extracted: int
    flagged: int
    undecided: int
    near_misses: int
    prompts: int
    groups: int
    extracted_groups: int
    undecided_groups: int
    generations: int
    replicas: int
    lower: float
    upper: float
    confidence: float
    limit: float
    frame: str
    frame_size: int | None
    method: str
    blind_spot: float
    unit: Unit = Unit.PROMPT_GROUP
    unit_reason: str = ""
    captions: int | None = None
    images: int | None = None
    images_extracted: int | None = None
    strata: tuple[StratumCount, ...] = ()
    upper_of_alike: float | None = None
    attempt: int = 0
    overall_confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Thresholds measured on negative prompts of one model.

    `flagged` of `negatives` prompts were flagged at `edge_delta`; `upper` is the exact one-sided 95 %
    bound of that share. `source` is "calibrated", "given" (by options) or "default" (uncalibrated).
    `reference` names the model that the negatives were drawn from, where it was another one. `looks`
    and `clean_at` are those of the protocol; `embedder` names what looked the negatives up in the training
    set.
    """

    source: str
    edge_delta: float
    match_delta: float
    clique_size: int
    protocol: str
    negatives: int = 0
    flagged: int = 0
    upper: float = 1.0
    model_fingerprint: str | None = None
    settings_digest: str | None = None
    reference: str | None = None
    looks: tuple[int, ...] = ()
    embedder: str | None = None
    screens: tuple[ScreenThreshold, ...] = ()
    clean_at: tuple[int, ...] = ()

    @property
    def calibrated(self) -> bool:
        return self.source == "calibrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlResult:
    """What a control showed: `kind` is "positive" or "negative"; `detected` of `prompts` were flagged
    (negative control) or extracted (positive control). `unit`: what these are, "prompts" or "training
    images"."""

    kind: str
    subject: str
    prompts: int
    detected: int
    unit: str = "prompts"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryFinding:
    """What an audit found for one canary; `repetitions` is 0 for one that was never planted.

    `detected`: extracted by the protocol, its own picture; `verdict`: the protocol's; `replicas` of
    `generations`: within match delta of the own picture, among the first of its caption, equally many for
    every canary; `nearest`: the least l2 of them to it, None where none could be judged; `rank` of the own
    picture among `candidates`, itself and those never planted; `exposure` = log2 candidates - log2 rank.
    """

    canary_id: str
    repetitions: int
    detected: bool
    verdict: Verdict
    replicas: int
    generations: int
    nearest: float | None
    rank: int
    candidates: int
    exposure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryLevel:
    """The canaries of one number of repetitions: `detected` of `canaries`.

    `lower` and `upper` bound the share that is detected, each one-sided; `exposure` is the mean, of at most
    `most_exposure`.
    """

    repetitions: int
    canaries: int
    detected: int
    lower: float
    upper: float
    replicas: int
    generations: int
    exposure: float
    most_exposure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryResult:
    """What an audit found of the canaries in its model's training set; captions are not part of it.

    `seal`: of the manifest; `references`: canaries that were never planted; `levels`: by repetitions, most
    first, the references audited last as 0.
    """

    seal: str
    confidence: float
    match_delta: float
    references: int
    canaries: tuple[CanaryFinding, ...]
    levels: tuple[CanaryLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UntargetedThreshold:
    """The adaptive distance within which a generation replicates a training image.

    `source`: "calibrated" on held-out pictures, or "default". `flagged` of `held_out` pictures reach it;
    `lower` and `upper` are the exact two-sided 95 % interval of that share (Clopper-Pearson).
    """

    source: str
    threshold: float
    held_out: int = 0
    flagged: int = 0
    lower: float = 0.0
    upper: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReplicated:
    """A training image, with its near-copies, that generations replicate: how many do, and the nearest.

    `example_id`: the copy that is nearest to any of them, by `distance` (l2) and `adaptive` distance.
    """

    example_id: str
    generations: int
    distance: float
    adaptive: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UntargetedResult:
    """What an untargeted extraction found: generations that were not asked for any training image.

    `replicating` of `generations` lie within the threshold of a training image; `lower` and `upper` bound
    that share, each one-sided at `confidence`; `replicated`: distinct training images, near-copies counted
    once, and `extracted`: those of them that two generations or more replicate. `images`: these, most
    generations first (the first 1,000). `prompts`: how many the pictures were drawn for, 0 where for none.
    `neighbours` and `alpha`: of the adaptive distance; `nearest`: the smallest of them.
    """

    generations: int
    set_aside: int
    network_evaluations: int
    replicating: int
    replicated: int
    extracted: int
    lower: float
    upper: float
    confidence: float
    limit: float
    threshold: UntargetedThreshold
    neighbours: int
    alpha: float
    training_images: int
    prompts: int = 0
    nearest: float | None = None
    images: tuple[ImageReplicated, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the result comes from: enough to run it again.

    `crop`: how training images were brought to the generations' size, None without a training set.
    `model_config` is the folder of a model in one file. `model_fingerprint` covers it, learned tokens, and
    the LoRA and its weight, where there are any; `prompt_set` is the digest of the ids of every prompt of
    the audit set (prompt_set_digest).
    """

    memex_version: str
    started: str
    model: str
    lora: str | None = None
    lora_weight: float | None = None
    model_fingerprint: str
    settings: dict[str, object]
    settings_digest: str
    training_set: str | None
    training_set_fingerprint: str | None
    embedder: str | None
    device: str
    seed: int
    versions: dict[str, str]
    store: str
    prompt_set: str | None = None
    model_config: str | None = None
    textual_inversion: str | None = None
    crop: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """Everything a report may show; made once at the end of a run.

    `rate`, `protocol`, `calibration` and `provenance` are None where no case came far enough to know them.
    """

    verdict: RunVerdict
    rate: Rate | None
    protocol: Protocol | None
    calibration: Calibration | None
    findings: tuple[Finding, ...]
    set_aside: tuple[SetAside, ...]
    controls: tuple[ControlResult, ...]
    provenance: Provenance | None
    notes: tuple[str, ...] = field(default=())
    canaries: CanaryResult | None = None
    untargeted: UntargetedResult | None = None
