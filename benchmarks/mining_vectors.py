"""Embeddings as of CLIP, made block by block from a seed, with planted near-copies."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memex_audit.training_set.shard_files import ShardFacts, write_shard

DIMENSION = 512
SHARD = 4096
# What all vectors share: the mean cosine of two that have nothing in common.
SHARED = 0.35
# Variance along the i-th direction falls as i^-0.5: most cosines of unrelated vectors lie from 0.2 to 0.5.
DECAY = 0.5
SIMILARITY = 0.95
# Share of images with near-copies, and the largest group.
COPIES, LARGEST = 0.15, 3000
# A copy's cosine with its original is uniform from here to 1: that of two copies lies around SIMILARITY.
LEAST_COSINE = 0.95


def write_set(folder: Path, n: int, *, seed: int = 0, template: bool = False) -> None:
    """Write n embeddings as shards of an embedded training set; `template`: all are copies of one picture."""
    facts = ShardFacts(embedder="synthetic", dimension=DIMENSION, duplicate_similarity=SIMILARITY)
    for number, block in enumerate(make_blocks(n, seed=seed, template=template)):
        write_shard(
            folder,
            number,
            vectors=block.astype(np.float16),
            ids=[f"{number * SHARD + i:09}" for i in range(len(block))],
            captions=[""] * len(block),
            set_aside=(),
            facts=facts,
        )


def make_blocks(n: int, *, seed: int, template: bool) -> Iterator[NDArray[np.float32]]:
    """Yield float32 (up to SHARD, DIMENSION) blocks of unit norm."""
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.standard_normal((DIMENSION, DIMENSION)))[0].astype(np.float32)
    group_of = np.zeros(n, int) if template else plant_groups(n, random)
    originals = draw(group_of.max(initial=-1) + 1, axes, random)
    for start in range(0, n, SHARD):
        random = np.random.default_rng([seed, start])
        groups = group_of[start : start + SHARD]
        block = draw(len(groups), axes, random)
        copies = np.flatnonzero(groups >= 0)
        least = 0.985 if template else LEAST_COSINE
        block[copies] = near(originals[groups[copies]], random.uniform(least, 1, len(copies)), random)
        yield block


def plant_groups(n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return each row's group, -1 for none: sizes from 2 on, one of twice the size half as often."""
    group_of = np.full(n, -1, np.int64)
    places, planted, group = random.permutation(n), 0, 0
    while planted < COPIES * n:
        size = int(min(2 / (1 - random.random()), LARGEST, n / 20))
        group_of[places[planted : planted + size]] = group
        planted, group = planted + size, group + 1
    return group_of


def draw(n: int, axes: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Draw n unrelated unit vectors."""
    variances = np.arange(1, DIMENSION) ** -DECAY
    scales = np.sqrt((1 - SHARED) * variances / variances.sum()).astype(np.float32)
    inside = np.empty((n, DIMENSION), np.float32)
    inside[:, 0] = np.sqrt(SHARED)
    inside[:, 1:] = random.standard_normal((n, DIMENSION - 1), np.float32) * scales
    vectors = inside @ axes
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def near(
    vectors: NDArray[np.float32], cosines: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float32]:
    """Return vectors at these cosines to others, in directions of chance."""
    aside = random.standard_normal(vectors.shape, np.float32)
    aside -= (aside * vectors).sum(axis=1, keepdims=True) * vectors
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    wide = cosines.astype(np.float32)[:, None]
    return wide * vectors + np.sqrt(1 - wide**2) * aside
