"""Look at a prompt's pictures: by their block sums where these settle it, else pixel by pixel."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from memex_audit.extraction.block_sums import BlockSums, block_sums
from memex_audit.extraction.fitted_images import Nearest
from memex_audit.extraction.likeness import MOST_ALTERED
from memex_audit.extraction.matching import MOST_OWN, Matcher, beside
from memex_audit.extraction.protocol import look_of, sequential_test
from memex_audit.extraction.reduction import no_clique_possible, no_match_possible
from memex_audit.extraction.verdicts import SEEDS_FOR_EXTRACTION, smallest_clique
from memex_audit.judging import Look
from memex_audit.records import ABSENT, REFUSED, AuditPrompt, Generation, Protocol, Unit


class Looking:
    """Looks at pictures of prompts, and up what lies near them; `matcher` is None without a training set."""

    def __init__(self, matcher: Matcher | None, protocol_of: Callable[[str], Protocol]) -> None:
        self._matcher = matcher
        self._protocol_of = protocol_of

    def at_pixels(self, prompt: AuditPrompt, drawn: Sequence[Generation]) -> Look:
        """Look at pictures pixel by pixel; what has no pixels is set aside."""
        images, seeds = comparable(drawn)
        own = Nearest(distances=np.zeros((len(images), 0)), example_ids=())
        if self._matcher and len(images):
            if self._protocol_of(prompt.prompt_id).unit is Unit.TRAINING_IMAGE:
                own = self._matcher.distances_to(images, prompt.example_ids)
                own = beside(own, self._matcher.distances_to_others(images, prompt.example_ids))
            else:
                own = self._matcher.distances_to_own(images, prompt.example_ids)
        return _look(drawn, images, seeds, own)

    def at_sums(self, prompt: AuditPrompt, drawn: Sequence[Generation]) -> Look | None:
        """Look at pictures by their block sums; None where these leave anything open.

        They settle a prompt where no two of its pictures can agree, none can be a training image of its
        caption, and no two of them one that is mirrored or cropped: what `at_pixels` would see is then known.
        Where the rate counts training images, or very many stand under the caption, a picture's embedding
        decides what it is compared with, and block sums settle nothing.
        """
        protocol, usable = self._protocol_of(prompt.prompt_id), _of_one_size(drawn)
        very_many = len(prompt.example_ids) > MOST_OWN
        if protocol.unit is Unit.TRAINING_IMAGE or very_many or not usable:
            return None
        sums = sums_of(usable)
        test = sequential_test(protocol)
        number = look_of(len(drawn), protocol.looks)
        smallest = smallest_clique(len(usable), flag_at=test.flag_at[number], clean_at=test.clean_at[number])
        if not no_clique_possible(sums, protocol.edge_delta, smallest):
            return None
        own = self._surely_far(prompt, sums, protocol.match_delta)
        if own is None:
            return None
        seeds = tuple(generation.request.seed for generation in usable)
        return _look(drawn, np.zeros((0, sums.height, sums.width, 3), np.uint8), seeds, own, by_sums=True)

    def _surely_far(self, prompt: AuditPrompt, sums: BlockSums, match_delta: float) -> Nearest | None:
        """Return bounds from below to the training images of a caption; None where one may have come back."""
        if self._matcher is None:
            return Nearest(distances=np.zeros((len(sums), 0)), example_ids=())
        own = self._matcher.bounds_to(sums, prompt.example_ids)
        if not no_match_possible(own.distances, match_delta):
            return None
        altered = self._matcher.bounds_to_altered(sums, prompt.example_ids[:MOST_ALTERED])
        settled = (
            no_match_possible(near.distances, match_delta, at_least=SEEDS_FOR_EXTRACTION)
            for near in altered.values()
        )
        return own if all(settled) else None


def comparable(generations: Sequence[Generation]) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Return the usable pictures, uint8 (n, h, w, 3), with their seeds.

    Left out is what has no pixels, and what is of another size than the first that has.
    """
    kept = _of_one_size([generation for generation in generations if generation.pixels is not None])
    if not kept:
        return np.zeros((0, 4, 4, 3), np.uint8), ()
    pixels = [generation.pixels for generation in kept if generation.pixels is not None]
    return np.stack(pixels), tuple(generation.request.seed for generation in kept)


def sums_of(generations: Sequence[Generation]) -> BlockSums:
    """Return the block sums of usable pictures of one size, at least one."""
    height, width = _size_of(generations[0]) or (0, 0)
    return BlockSums(sums=np.stack([_sums(one) for one in generations]), height=height, width=width)


def _sums(generation: Generation) -> NDArray[np.uint16]:
    # Made anew where there are pixels: those that a generator brings are not trusted over them.
    if generation.pixels is not None:
        sums: NDArray[np.uint16] = block_sums(generation.pixels[None]).sums[0]
        return sums
    assert generation.sums is not None
    return generation.sums


def _of_one_size(generations: Sequence[Generation]) -> list[Generation]:
    """Return the usable pictures that are of the size of the first."""
    sizes = [_size_of(generation) for generation in generations]
    first = next(filter(None, sizes), None)
    return [generation for generation, size in zip(generations, sizes, strict=True) if size and size == first]


def _size_of(generation: Generation) -> tuple[int, int] | None:
    """Return the height and width of a picture, None of one that was set aside."""
    if generation.pixels is not None:
        return generation.pixels.shape[0], generation.pixels.shape[1]
    return generation.size if generation.reduced else None


def _look(
    drawn: Sequence[Generation],
    images: NDArray[np.uint8],
    seeds: tuple[int, ...],
    own: Nearest,
    *,
    by_sums: bool = False,
) -> Look:
    return Look(
        images=images,
        seeds=seeds,
        set_aside=len(drawn) - len(seeds),
        own=own,
        refused=sum(generation.reason == REFUSED for generation in drawn),
        absent=sum(generation.reason == ABSENT for generation in drawn),
        by_sums=by_sums,
    )
