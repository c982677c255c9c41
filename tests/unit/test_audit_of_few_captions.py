"""The stages on a training set of few captions: every image is looked for by itself."""

import numpy as np
import pytest

from memex_audit.audit import Audit
from memex_audit.config import Settings
from memex_audit.exhibits import MOST_EXHIBITS
from memex_audit.extraction.block_sums import block_sums
from memex_audit.extraction.matching import Matcher
from memex_audit.few_captions import protocols_of_few_captions
from memex_audit.generation.store import UnitStore
from memex_audit.rates.verdicts import rate_verdict
from memex_audit.records import (
    AuditPrompt,
    Frame,
    Generation,
    MatchKind,
    PromptSet,
    Protocol,
    RunVerdict,
    Unit,
    Verdict,
)

SIDE = 16
N_GENERATIONS = 24
PROTOCOL = Protocol(name="default", looks=(N_GENERATIONS,), clique_size=6, edge_delta=0.1, match_delta=0.1)
SETTINGS = Settings(generations=N_GENERATIONS)


def picture(seed):
    return np.random.default_rng(seed).integers(40, 216, (SIDE, SIDE, 3), dtype=np.uint8)


def noisy(image, seed, deviation=4):
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


TRAINING = {f"dog-{i}": picture(i) for i in range(6)} | {f"cat-{i}": picture(10 + i) for i in range(3)}
DOGS = tuple(name for name in TRAINING if name.startswith("dog"))
CATS = tuple(name for name in TRAINING if name.startswith("cat"))


class Images:
    """A training set, its embedder (pixels, unit norm) and its exact index in one; counts what it loads."""

    name, dimension, duplicate_similarity, location = "pixels", SIDE * SIDE * 3, 0.9, "memory"
    example_ids = tuple(TRAINING)

    def __init__(self):
        self.most_loaded = 0
        self.searched = 0

    def load(self, example_ids):
        self.most_loaded = max(self.most_loaded, len(example_ids))
        return [TRAINING[example_id] for example_id in example_ids]

    def embed(self, images):
        self.searched += len(images)
        vectors = np.stack([image.reshape(-1).astype(np.float32) - 127.5 for image in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def search(self, queries, n):
        similarities = queries @ self.embed(list(TRAINING.values())).T
        rows = np.argsort(-similarities, axis=1)[:, :n]
        return np.take_along_axis(similarities, rows, axis=1), rows


class Model:
    """A Generator that gives back the training image of a picture's number, and noise where there is none."""

    fingerprint, settings, seeded, shareable, evaluations_per_image = "f" * 64, {}, True, True, 10

    def __init__(self, store, gives_back, black=()):
        self._number = {store.request(p, i).seed: i for p in gives_back for i in range(N_GENERATIONS)}
        self._gives_back, self._black = gives_back, black

    def generate(self, requests):
        for request in requests:
            name = self._gives_back[request.prompt].get(self._number[request.seed])
            pixels = picture(request.seed) if name is None else noisy(TRAINING[name], request.seed)
            if request.prompt in self._black:
                yield Generation(request=request, pixels=None, reason="blank")
            else:
                yield Generation(request=request, pixels=pixels)


def prompt_of(text, ids):
    return AuditPrompt(prompt_id=text, text=text, group_id=text, duplication_count=1, example_ids=ids)


@pytest.fixture
def audit_of(tmp_path):
    """Returns a function that audits a model by what it gives back: {prompt: {number: training image}}."""

    def make(gives_back, examples=None, *, black=(), images=None, n_captions=None, keep="all"):
        examples = examples or {"a dog": DOGS, "a cat": CATS}
        images = images or Images()
        store = UnitStore(
            tmp_path / keep, keeps_pixels=keep != "none", fingerprint="f" * 64, digest="d" * 16, root_seed=0,
            summarize=lambda pixels: block_sums(pixels[None]).sums[0],
        )  # fmt: skip
        prompts = PromptSet(
            prompts=tuple(prompt_of(text, ids) for text, ids in examples.items() if text in gives_back),
            frame=Frame(description="these captions", size=len(examples)),
            n_examples=len(TRAINING),
            n_captions=n_captions or len(examples),
        )
        own = protocols_of_few_captions(SETTINGS, PROTOCOL, prompts)
        return Audit(
            prompts=prompts, protocol=next(iter(own.values()), PROTOCOL), protocols=own, store=store,
            generator=lambda: Model(store, gives_back, black), evaluations_per_image=lambda: 10,
            matcher=Matcher(images, lambda: images, lambda: images), batch_size=8,
            keep=keep,
        )  # fmt: skip

    return make


def rate(audit, limit=0.01):
    return audit.rate(limit=limit, confidence=0.95)


def test_every_image_that_two_seeds_gave_back_is_named_most_seeds_first(audit_of):
    audit = audit_of(
        {"a dog": {0: "dog-1", 1: "dog-4", 2: "dog-4", 3: "dog-1", 4: "dog-4", 5: "dog-0"}, "a cat": {}}
    )
    dog, cat = audit.findings()
    assert (dog.verdict, cat.verdict) == (Verdict.EXTRACTED, Verdict.NOT_FLAGGED)
    assert [(image.example_id, image.seeds) for image in dog.images] == [("dog-4", 3), ("dog-1", 2)]
    assert (dog.images_extracted, dog.replicas, dog.generations) == (2, 6, N_GENERATIONS)
    assert dog.match.example_id in ("dog-4", "dog-1")
    assert dog.blind_spot == pytest.approx(0.18, abs=0.005)  # P(Bin(24, q) >= 2) = 0.95
    assert cat.images == ()


def test_the_rate_counts_images_out_of_the_whole_training_set(audit_of):
    found = rate(audit_of({"a dog": {0: "dog-1", 3: "dog-1"}, "a cat": {}}))
    assert found.unit is Unit.TRAINING_IMAGE
    assert (found.extracted_groups, found.groups, found.undecided_groups) == (1, 9, 0)
    assert (found.lower, found.upper) == (1 / 9, 1 / 9)
    assert rate_verdict(found) is RunVerdict.FAIL


def test_a_model_that_gives_nothing_back_passes_on_a_single_caption(audit_of):
    audit = audit_of({"a pet": {0: "dog-1"}}, {"a pet": (*DOGS, *CATS)})
    assert rate_verdict(rate(audit)) is RunVerdict.PASS
    (finding,) = audit.findings()
    assert (finding.near_miss, finding.verdict, finding.replicas) == (True, Verdict.NOT_FLAGGED, 1)


def test_an_image_of_another_caption_is_found_through_the_index(audit_of):
    audit = audit_of({"a dog": {0: "cat-2", 7: "cat-2"}, "a cat": {}})
    dog, _ = audit.findings()
    assert (dog.verdict, dog.match.example_id, dog.match.kind) == (
        Verdict.EXTRACTED, "cat-2", MatchKind.RETRIEVED,
    )  # fmt: skip
    assert rate(audit).extracted_groups == 1


def test_seeds_of_two_prompts_near_one_image_extract_it(audit_of):
    audit = audit_of({"a dog": {0: "cat-2"}, "a cat": {5: "cat-2"}})
    assert {finding.verdict for finding in audit.findings()} == {Verdict.NOT_FLAGGED}
    assert all(finding.near_miss for finding in audit.findings())
    assert rate(audit).extracted_groups == 1


def test_where_a_caption_has_every_image_nothing_is_embedded(audit_of):
    images = Images()
    audit_of({"a pet": {}}, {"a pet": tuple(TRAINING)}, images=images).findings()
    assert images.searched == 0


def test_images_of_a_caption_that_gives_blanks_are_undecided(audit_of):
    found = rate(audit_of({"a dog": {}, "a cat": {}}, black=("a cat",)))
    assert (found.extracted_groups, found.undecided_groups) == (0, len(CATS))
    assert (found.lower, found.upper) == (0, len(CATS) / 9)
    assert rate_verdict(found) is RunVerdict.INCONCLUSIVE


def test_images_of_a_caption_that_was_left_out_are_undecided(audit_of):
    found = rate(audit_of({"a cat": {}}))
    assert found.undecided_groups == len(DOGS)
    assert rate_verdict(found) is RunVerdict.INCONCLUSIVE


def test_each_image_has_an_exhibit_of_its_own_pictures(audit_of):
    audit = audit_of({"a dog": {0: "dog-1", 1: "dog-4", 2: "dog-4", 3: "dog-1", 4: "dog-4"}, "a cat": {}})
    exhibits = audit.exhibits(audit.findings()[0])
    assert [len(exhibit.generations) for exhibit in exhibits] == [3, 2]
    assert (exhibits[0].training_image == TRAINING["dog-4"]).all()
    assert (exhibits[1].training_image == TRAINING["dog-1"]).all()
    for exhibit in exhibits:
        assert np.abs(exhibit.generations.astype(int) - exhibit.training_image).mean() < 5
    assert len(exhibits) <= MOST_EXHIBITS


def test_with_many_captions_the_images_given_back_are_counted_and_do_not_gate(audit_of):
    audit = audit_of({"a dog": {0: "dog-1", 3: "dog-1", 4: "dog-2", 5: "dog-2"}, "a cat": {}}, n_captions=50)
    found = rate(audit)
    assert found.unit is Unit.PROMPT_GROUP
    assert (found.extracted_groups, found.groups) == (1, 2)
    assert (found.captions, found.images, found.images_extracted) == (50, 9, 2)
    assert found.unit_reason == ""
    assert audit.findings()[0].images == ()  # counted, not named


@pytest.mark.parametrize("keep", ["evidence", "none"])
def test_what_is_kept_of_pictures_changes_nothing_as_block_sums_settle_none_of_them(audit_of, keep):
    gives_back = {"a dog": {0: "dog-1", 1: "dog-4", 2: "dog-4", 3: "cat-0"}, "a cat": {}}
    everything, audit = audit_of(gives_back), audit_of(gives_back, keep=keep)
    assert audit.findings() == everything.findings()
    assert audit.image_count() == everything.image_count()
    assert audit_of(gives_back, keep=keep).findings() == everything.findings()
    kept = [picture.pixels is not None for picture in audit._store.read("a cat", N_GENERATIONS)]
    assert set(kept) == {keep == "evidence"}
