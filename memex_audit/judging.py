"""Judge one prompt: what its generations look like, and what they lie near -> a finding with its evidence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol as Port

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.altered import ALTERATIONS
from memex_audit.extraction.distances import l2_to_many
from memex_audit.extraction.fitted_images import Nearest
from memex_audit.extraction.likeness import altered_neighbor, altered_own, detected_copy, template_of
from memex_audit.extraction.matching import Matcher
from memex_audit.extraction.protocol import blind_spot_of_outcome, look_of, sequential_test
from memex_audit.extraction.verdicts import (
    SEEDS_FOR_EXTRACTION,
    CliqueReading,
    NearestExample,
    enough_judged,
    near_examples,
    nearest_example,
    read_cliques,
    read_graph,
)
from memex_audit.rates.images_extracted import image_blind_spot
from memex_audit.records import (
    AuditPrompt,
    Finding,
    ImageExtracted,
    Match,
    MatchKind,
    Protocol,
    Unit,
    Verdict,
)

# Training images that a finding names, where the rate counts them one by one.
MOST_NAMED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of a prompt after some generations.

    `images`: uint8 (n, h, w, 3), what can be judged, with their `seeds`; `set_aside`: how many more cannot,
    of which a content filter `refused` some, and some are `absent` from a folder of generations;
    `own`: distances to the training images of the prompt's caption, and where the rate counts images to
    others that are near. `by_sums`: block sums alone show that no picture matters: there is no near-duplicate
    and no training image within match delta, plain or altered. Then `images` is empty, and the distances of
    `own` are bounds from below.
    """

    images: NDArray[np.uint8]
    seeds: tuple[int, ...]
    set_aside: int
    own: Nearest
    refused: int = 0
    absent: int = 0
    by_sums: bool = False

    @property
    def n(self) -> int:
        """How many generations are judged."""
        return len(self.seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A finding, and of each training image near which seeds lie how many do."""

    finding: Finding
    seeds_near: Mapping[str, int]


class Judged(Port):
    """Remembers judgements; it must know none that another look at the same pictures could not give."""

    def recall(
        self, prompts: Sequence[AuditPrompt], protocol_of: Callable[[str], Protocol]
    ) -> Mapping[str, Judgement]:
        """Return what is known of these prompts, by their ids."""
        ...

    def keep(self, prompt: AuditPrompt, protocol: Protocol, judgement: Judgement) -> None:
        """Remember a judgement of the pictures that are stored."""
        ...

    def flush(self) -> None:
        """Write down what was kept."""
        ...


def judge(
    prompt: AuditPrompt,
    look: Look,
    clique: CliqueReading,
    *,
    protocol: Protocol,
    matcher: Matcher | None,
    evaluations_per_image: int,
) -> Judgement:
    """Decide a prompt on its last look.

    Args:
        prompt: what was drawn for.
        look: at what was drawn.
        clique: what `read_look` says of it.
        protocol: how the prompt is decided.
        matcher: None where there is no training set.
        evaluations_per_image: network evaluations that a picture costs.
    """
    found = _extracted(look, clique, protocol, matcher) or _altered(look, clique, protocol, matcher)
    closest = found or nearest_example(look.own, match_delta=protocol.match_delta, at_least=1)
    near = near_examples(look.own, match_delta=protocol.match_delta)
    if found and found.example_id not in look.own.example_ids:
        near = (*near, found)
    images = _images_extracted(near)
    counts_images = protocol.unit is Unit.TRAINING_IMAGE
    replica_rows = found.rows if found and not counts_images else _rows_near(look.own, protocol.match_delta)
    nearest = _least_distance(look.own, found)
    finding = Finding(
        prompt_id=prompt.prompt_id,
        prompt=prompt.text,
        duplication_count=prompt.duplication_count,
        group_id=prompt.group_id,
        verdict=_verdict(look, clique, found),
        near_miss=closest is not None and found is None,
        generations=look.n,
        set_aside=look.set_aside,
        network_evaluations=(look.n + look.set_aside) * evaluations_per_image,
        clique_size=len(clique.members),
        clique_seeds=tuple(look.seeds[row] for row in clique.members),
        replicas=len(replica_rows),
        replica_seeds=tuple(look.seeds[row] for row in replica_rows),
        blind_spot=_blind_spot(look, protocol),
        match=_match(prompt, look, clique, closest, protocol=protocol, matcher=matcher) if matcher else None,
        nearest=nearest,
        nearest_is_bound=look.by_sums and nearest is not None,
        images_extracted=len(images),
        images=images[:MOST_NAMED] if counts_images else (),
        slice=prompt.slice,
        refused=look.refused,
        absent=look.absent,
    )
    return Judgement(finding=finding, seeds_near={example.example_id: len(example.rows) for example in near})


def read_look(look: Look, protocol: Protocol) -> CliqueReading:
    """Read a look's largest clique by the boundaries of that look."""
    test, i = sequential_test(protocol), _number_of(look, protocol)
    if look.by_sums:
        unconnected = np.zeros((look.n, look.n), dtype=bool)
        return read_graph(unconnected, flag_at=test.flag_at[i], clean_at=test.clean_at[i])
    return read_cliques(
        look.images, edge_delta=protocol.edge_delta, flag_at=test.flag_at[i], clean_at=test.clean_at[i]
    )


def goes_on(look: Look, clique: CliqueReading, protocol: Protocol) -> bool:
    """Whether a prompt needs the next look: nothing is decided, or one seed lies near a training image."""
    seeds_near = int((look.own.distances <= protocol.match_delta).sum(axis=0).max(initial=0))
    if seeds_near >= SEEDS_FOR_EXTRACTION:
        return False
    if clique.flagged or seeds_near:
        return not clique.flagged
    # What gives blanks is not worth a dozen more of them, and a folder at its end gives no more at all.
    return not clique.clean and not look.absent and enough_judged(look.n, look.set_aside)


def _number_of(look: Look, protocol: Protocol) -> int:
    return look_of(look.n + look.set_aside, protocol.looks)


def _verdict(look: Look, clique: CliqueReading, found: NearestExample | None) -> Verdict:
    if found:
        return Verdict.EXTRACTED
    if clique.flagged:
        return Verdict.FLAGGED
    # Fewer pictures than the look takes were never seen, which is no sign that the prompt is clean.
    if not clique.clean or look.absent or not enough_judged(look.n, look.set_aside):
        return Verdict.UNDECIDED
    return Verdict.NOT_FLAGGED


def _extracted(
    look: Look, clique: CliqueReading, protocol: Protocol, matcher: Matcher | None
) -> NearestExample | None:
    """Return the training image given back: the caption's own, or another that a clique lies near."""
    delta = protocol.match_delta
    own = nearest_example(look.own, match_delta=delta, at_least=SEEDS_FOR_EXTRACTION)
    # Where images are counted one by one, those of other captions are in `own`.
    if own or not clique.flagged or not matcher or protocol.unit is Unit.TRAINING_IMAGE:
        return own
    near = matcher.distances_to_neighbors(look.images[list(clique.members)])
    other = nearest_example(near, match_delta=delta, at_least=_enough(look, protocol))
    if other is None:
        return None
    rows = tuple(clique.members[row] for row in other.rows)
    return NearestExample(example_id=other.example_id, distance=other.distance, rows=rows)


def _altered(
    look: Look, clique: CliqueReading, protocol: Protocol, matcher: Matcher | None
) -> NearestExample | None:
    """Return the training image that comes back mirrored or cropped: the caption's own, or a clique's."""
    if matcher is None or not len(look.images) or protocol.unit is Unit.TRAINING_IMAGE:
        return None
    delta = protocol.match_delta
    own = altered_own(
        look.images, look.own.example_ids, matcher, match_delta=delta, at_least=SEEDS_FOR_EXTRACTION
    )
    if own or not clique.flagged:
        return own
    members = look.images[list(clique.members)]
    other = altered_neighbor(members, matcher, match_delta=delta, at_least=_enough(look, protocol))
    return replace(other, rows=tuple(clique.members[row] for row in other.rows)) if other else None


def _enough(look: Look, protocol: Protocol) -> int:
    """Return the clique size that flags at this look."""
    return sequential_test(protocol).flag_at[_number_of(look, protocol)]


def _images_extracted(near: tuple[NearestExample, ...]) -> tuple[ImageExtracted, ...]:
    return tuple(
        ImageExtracted(example_id=example.example_id, seeds=len(example.rows), distance=example.distance)
        for example in near
        if len(example.rows) >= SEEDS_FOR_EXTRACTION
    )


def _match(
    prompt: AuditPrompt,
    look: Look,
    clique: CliqueReading,
    closest: NearestExample | None,
    *,
    protocol: Protocol,
    matcher: Matcher,
) -> Match | None:
    """Say which training image came back; of a clique that is near none, what it is like."""
    if closest:
        own = closest.example_id in prompt.example_ids
        return _described(
            closest, MatchKind.MATCHING if own else MatchKind.RETRIEVED, look, protocol, matcher
        )
    if not clique.flagged or protocol.unit is Unit.TRAINING_IMAGE:
        return None
    members = look.images[list(clique.members)]
    template = template_of(
        members, matcher, match_delta=protocol.match_delta, at_least=_enough(look, protocol)
    )
    if template:
        rows = tuple(clique.members[row] for row in template.rows)
        return _described(replace(template, rows=rows), MatchKind.TEMPLATE, look, protocol, matcher)
    name = detected_copy(members, matcher)
    if name is None:
        return None
    kind = MatchKind.MATCHING if name in prompt.example_ids else MatchKind.RETRIEVED
    distance = float(matcher.distances_to(members, [name]).distances.min())
    found = NearestExample(example_id=name, distance=distance, rows=clique.members)
    return _described(found, kind, look, protocol, matcher)


def _described(
    found: NearestExample, kind: MatchKind, look: Look, protocol: Protocol, matcher: Matcher
) -> Match:
    height, width = look.images.shape[1:3]
    near = look.images[list(found.rows)]
    image = matcher.training_image(found.example_id, height, width, near)
    altered = ALTERATIONS[found.alteration](image) if found.alteration else image
    nearest = near[int(l2_to_many(altered, near).argmin())]
    return Match(
        example_id=found.example_id,
        distance=found.distance,
        kind=kind,
        k=matcher.count_within(found.example_id, protocol.match_delta, height, width),
        alteration=found.alteration,
        cosine=matcher.cosine(nearest, image),
        sscd=matcher.copy_cosine(nearest, image),
    )


def _blind_spot(look: Look, protocol: Protocol) -> float:
    if protocol.unit is Unit.TRAINING_IMAGE:
        return image_blind_spot(look.n)
    return blind_spot_of_outcome(look.n, sequential_test(protocol), look.set_aside)


def _least_distance(own: Nearest, found: NearestExample | None) -> float | None:
    distances = [*own.distances.ravel(), *([found.distance] if found else [])]
    return float(min(distances)) if distances else None


def _rows_near(own: Nearest, match_delta: float) -> tuple[int, ...]:
    if not own.distances.size:
        return ()
    return tuple(int(row) for row in np.flatnonzero(own.distances.min(axis=1) <= match_delta))
