"""A real server that misbehaves: every answer is a picture, a reason, or one line."""

import base64
import email.utils

import numpy as np
import pytest
from images_api_server import (
    KEY,
    cut_off,
    drip,
    fail,
    give,
    image_bomb,
    noise,
    page,
    png,
    stall,
)

from memex_audit.errors import ConfigurationError, GeneratorError, ImagesSpent, StoreError
from memex_audit.generation.black_box.api_key import ApiKey
from memex_audit.generation.black_box.asked_pictures import AskedPictures
from memex_audit.records import REFUSED, GenerationRequest


def reasons(answers):
    return [answer.reason for answer in answers]


def test_every_request_is_answered_by_a_picture_of_its_own(client, server):
    answers = client.ask(3)
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer.pixels, noise(number))
    assert (
        server.asked
        == [{"model": "pictor", "prompt": "a lighthouse", "n": 1, "response_format": "b64_json"}] * 3
    )


def test_pictures_of_one_prompt_are_asked_together_up_to_n(client, server):
    requests = [GenerationRequest(prompt=prompt, seed=seed) for prompt in "ab" for seed in range(3)]
    answers = list(client.api("&n=2").generate(requests))
    assert [answer.request for answer in answers] == requests
    assert [(fields["prompt"], fields["n"]) for fields in server.asked] == [
        ("a", 2), ("a", 1), ("b", 2), ("b", 1),
    ]  # fmt: skip


def test_size_quality_and_seed_are_sent_where_they_are_asked_for(client, server):
    client.ask(1, "&size=64x32&quality=hd&seed=1&response_format=none")
    (fields,) = server.asked
    assert fields == {
        "model": "pictor", "prompt": "a lighthouse", "n": 1, "size": "64x32", "quality": "hd", "seed": 0,
    }  # fmt: skip
    assert client.api("&seed=1").seeded
    assert not client.api().seeded


@pytest.mark.parametrize(
    "behaviour", [fail(429), fail(500), fail(503), cut_off], ids=["429", "500", "503", "cut off"]
)
def test_what_fails_for_the_moment_is_asked_again_after_a_wait_that_doubles(client, server, behaviour):
    server.script = [behaviour] * 3
    (answer,) = client.ask()
    assert answer.pixels is not None
    assert client.waits == [1, 2, 4]


def test_an_endpoint_that_never_answers_is_one_line(client, server):
    server.usual = fail(502)
    with pytest.raises(GeneratorError, match=r"must answer, got after 6 attempts: HTTP 502; run again later"):
        client.ask()
    assert client.waits == [1, 2, 4, 8, 16]
    assert len(server.asked) == 6


def test_a_wait_that_the_endpoint_names_is_kept_to_the_second(client, server):
    later = email.utils.formatdate(client.now + 40, usegmt=True)
    past = email.utils.formatdate(client.now - 40, usegmt=True)
    named = ("7", "1.5", later, past)
    server.script = [fail(429, Retry_After=text) for text in named]
    client.ask()
    assert client.waits == [7, 1.5, 40, 0]


def test_a_wait_that_cannot_be_read_is_none(client, server):
    server.script = [fail(429, Retry_After="soon")]
    client.ask()
    assert client.waits == [1]


def test_a_wait_longer_than_a_run_ends_it_at_once(client, server):
    server.script = [fail(429, Retry_After="7200")]
    with pytest.raises(GeneratorError, match=r"got HTTP 429 for 120 minutes; run again then"):
        client.ask()
    assert not client.waits


@pytest.mark.parametrize("behaviour", [stall, drip])
def test_an_answer_that_does_not_come_in_time_is_asked_again(client, server, behaviour):
    server.script = [behaviour]
    (answer,) = client.ask(timeout_s=0.15)
    assert answer.pixels is not None
    assert client.waits == [1]


def test_no_server_at_all_is_one_line(client, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(GeneratorError, match=r"must answer, got after 6 attempts: ConnectError: "):
        client.ask()


def test_a_page_instead_of_json_ends_the_audit(client, server):
    server.script = [page]
    with pytest.raises(GeneratorError, match=r"must answer with JSON, got text/html; check the address"):
        client.ask()


@pytest.mark.parametrize("body", [b"[]", b'{"data": "x"}', b'{"data": ["x"]}', b"{}"])
def test_json_that_is_no_list_of_pictures_ends_the_audit(client, server, body):
    server.script = [lambda handler, _: handler.send(200, body)]
    with pytest.raises(GeneratorError, match="must answer with a list of pictures under `data`"):
        client.ask()


def test_too_few_pictures_leave_the_others_without_and_too_many_change_nothing(client, server):
    server.script = [give(png(noise(0))), give(*(png(noise(n)) for n in range(3)))]
    few = "the endpoint answered 1 of 2 pictures"
    assert reasons(client.ask(2, "&n=2")) == [None, few]
    assert reasons(client.ask(2, "&n=2")) == [None, None]


NO_PICTURES = {
    "an image bomb": (image_bomb(), "too large: 400,000,000 pixels, over the limit of 64,000,000"),
    "no image format": (b"<html>", "no known image format"),
    "broken base64": ({"b64_json": "abcde"}, "the answer's base64 is broken"),
    "nothing": ({}, "the answer has no picture"),
    "a file's address": ({"url": "file:///etc/passwd"}, "the address that was answered is not https"),
    "an address elsewhere without https": (
        {"url": "http://example.org/a.png"},
        "the address that was answered is not https",
    ),
}


@pytest.mark.parametrize(("item", "reason"), NO_PICTURES.values(), ids=NO_PICTURES)
def test_an_answer_that_is_no_picture_is_set_aside_with_its_reason(client, server, item, reason):
    server.script = [give(item)]
    answer, after = client.ask(2)
    assert answer.pixels is None
    assert answer.reason.startswith(reason)
    assert after.pixels is not None


REFUSALS = {
    "by code": fail(400, {"code": "content_policy_violation", "message": "no"}),
    "by moderation": fail(400, {"code": "moderation_blocked", "type": "image_generation_user_error"}),
    "by Azure": fail(400, {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
    "in an item": give({"b64_json": "", "filtered": True}),
    "by its finish": give({"finish_reason": "CONTENT_FILTERED"}),
}


@pytest.mark.parametrize("behaviour", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_told_from_a_broken_picture(client, server, behaviour):
    server.script = [behaviour]
    assert reasons(client.ask(2)) == [REFUSED, None]
    assert not client.waits


FINAL = {
    "a wrong key": (401, {"message": "bad key"}, "got HTTP 401 (bad key); check the environment variable"),
    "no access": (403, "closed", "must let us in, got HTTP 403 (closed)"),
    "no such model": (404, {"message": "no model"}, "got HTTP 404 (no model); check address"),
    "a wrong size": (400, {"code": "invalid_value", "message": "size"}, "got HTTP 400 (size); check address"),
    "a refused field": (
        400,
        {"code": "unknown_parameter", "message": "Unknown parameter: 'response_format'."},
        "; add response_format=none to the address.",
    ),
    "no credit": (429, {"code": "insufficient_quota", "message": "pay"}, "got HTTP 429 (pay); top up"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "error", "said"), FINAL.values(), ids=FINAL)
def test_what_would_fail_again_ends_the_audit_with_one_line(client, server, status, error, said):
    server.script = [fail(status, error)]
    with pytest.raises(GeneratorError) as raised:
        client.ask()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not client.waits


# -- pictures by address


def test_a_picture_by_its_address_is_fetched_without_the_key(client, server):
    server.script = [give({"url": f"{server.address}/pictures/1.png"})]
    (answer,) = client.ask()
    np.testing.assert_array_equal(answer.pixels, noise(0))
    (posted, with_key), (fetched, without) = server.heads
    assert (posted, fetched) == ("/v1/images/generations", "/pictures/1.png")
    assert with_key["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in without


THE_ADDRESS = "the address that was answered"
ADDRESSES = {
    "gone": (lambda h: h.send(404, b""), f"{THE_ADDRESS} gives HTTP 404"),
    "a page": (lambda h: h.send(200, b"<html>", "text/html"), f"{THE_ADDRESS} gives text/html, no picture"),
    "a circle": (lambda h: h.send(302, b"", Location="/again"), f"{THE_ADDRESS} gives HTTP 302"),
    "out of https": (lambda h: h.send(302, b"", Location="ftp://x/y"), f"{THE_ADDRESS} is not https"),
    "too much": (lambda h: h.send(200, bytes(33 * 2**20), "image/png"), "an answer of more than 32 MiB"),
    "down": (lambda h: h.send(503, b""), f"{THE_ADDRESS} cannot be fetched: HTTP 503"),
}  # fmt: skip


@pytest.mark.parametrize(("fetched", "reason"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_without_a_picture_is_set_aside_with_its_reason(client, server, fetched, reason):
    server.script = [give({"url": f"{server.address}/1.png"})]
    server.fetched = fetched
    assert reasons(client.ask()) == [reason]


def test_a_redirect_to_another_host_is_not_followed_and_carries_no_key(client, server):
    other = type(server)()
    server.script = [fail(307, Location=f"{other.address}/v1/images/generations")]
    try:
        with pytest.raises(
            GeneratorError, match=r"must answer itself, got a redirect to 127\.0\.0\.1; the key"
        ):
            client.ask()
        assert not other.heads
    finally:
        other.close()


# -- the key


def test_without_a_key_none_is_sent(client, server):
    client.ask(key=None)
    assert "Authorization" not in server.heads[0][1]


def test_a_key_shows_itself_in_no_text(client, server):
    server.script = [fail(401, {"message": f"Incorrect API key provided: {KEY}"})]
    with pytest.raises(GeneratorError) as raised:
        client.ask()
    api = client.api()
    shown = [str(raised.value), repr(raised.value.__cause__), repr(vars(api._asking)), repr(api.settings)]
    shown += [repr(ApiKey(KEY, name="X")), api.fingerprint, repr(api._asking._sender.__dict__)]
    assert not any(KEY in text for text in shown)
    assert "(the key)" in shown[0]


@pytest.mark.parametrize("key", ["späße", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key):
    with pytest.raises(ConfigurationError, match="variable MY_KEY must hold a key of printable") as raised:
        ApiKey(key, name="MY_KEY")
    assert key not in str(raised.value)


# -- what is paid


def test_a_cap_counts_every_picture_that_is_asked_for_in_all_runs(client, server):
    server.script = [fail(500)]
    assert reasons(client.ask(2, most=4)) == [None, None]  # three were asked for
    assert client.api(most=4).pictures_left == 1
    with pytest.raises(ImagesSpent, match="--memex-max-images 4 is spent: 4 pictures were asked"):
        client.ask(2, most=4)
    assert len(server.asked) == 4


def test_a_429_draws_nothing_and_does_not_count(client, server):
    server.script = [fail(429)] * 3
    client.ask(most=1)
    assert client.api(most=1).pictures_left == 0


def test_requests_take_turns_across_processes(tmp_path):
    now, waits = [1000.0], []
    first, second = (
        AskedPictures(
            tmp_path / "asked.json", requests_per_minute=30, clock=lambda: now[0], sleep=waits.append
        )
        for _ in range(2)
    )
    for asked in (first, second, first):
        asked.wait_for_turn()
    assert waits == [2, 4]
    now[0] = 1010
    second.wait_for_turn()
    assert waits == [2, 4]


def test_a_clock_that_was_set_back_stops_nothing(tmp_path):
    (tmp_path / "asked.json").write_text('{"images": 5, "next_turn": 9e9}')
    waits = []
    asked = AskedPictures(
        tmp_path / "asked.json", requests_per_minute=60, clock=lambda: 1.0, sleep=waits.append
    )
    asked.wait_for_turn()
    assert (asked.asked, waits) == (5, [])


def test_a_count_that_cannot_be_read_is_no_zero(tmp_path):
    (tmp_path / "asked.json").write_text('{"images": ')
    with pytest.raises(StoreError, match="must be as it was written, got another text; delete it"):
        AskedPictures(tmp_path / "asked.json", most=10).count(1)


def test_that_an_endpoint_rewrites_prompts_is_said_in_one_text(client, server):
    item = {"b64_json": base64.b64encode(png(noise(1))).decode(), "revised_prompt": "another"}
    server.usual = give(item)
    client.ask(2)
    said = {note for note in client.notes if "rewrites prompts" in note}
    assert len(said) == 1
