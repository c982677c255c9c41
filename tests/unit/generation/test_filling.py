"""Only what is missing is drawn, once, and what was drawn is kept."""

import multiprocessing
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memex_audit.batch_size import BatchSize
from memex_audit.errors import ConfigurationError, GeneratorError, ModelError
from memex_audit.generation.filling import PROMPTS_AT_ONCE, draw, fill
from memex_audit.generation.store import UnitStore
from memex_audit.records import Generation

PROMPTS = ["one", "two", "three"]


def summarize(pixels):
    return np.zeros((1, 3), np.uint16)


def open_store(root, **options):
    return UnitStore(root, fingerprint="f" * 64, digest="d" * 16, root_seed=0, summarize=summarize, **options)


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


def answer(request):
    pixels = np.random.default_rng(request.seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Generation(request=request, pixels=pixels)


class Counting:
    """Answers honestly, counts, and breaks off with `error` before batch number `stop`."""

    def __init__(self, stop=None, error=KeyboardInterrupt):
        self.requests, self.sizes, self._stop, self._error = [], [], stop, error

    def generate(self, requests):
        if len(self.sizes) == self._stop:
            raise self._error
        self.sizes.append(len(requests))
        self.requests += requests
        for request in requests:
            yield answer(request)


def never():
    raise AssertionError("no generator is needed")


def test_batches_run_across_prompts_and_progress_hears_them(store):
    generator, heard = Counting(), []
    fill(store, lambda: generator, PROMPTS, 3, batch_size=4, progress=heard.append)
    assert generator.sizes == heard == [4, 4, 1]
    assert generator.requests == [store.request(prompt, i) for prompt in PROMPTS for i in range(3)]
    for prompt in PROMPTS:
        assert [g.request for g in store.read(prompt, 3)] == [store.request(prompt, i) for i in range(3)]


def test_no_generator_is_loaded_when_nothing_is_missing(store):
    fill(store, Counting, PROMPTS, 3, batch_size=4)
    fill(store, never, PROMPTS, 3, batch_size=4)
    fill(store, never, PROMPTS, 2, batch_size=4)
    fill(store, never, [], 2, batch_size=4)


def test_a_longer_look_draws_only_the_rest(store):
    fill(store, Counting, ["one"], 3, batch_size=4)
    generator = Counting()
    fill(store, lambda: generator, ["one", "two"], 5, batch_size=100)
    assert generator.requests == [
        store.request(*key) for key in [("one", 3), ("one", 4), *(("two", i) for i in range(5))]
    ]


def test_a_hole_is_filled_and_what_surrounds_it_is_kept(store):
    for number in (0, 2):
        store.write("one", [number], [answer(store.request("one", number))])
    generator = Counting()
    fill(store, lambda: generator, ["one"], 5, batch_size=8)
    assert generator.requests == [store.request("one", i) for i in (1, 3, 4)]
    assert [g.request for g in store.read("one", 5)] == [store.request("one", i) for i in range(5)]


def test_a_prompt_named_twice_is_drawn_once(store):
    generator = Counting()
    fill(store, lambda: generator, ["one", "two", "one"], 2, batch_size=8)
    assert len(generator.requests) == 4


@pytest.mark.parametrize("batch_size", [2, 3, 4, 5])
def test_an_interruption_keeps_every_finished_batch(store, batch_size):
    interrupted = Counting(stop=2)
    with pytest.raises(KeyboardInterrupt):
        fill(store, lambda: interrupted, PROMPTS, 4, batch_size=batch_size)
    assert len(interrupted.requests) == 2 * batch_size
    again = Counting()
    fill(store, lambda: again, PROMPTS, 4, batch_size=batch_size)
    everything = [store.request(prompt, i) for prompt in PROMPTS for i in range(4)]
    assert interrupted.requests + again.requests == everything
    assert [g.request for prompt in PROMPTS for g in store.read(prompt, 4)] == everything


def test_a_long_look_broken_off_loses_at_most_one_batch(store):
    with pytest.raises(
        ModelError,
        match=r"the generator Counting must draw what it is asked for, got OSError: no room after 0 of 8",
    ) as raised:
        fill(store, lambda: Counting(stop=9, error=OSError("no room")), ["one"], 500, batch_size=8)
    assert isinstance(raised.value.__cause__, OSError)
    assert store.missing("one", 500) == list(range(72, 500))


def test_what_a_generator_drew_of_a_batch_before_it_broke_off_is_kept(store):
    class Breaking:
        def generate(self, requests):
            for request in requests[:5]:
                yield answer(request)
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with")

    with pytest.raises(
        ModelError, match=r"got RuntimeError: CUDA error: .* failure after 5 of 8 pictures of a"
    ):
        fill(store, Breaking, ["one", "two", "three"], 4, batch_size=8)
    assert [store.missing(prompt, 4) for prompt in PROMPTS] == [[], [1, 2, 3], [0, 1, 2, 3]]


class Roomy:
    """Answers `held` requests of a batch and then has no memory left; `sizes` of the batches it was given."""

    def __init__(self, held, error):
        self.sizes, self._held, self._error = [], held, error

    def generate(self, requests):
        self.sizes.append(len(requests))
        for number, request in enumerate(requests):
            if number == self._held:
                raise self._error
            yield answer(request)


NO_MEMORY = [MemoryError(), RuntimeError("CUDA out of memory"), RuntimeError("MPS backend out of memory")]


@pytest.mark.parametrize("error", NO_MEMORY, ids=["MemoryError", "cuda", "mps"])
def test_out_of_memory_halves_the_batch_and_changes_no_picture(store, tmp_path, error):
    notes, heard, generator = [], [], Roomy(3, error)
    size = BatchSize(16, notes.append)
    fill(store, lambda: generator, PROMPTS, 6, batch_size=size, progress=heard.append)
    # 3 of 16, 3 of 8, 3 of 4, and then batches of 2; what was answered before is not asked for again.
    assert generator.sizes == [16, 8, 4, *[2] * 4, 1]
    assert sum(heard) == 18
    assert len(notes) == 1
    assert "did not hold 16 pictures at once: from then on 2" in notes[0]
    plain = open_store(tmp_path / "plain")
    fill(plain, Counting, PROMPTS, 6, batch_size=16)
    for prompt in PROMPTS:
        drawn, expected = store.read(prompt, 6), plain.read(prompt, 6)
        assert [g.request for g in drawn] == [g.request for g in expected]
        assert all((a.pixels == b.pixels).all() for a, b in zip(drawn, expected, strict=True))


def test_the_smaller_batch_is_kept_for_the_rest_of_a_run(store):
    generator, size = Roomy(4, MemoryError()), BatchSize(8)
    fill(store, lambda: generator, ["one"], 8, batch_size=size)
    fill(store, lambda: generator, ["two"], 8, batch_size=size)
    assert generator.sizes == [8, 4, 4, 4]


def test_one_picture_that_does_not_fit_ends_it_and_keeps_what_was_drawn(store):
    class Full(Roomy):
        def generate(self, requests):
            if len(self.sizes) == 2:
                raise self._error
            yield from super().generate(requests)

    full = Full(9, MemoryError("no"))
    with pytest.raises(ModelError, match=r"must have memory for one picture at a time, got MemoryError: no"):
        fill(store, lambda: full, ["one"], 10, batch_size=4)
    assert store.missing("one", 10) == [8, 9]


def test_an_error_of_this_package_stays_what_it_is(store):
    error = ConfigurationError("`size` must be a multiple of 8")
    with pytest.raises(ConfigurationError) as raised:
        fill(store, lambda: Counting(stop=0, error=error), ["one"], 4, batch_size=8)
    assert raised.value is error


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_damaged_unit_is_drawn_anew_and_nothing_else_is(tmp_path, keep):
    notes = []
    store = open_store(tmp_path / "store", note=notes.append)
    fill(store, Counting, PROMPTS, 2, batch_size=4)
    fill(store, Counting, PROMPTS, 4, batch_size=4)
    whole = {prompt: store.read(prompt, 4) for prompt in PROMPTS}
    (place, _) = store._places("two")
    pack = tmp_path / "store" / "units" / ("f" * 32) / ("d" * 16) / f"{place.pack}.pack"
    whole_pack = pack.read_bytes()
    end = place.offset + place.size
    blanked = bytes(whole_pack[place.offset : end][:keep]).ljust(place.size, b"\xff")
    pack.write_bytes(whole_pack[: place.offset] + blanked + whole_pack[end:])
    generator = Counting()
    drawn = list(draw(store, lambda: generator, PROMPTS, 4, batch_size=4))
    assert generator.requests == [store.request("two", i) for i in (0, 1)]
    for prompt, pictures in zip(PROMPTS, drawn, strict=True):
        assert [g.request for g in pictures] == [g.request for g in whole[prompt]]
        for one, other in zip(pictures, whole[prompt], strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)
    assert len(notes) == 1


def test_more_prompts_than_files_may_be_open_are_filled(store):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    prompts = [f"prompt {i}" for i in range(2 * PROMPTS_AT_ONCE + 3)]
    n_open = len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + PROMPTS_AT_ONCE + 20, hard))
    try:
        fill(store, Counting, prompts, 1, batch_size=10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [store.missing(prompt, 1) for prompt in prompts] == [[]] * len(prompts)


class Wrong:
    def __init__(self, spoil):
        self._spoil = spoil

    def generate(self, requests):
        return iter(self._spoil([answer(request) for request in requests]))


@pytest.mark.parametrize(
    ("spoil", "n"),
    [(lambda a: a[:3], 3), (lambda a: [*a, a[0]], 5), (lambda a: [], 0)],
    ids=["too few", "too many", "none"],
)
def test_a_generator_that_does_not_answer_each_request_is_refused(store, spoil, n):
    with pytest.raises(
        GeneratorError, match=rf"Wrong must answer every request in order, got {n} answers to 4 requests"
    ):
        fill(store, lambda: Wrong(spoil), ["one", "two"], 2, batch_size=4)
    assert store.missing("one", 2) == [0, 1]


def test_answers_in_another_order_are_refused(store):
    with pytest.raises(GeneratorError, match=r"got another request back for request 1 of 4; yield each"):
        fill(store, lambda: Wrong(lambda a: a[::-1]), ["one", "two"], 2, batch_size=4)
    assert store.missing("one", 2) == [0, 1]


@pytest.mark.parametrize(("given", "got"), [((None,), "NoneType"), ((np.zeros((8, 8, 3)),), "ndarray")])
def test_what_is_no_generation_is_refused(store, given, got):
    with pytest.raises(GeneratorError, match=rf"Wrong must yield Generations, got {got} for request 1 of 1"):
        fill(store, lambda: Wrong(lambda _: given), ["one"], 1, batch_size=4)


def test_a_generator_that_gives_nothing_to_iterate_over_is_named(store):
    class Silent:
        def generate(self, requests):
            return None

    with pytest.raises(
        ModelError, match=r"Silent must draw .*, got TypeError: 'NoneType' object is not iter"
    ):
        fill(store, Silent, ["one"], 1, batch_size=4)


WRONG_PIXELS = {
    "grey": (lambda p: p[..., 0], r"uint8 of shape \(8, 8\)"),
    "with alpha": (lambda p: np.dstack([p, p[..., :1]]), r"uint8 of shape \(8, 8, 4\)"),
    "channels first": (lambda p: p.transpose(2, 0, 1), r"uint8 of shape \(3, 8, 8\)"),
    "floats": (lambda p: p / 255, r"float64 of shape \(8, 8, 3\)"),
    "large integers": (lambda p: p.astype(np.int64), r"int64 of shape \(8, 8, 3\)"),
    "too small": (lambda p: p[:3], r"uint8 of shape \(3, 8, 3\)"),
    "nothing": (lambda p: p[:0], r"uint8 of shape \(0, 8, 3\)"),
    "a list": (lambda p: p.tolist(), "a list"),
    "an image": (Image.fromarray, "a Image"),
}


@pytest.mark.parametrize(("spoil", "got"), WRONG_PIXELS.values(), ids=WRONG_PIXELS)
def test_wrongly_shaped_pixels_are_refused_and_the_pictures_before_them_kept(store, spoil, got):
    def spoil_the_third(answers):
        return [replace(a, pixels=spoil(a.pixels)) if i == 2 else a for i, a in enumerate(answers)]

    with pytest.raises(
        GeneratorError, match=rf"the generator Wrong must give pixels as a uint8 array of .*, got {got}; conv"
    ):
        fill(store, lambda: Wrong(spoil_the_third), ["one", "two"], 2, batch_size=4)
    assert (store.missing("one", 2), store.missing("two", 2)) == ([], [0, 1])


def test_a_blank_picture_of_any_generator_is_kept_as_set_aside(store):
    fill(
        store, lambda: Wrong(lambda a: [replace(x, pixels=x.pixels * 0) for x in a]), ["one"], 2, batch_size=4
    )
    assert [(g.pixels, g.reason) for g in store.read("one", 2)] == [(None, "blank")] * 2


def test_a_picture_without_pixels_and_reason_is_given_one(store):
    fill(store, lambda: Wrong(lambda a: [replace(x, pixels=None) for x in a]), ["one"], 1, batch_size=4)
    assert [g.reason for g in store.read("one", 1)] == ["no pixels"]


class Slow:
    """Logs every request to a file; slow enough for another process to come in between."""

    def __init__(self, log):
        self._log = log

    def generate(self, requests):
        for request in requests:
            with self._log.open("a") as file:
                file.write(f"{request.prompt} {request.seed}\n")
            time.sleep(0.02)
            yield answer(request)


def fill_slowly(root, log, barrier, prompts):
    store = open_store(root)
    barrier.wait(timeout=20)
    fill(store, lambda: Slow(log), prompts, 4, batch_size=3)


@pytest.mark.parametrize("others", [PROMPTS, ["three", "four", "two"], ["two"]], ids=["same", "some", "one"])
def test_two_processes_filling_one_store_at_once_draw_each_picture_once(tmp_path, others):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    arguments = (tmp_path / "store", tmp_path / "log", barrier)
    workers = [context.Process(target=fill_slowly, args=(*arguments, p)) for p in (PROMPTS, others)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=20)
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = open_store(tmp_path / "store")
    prompts = dict.fromkeys([*PROMPTS, *others])
    expected = [store.request(prompt, i) for prompt in prompts for i in range(4)]
    drawn = (tmp_path / "log").read_text().splitlines()
    assert sorted(drawn) == sorted(f"{request.prompt} {request.seed}" for request in expected)
    assert [g.request for prompt in prompts for g in store.read(prompt, 4)] == expected
