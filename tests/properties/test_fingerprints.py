"""What must hold of digests: they tell different things apart, and order or spelling counts for nothing."""

import json

from hypothesis import given
from hypothesis import strategies as st

from memex_audit.generation.fingerprints import model_key, settings_digest
from memex_audit.training_set.prompts import prompt_id_of

values = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
settings_values = st.dictionaries(st.text(max_size=5), values, max_size=5)
texts = st.text(max_size=30)


@given(settings_values, st.randoms(use_true_random=False))
def test_the_order_of_the_settings_changes_no_digest(settings, random):
    names = random.sample(list(settings), len(settings))
    assert settings_digest({name: settings[name] for name in names}) == settings_digest(settings)


@given(settings_values, settings_values)
def test_two_settings_have_one_digest_only_where_they_are_the_same_as_json(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (settings_digest(one) == settings_digest(other)) == same


@given(settings_values)
def test_a_digest_is_sixteen_hex_digits_and_survives_being_written_down(settings):
    digest = settings_digest(settings)
    assert len(digest) == 16
    assert set(digest) <= set("0123456789abcdef")
    assert settings_digest(json.loads(json.dumps(settings))) == digest


@given(st.lists(texts, min_size=2, max_size=6, unique=True))
def test_models_of_different_fingerprints_have_different_keys_that_are_file_names(fingerprints):
    keys = [model_key(fingerprint) for fingerprint in fingerprints]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)


@given(texts)
def test_a_prompt_s_id_is_that_of_its_text_without_the_spaces_around_it(text):
    assert prompt_id_of(f"  {text}\n") == prompt_id_of(text)
    assert len(prompt_id_of(text)) == 12
