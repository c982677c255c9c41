"""What the training set itself shows: duplicated images are what models memorize first."""

import pytest

from memex_audit.assertions import assert_duplicated_share_at_most

# The specimen's set has 15 %. Lower this once your own set is deduplicated.
MAX_DUPLICATED_SHARE = 0.20


def test_few_training_images_are_duplicated(memex):
    if memex.prompts.duplicated_share is None:
        pytest.skip("no training set was given, so none was mined for duplicates")
    assert_duplicated_share_at_most(memex.prompts, MAX_DUPLICATED_SHARE)
