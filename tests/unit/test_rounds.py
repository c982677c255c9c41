"""Everyone's first look comes before anyone's second."""

from memex_audit.rounds import Rounds


def run(rounds, wanted, goes_on):
    """Draw until the prompt is decided; return what was drawn, look by look."""
    drawn = []
    while any(name == wanted for _, name in rounds.waiting()):
        number, batch = rounds.next_batch(wanted)
        drawn.append((number, "".join(batch)))
        for name in batch:
            rounds.settle(number, name, goes_on=number < goes_on.get(name, 0))
    return drawn


def test_a_prompt_that_stops_takes_its_own_batch_only():
    rounds = Rounds("abcdef", 3, lambda _: 2)
    assert run(rounds, "c", {}) == [(0, "cd")]
    assert run(rounds, "a", {}) == [(0, "ab")]
    assert [name for _, name in rounds.waiting()] == ["e", "f"]


def test_a_prompt_that_goes_on_waits_for_the_first_looks_of_all():
    rounds = Rounds("abcdef", 3, lambda number: 2 if number == 0 else 1)
    assert run(rounds, "a", {"a": 2, "d": 1}) == [
        (0, "ab"),
        (0, "cd"),
        (0, "ef"),
        (1, "a"),
        (1, "d"),
        (2, "a"),
    ]
    assert rounds.waiting() == []


def test_later_looks_are_drawn_together_too():
    rounds = Rounds("abcd", 2, lambda _: 3)
    assert run(rounds, "b", dict.fromkeys("abcd", 1)) == [(0, "abc"), (0, "d"), (1, "abc")]
    assert rounds.waiting() == [(1, "d")]


def test_no_prompt_is_two_looks_ahead_of_another_wherever_it_ends():
    rounds = Rounds("abcdefgh", 4, lambda _: 3)
    goes_on = dict.fromkeys("abcdefgh", 3)
    while rounds.waiting():
        number, batch = rounds.next_batch("e" if any(n == "e" for _, n in rounds.waiting()) else "h")
        for name in batch:
            rounds.settle(number, name, goes_on=number < goes_on[name])
        numbers = [number for number, _ in rounds.waiting()]
        assert not numbers or max(numbers) - min(numbers) <= 1
