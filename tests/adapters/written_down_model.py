"""A model whose behaviour is written down prompt by prompt, and an audit of it."""

import numpy as np

from memex_audit.audit import Audit
from memex_audit.extraction.block_sums import block_sums
from memex_audit.extraction.matching import Matcher
from memex_audit.generation.store import UnitStore
from memex_audit.records import AuditPrompt, Frame, Generation, PromptSet, Protocol
from memex_audit.spending import Spending

SIDE = 16
EVALUATIONS = 10
PROTOCOL = Protocol(name="default", looks=(4, 16), clique_size=4, edge_delta=0.1, match_delta=0.1)


def picture(seed):
    return np.random.default_rng(seed).integers(40, 216, (SIDE, SIDE, 3), dtype=np.uint8)


def noisy(image, seed, deviation=4):
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


# The training image of a caption stands under the caption's own name; "replicates" has three copies.
CAPTIONS = ("replicates", "replicates another", "invents a clique", "is independent", "nears once",
            "is black", "is half black", "changes size", "agrees twice", "replicates a pair")  # fmt: skip
TRAINING = {caption: picture(i) for i, caption in enumerate(CAPTIONS)}
TRAINING |= {f"copy-{i}": noisy(TRAINING["replicates"], 50 + i) for i in range(2)}


REPEATED = {
    "replicates": (TRAINING["replicates"], range(16)),
    "replicates another": (TRAINING["is independent"], range(16)),
    "invents a clique": (picture(999), range(16)),
    "nears once": (TRAINING["nears once"], (1,)),
    "agrees twice": (picture(998), (0, 2)),
    "replicates a pair": (TRAINING["replicates a pair"], (3, 9)),
}
BLACK = {"is black": range(16), "is half black": range(1, 16, 2)}


def draw(prompt, number, seed):
    """The model: what it draws for a prompt's picture of that number; None where it is black."""
    if number in BLACK.get(prompt, ()):
        return None
    image, numbers = REPEATED.get(prompt, (None, ()))
    if number in numbers:
        return noisy(image, seed)
    independent = picture(seed)
    return independent[:8, :8] if (prompt, number) == ("changes size", 0) else independent


class Model:
    """A Generator that looks its pictures up, and counts."""

    fingerprint, settings, seeded, shareable = "f" * 64, {}, True, True
    evaluations_per_image = EVALUATIONS

    def __init__(self, store):
        self._numbers = {store.request(c, i).seed: i for c in CAPTIONS for i in range(16)}
        self.requests = []

    def generate(self, requests):
        for request in requests:
            self.requests.append(request)
            number = self._numbers[request.seed]
            pixels = draw(request.prompt, number, request.seed)
            yield Generation(request=request, pixels=pixels, reason="blank" if pixels is None else None)


class Images:
    """A training set, its embedder (pixels, unit norm) and its exact index in one."""

    name, dimension, duplicate_similarity, location = "pixels", SIDE * SIDE * 3, 0.9, "memory"
    example_ids = tuple(TRAINING)

    def load(self, example_ids):
        return [TRAINING[example_id] for example_id in example_ids]

    def embed(self, images):
        vectors = np.stack([image.reshape(-1).astype(np.float32) - 127.5 for image in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def search(self, queries, n):
        similarities = queries @ self.embed(list(TRAINING.values())).T
        rows = np.argsort(-similarities, axis=1)[:, :n]
        return np.take_along_axis(similarities, rows, axis=1), rows


def prompt_of(caption):
    return AuditPrompt(
        prompt_id=caption.replace(" ", "-"), text=caption, group_id=caption, duplication_count=1,
        example_ids=(caption,),
    )  # fmt: skip


class Bench:
    """An audit of some captions, with the model that draws for it."""

    def __init__(
        self,
        root,
        captions,
        *,
        matcher=True,
        batch_size=8,
        units=(),
        protocol=PROTOCOL,
        progress=None,
        keep="all",
        budget=None,
    ):
        images = Images()
        self.notes = []
        self.store = UnitStore(
            root, fingerprint="f" * 64, digest="d" * 16, root_seed=0,
            summarize=lambda pixels: block_sums(pixels[None]).sums[0], note=self.hear,
            keeps_pixels=keep != "none",
        )  # fmt: skip
        self.model = Model(self.store)
        self.loads = 0
        self.audit = Audit(
            prompts=PromptSet(
                prompts=tuple(map(prompt_of, captions)), frame=Frame(description="these captions", size=None)
            ),
            protocol=protocol,
            store=self.store,
            generator=self._load,
            evaluations_per_image=lambda: EVALUATIONS,
            matcher=Matcher(images, lambda: images, lambda: images) if matcher else None,
            batch_size=batch_size,
            units=units,
            keep=keep,
            spending=Spending(budget),
            **({"progress": progress} if progress else {}),
        )

    def hear(self, note):
        self.notes.append(note)

    def _load(self):
        self.loads += 1
        return self.model

    def finding(self, caption):
        return self.audit.finding(prompt_of(caption))

    def drawn(self):
        return [request.prompt for request in self.model.requests]
