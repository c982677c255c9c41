"""Seeds over all prompts, roots and numbers."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from memex_audit.generation.seeds import image_seed

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
keys = st.tuples(st.integers(-(2**63), 2**63 - 1), texts, st.integers(0, 2**31 - 1))


@given(keys)
def test_every_seed_fits_63_bits(key):
    assert 0 <= image_seed(*key) < 2**63


@given(st.lists(keys, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_requests_changes_no_seed(requests, random):
    expected = {key: image_seed(*key) for key in requests}
    random.shuffle(requests)
    assert {key: image_seed(*key) for key in requests} == expected


@given(keys, st.sampled_from(["NFC", "NFD"]))
def test_equivalent_texts_have_one_seed(key, form):
    root, text, i = key
    assert image_seed(root, unicodedata.normalize(form, text), i) == image_seed(root, text, i)


@given(st.integers(0, 100), texts)
def test_the_pictures_of_a_prompt_have_different_seeds(root, text):
    assert len({image_seed(root, text, i) for i in range(64)}) == 64
