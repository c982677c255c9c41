"""One case for each prompt whose images are most duplicated in the training set."""

from memex_audit.assertions import assert_not_extracted


def test_prompt_gives_back_no_training_image(memex, duplicated_prompt):
    assert_not_extracted(memex.finding(duplicated_prompt), protocol=memex.protocol)
