"""For a model that was repaired: prompts like the known ones must not give the training image back either.

A mitigation may only hide a replica. Made only where --memex-neighbours says how many of each are audited.
"""

from memex_audit.assertions import assert_neighbourhood_clean


def test_no_prompt_like_a_known_one_gives_the_image_back(prompt_neighbourhood):
    assert_neighbourhood_clean(prompt_neighbourhood)
