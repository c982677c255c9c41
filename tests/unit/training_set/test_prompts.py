import hashlib
import random

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.records import FrameStratum
from memex_audit.training_set import prompt_id_of, select_prompts


def select(rows, max_prompts=100, seed=0):
    """Select from rows of (id, caption, count, image group)."""
    return select_prompts(*map(list, zip(*rows, strict=True)), max_prompts=max_prompts, seed=seed)


def unique(n):
    return [(f"id-{i}", f"caption {i}", 1, i) for i in range(n)]


def test_a_prompt_id_is_twelve_hex_digits_of_the_hash_of_the_normal_form():
    assert prompt_id_of("a cat") == hashlib.sha256(b"a cat").hexdigest()[:12]
    assert prompt_id_of("cafe\u0301 ") == prompt_id_of("caf\xe9") != prompt_id_of("cafe")


def test_one_prompt_of_every_caption_with_the_largest_count_of_its_images():
    found = select([("a", "cat", 2, 0), ("b", "dog", 3, 1), ("c", "cat ", 5, 2)])
    cat, dog = found.prompts
    assert (cat.text, cat.duplication_count, cat.example_ids) == ("cat", 5, ("a", "c"))
    assert (dog.text, dog.duplication_count, dog.example_ids) == ("dog", 3, ("b",))
    assert cat.prompt_id == prompt_id_of("cat")


def test_captions_of_one_normal_form_are_one_prompt_whose_spelling_no_order_changes():
    rows = [("a", "caf\xe9", 1, 0), ("b", "cafe\u0301", 1, 1)]
    assert select(rows).prompts[0].text == select(rows[::-1]).prompts[0].text == "cafe\u0301"


def test_prompts_that_share_an_image_group_are_one_group_also_through_a_third():
    rows = [
        ("a", "cat", 2, 0),
        ("b", "dog", 2, 0),
        ("c", "dog", 2, 1),
        ("d", "bird", 2, 1),
        ("e", "fish", 1, 2),
    ]
    groups = {prompt.text: prompt.group_id for prompt in select(rows).prompts}
    assert groups["cat"] == groups["dog"] == groups["bird"] != groups["fish"]
    smallest = min(prompt_id_of(text) for text in ("cat", "dog", "bird"))
    assert groups["cat"] == hashlib.sha256(smallest.encode()).hexdigest()[:12]


def test_the_most_duplicated_come_first_and_ties_by_hash():
    rows = [("a", "one", 1, 0), ("b", "two", 2, 1), ("c", "three", 2, 2), ("d", "four", 9, 3)]
    texts = [prompt.text for prompt in select(rows).prompts]
    assert texts == ["four", *sorted(["two", "three"], key=prompt_id_of), "one"]


def test_neither_the_order_nor_the_ids_of_the_examples_change_the_prompts():
    rows = [(f"id-{i}", f"caption {i % 40}", 1 + i % 3, i // 2) for i in range(60)]
    shuffled = random.Random(0).sample(rows, len(rows))
    renamed = [(f"other-{name}", *rest) for name, *rest in shuffled]
    facts = [
        [(p.prompt_id, p.group_id, p.duplication_count) for p in select(each, 20).prompts]
        for each in (rows, shuffled, renamed)
    ]
    assert facts[0] == facts[1] == facts[2]


def test_the_frame_of_all_captions_counts_their_groups():
    found = select([("a", "cat", 2, 0), ("b", "dog", 2, 0), ("c", "fish", 1, 1)])
    assert (
        found.frame.description
        == "every caption of the training set, 2 groups; 1 with near-copies, all audited"
    )
    assert found.frame.size == 2
    assert found.n_examples == 3
    assert found.duplicated_share == pytest.approx(2 / 3)


def test_the_frame_of_the_most_duplicated_is_only_those():
    rows = [("a", "cat", 3, 0), ("b", "dog", 3, 0), ("c", "fish", 2, 1), ("d", "bird", 1, 2)]
    found = select(rows, max_prompts=3)
    assert {prompt.text for prompt in found.prompts} == {"cat", "dog", "fish"}
    assert found.frame.size == 2
    assert found.frame.description == (
        "the 2 most duplicated of 3 caption groups of the training set "
        "(3 of 4 captions; 2 groups have near-copies)"
    )


def test_the_groups_of_a_cut_list_are_the_most_duplicated_ones():
    rows = [(f"id-{i}", f"caption {i}", 1 + (i * 7) % 13, i // 3) for i in range(90)]
    everything, cut = select(rows).prompts, select(rows, 25)
    largest = {}
    for prompt in everything:
        largest[prompt.group_id] = max(largest.get(prompt.group_id, 0), prompt.duplication_count)
    kept = {prompt.group_id for prompt in cut.prompts}
    assert len(kept) == cut.frame.size
    left_out = [count for group, count in largest.items() if group not in kept]
    assert min(largest[group] for group in kept) >= max(left_out)


def test_where_nothing_is_duplicated_a_random_sample_of_all_captions_is_kept():
    found = select(unique(50), max_prompts=10)
    assert len(found.prompts) == 10
    assert found.frame.size == 50
    assert found.frame.description == (
        "every caption of the training set, 50 groups; none with near-copies; "
        "a random sample of 10 of them, seed 0"
    )
    assert found.duplicated_share == 0


def test_what_is_duplicated_is_audited_whole_and_of_the_rest_a_sample():
    rows = [("a", "cat", 3, 0), ("b", "dog", 3, 0), ("c", "fish", 2, 1), *unique(50)]
    found = select(rows, max_prompts=13, seed=7)
    assert [(s.name, s.size, len(s.group_ids)) for s in found.strata] == [
        ("with near-copies", 2, 2),
        ("without near-copies", 50, 10),
    ]
    assert {group for s in found.strata for group in s.group_ids} == {p.group_id for p in found.prompts}
    assert found.frame.size == 52
    assert found.frame.description == (
        "every caption of the training set, 52 groups; 2 with near-copies, all audited; "
        "a random sample of 10 of the other 50, seed 7"
    )


def test_the_most_duplicated_are_a_census_of_their_frame():
    rows = [("a", "cat", 3, 0), ("b", "dog", 3, 0), ("c", "fish", 2, 1), ("d", "bird", 1, 2)]
    (stratum,) = select(rows, max_prompts=3).strata
    assert (stratum.name, stratum.size, len(stratum.group_ids)) == ("most duplicated", 2, 2)


def test_a_stratum_loses_groups_that_are_not_of_the_frame():
    stratum = FrameStratum(name="s", size=10, group_ids=("a", "b", "c"))
    assert stratum.without({"b", "z"}) == FrameStratum(name="s", size=9, group_ids=("a", "c"))


def test_where_nothing_is_duplicated_and_all_fit_there_is_no_sample():
    found = select(unique(5))
    assert found.frame.description == "every caption of the training set, 5 groups; none with near-copies"
    assert found.frame.size == 5


def test_the_sample_depends_on_the_seed_alone():
    kept = [
        {p.text for p in select(rows, 10, seed).prompts}
        for seed in (0, 1)
        for rows in (unique(50), unique(50)[::-1])
    ]
    assert kept[0] == kept[1] != kept[2] == kept[3]


def test_the_sample_is_uniform():
    times = [0] * 12
    for seed in range(600):
        for prompt in select(unique(12), 3, seed).prompts:
            times[int(prompt.text.split()[1])] += 1
    # Each of 12 is kept with probability 1/4: 150 of 600, standard deviation 10.6; five of them.
    assert all(abs(n - 150) < 53 for n in times)


def test_max_prompts_must_be_positive():
    with pytest.raises(
        ConfigurationError, match="`max_prompts` must be at least 1, got 0; an audit needs prompts"
    ):
        select(unique(2), max_prompts=0)
