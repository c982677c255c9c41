"""What must hold of the prompts that are chosen from any training set."""

import itertools
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from memex_audit.training_set.prompts import prompt_id_of, select_prompts

unhurried = settings(deadline=None)


@st.composite
def rows(draw):
    """Rows of a mined set: caption, group, and the number of near-copies, which fits the group."""
    captions = st.sampled_from(
        ["a cat", " a cat", "a dog", "café", unicodedata.normalize("NFD", "café"), "x"]
    )
    drawn = draw(st.lists(st.tuples(captions, st.integers(0, 5)), min_size=1, max_size=14))
    sizes = [sum(group == other for _, other in drawn) for _, group in drawn]
    return [
        (f"id-{i}", text, size, group)
        for i, ((text, group), size) in enumerate(zip(drawn, sizes, strict=True))
    ]


def selected(drawn, max_prompts, seed=0):
    ids, captions, counts, groups = zip(*drawn, strict=True)
    return select_prompts(ids, captions, counts, groups, max_prompts=max_prompts, seed=seed)


def normal(text):
    return unicodedata.normalize("NFC", text.strip())


@unhurried
@given(rows(), st.integers(1, 8))
def test_each_caption_is_one_prompt_with_all_its_images_and_its_largest_count(drawn, max_prompts):
    chosen = selected(drawn, max_prompts)
    texts = {normal(text) for _, text, _, _ in drawn}
    assert len(chosen.prompts) == min(max_prompts, len(texts))
    assert len({prompt.prompt_id for prompt in chosen.prompts}) == len(chosen.prompts)
    for prompt in chosen.prompts:
        own = [row for row in drawn if normal(row[1]) == normal(prompt.text)]
        assert prompt.prompt_id == prompt_id_of(prompt.text)
        assert sorted(prompt.example_ids) == sorted(row[0] for row in own)
        assert prompt.duplication_count == max(row[2] for row in own)


@unhurried
@given(rows(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_prompt(drawn, max_prompts, random):
    def told(chosen):
        return [
            (p.prompt_id, p.text, p.group_id, p.duplication_count, set(p.example_ids)) for p in chosen.prompts
        ]

    shuffled = random.sample(drawn, len(drawn))
    assert told(selected(shuffled, max_prompts)) == told(selected(drawn, max_prompts))


@unhurried
@given(rows(), st.integers(1, 7))
def test_prompts_fall_by_count_and_more_of_them_keep_the_first(drawn, max_prompts):
    few, more = selected(drawn, max_prompts), selected(drawn, max_prompts + 1)
    counts = [prompt.duplication_count for prompt in more.prompts]
    assert counts == sorted(counts, reverse=True)
    if max(counts) > 1:
        assert more.prompts[: len(few.prompts)] == few.prompts
    else:
        assert set(few.prompts) <= set(more.prompts)


@unhurried
@given(rows())
def test_prompts_that_share_an_image_group_share_a_group_and_others_do_not(drawn):
    prompts = selected(drawn, 100).prompts
    groups = {p.prompt_id: {row[3] for row in drawn if normal(row[1]) == normal(p.text)} for p in prompts}
    joined = {p.prompt_id: {p.prompt_id} for p in prompts}
    for (a, one), (b, other) in itertools.product(groups.items(), repeat=2):
        if one & other:
            merged = joined[a] | joined[b]
            for member in merged:
                joined[member] = merged
    for one in prompts:
        for other in prompts:
            assert (one.group_id == other.group_id) == (other.prompt_id in joined[one.prompt_id])


@unhurried
@given(rows(), st.integers(1, 8))
def test_the_frame_counts_the_groups_it_speaks_of(drawn, max_prompts):
    chosen, everything = selected(drawn, max_prompts), selected(drawn, 100)
    all_groups = len({prompt.group_id for prompt in everything.prompts})
    kept = len({prompt.group_id for prompt in chosen.prompts})
    assert kept <= chosen.frame.size <= all_groups
    assert chosen.n_examples == len(drawn)
