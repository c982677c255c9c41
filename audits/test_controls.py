"""A gate that cannot fail proves nothing, and one that fails for nothing is switched off."""

from memex_audit.assertions import assert_negative_control, assert_positive_control

MAX_FALSE_ALARMS = 0.05


def test_planted_replicas_are_found(memex):
    """These settings and thresholds find replicas in the specimen, where they are known to be."""
    assert_positive_control(memex.positive_control())


def test_prompts_without_a_picture_raise_no_alarm(memex):
    """Prompts that no training image stands under are flagged as seldom as calibrated."""
    assert_negative_control(memex.negative_control(), MAX_FALSE_ALARMS)
