from types import SimpleNamespace

import numpy as np
import pytest

from memex_audit.audit import no_progress
from memex_audit.errors import ImagesSpent
from memex_audit.generation.store import UnitStore
from memex_audit.records import Generation
from memex_audit.spending import Spending
from memex_audit.untargeted.drawing import AT_ONCE, draw_untargeted


class Endpoint:
    """Gives so many pictures, and then no more."""

    fingerprint, settings, seeded, shareable, evaluations_per_image = "e", {}, True, True, 0

    def __init__(self, n_images):
        self.left = n_images

    def generate(self, requests):
        for request in requests:
            if not self.left:
                raise ImagesSpent("the cap is reached.")
            self.left -= 1
            pixels = np.random.default_rng(request.seed).integers(0, 256, (8, 8, 3), np.uint8)
            yield Generation(request=request, pixels=pixels)


@pytest.fixture
def bench(tmp_path):
    store = UnitStore(tmp_path, fingerprint="e", digest="d", root_seed=0, summarize=np.ravel)
    return SimpleNamespace(unit_store=store, generator=Endpoint(10**6), batch_size=8)


def pictures(bench, n):
    batches = draw_untargeted(bench, (), n, progress=no_progress, spending=Spending(None))
    return [generation for batch in batches for generation in batch]


def test_every_picture_is_drawn_once_and_kept(bench):
    first = pictures(bench, AT_ONCE + 5)
    assert len({generation.request.seed for generation in first}) == AT_ONCE + 5
    bench.generator = Endpoint(0)
    again = pictures(bench, AT_ONCE + 5)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))


def test_a_cap_that_is_reached_ends_the_drawing_and_keeps_what_came(bench):
    bench.generator = Endpoint(AT_ONCE + 20)
    assert len(pictures(bench, 3 * AT_ONCE)) == AT_ONCE
    bench.generator = Endpoint(AT_ONCE)
    assert len(pictures(bench, 2 * AT_ONCE)) == 2 * AT_ONCE
