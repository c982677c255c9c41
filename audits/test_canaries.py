"""Power on the model itself: canaries that were planted in its training set must be found.

Made only where --memex-canaries names a manifest of `memex canary make`.
"""

from memex_audit.assertions import assert_canaries_detected

# The fewest copies of a picture that this audit must be able to find in your model.
MIN_REPETITIONS = 64
MIN_SHARE = 0.75


def test_planted_canaries_are_found(planted_canaries):
    assert_canaries_detected(planted_canaries, min_repetitions=MIN_REPETITIONS, min_share=MIN_SHARE)
