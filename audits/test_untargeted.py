"""What comes back unasked: pictures for no prompt in particular, looked up in the training set.

The audit of a model that takes no prompts, where it is always made. Of any other it is made only where
--memex-untargeted says how many pictures are drawn.
"""

from memex_audit.assertions import assert_untargeted_within_limit


def test_no_training_image_comes_back_unasked(untargeted_extraction):
    assert_untargeted_within_limit(untargeted_extraction)
