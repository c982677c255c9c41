"""Ask an endpoint: at its pace, again where it failed for the moment, and with a key that stays with it.

What fails for the moment (429, 5xx, no connection, a slow or cut-off answer) is asked again after the time
that the endpoint names, or a random one of which the longest doubles each time (full jitter; Brooker 2015,
"Exponential Backoff And Jitter"). What would fail again ends the audit with one line; what was answered
before is kept.
"""

import email.utils
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from memex_audit.errors import GeneratorError
from memex_audit.generation.black_box.api_key import ApiKey
from memex_audit.generation.black_box.asked_pictures import AskedPictures
from memex_audit.generation.black_box.endpoint import Endpoint, is_local
from memex_audit.generation.black_box.sending import Answer, FailedForTheMoment, Sender, Unusable

ATTEMPTS = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
# An endpoint that names a longer wait is asked in another run.
LONGEST_NAMED_WAIT_S = 900.0
# Some models draw for minutes.
TIMEOUT_S = 300.0
# Of a picture, base64 or not.
MOST_BYTES = 32 * 2**20
MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
MOMENTARY = (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)
# Parts of codes by which services name what their filter refuses: OpenAI, Azure, and those that follow them.
FILTER_CODES = (
    "content_policy", "contentpolicy", "content_filter", "contentfilter", "moderation", "safety",
    "responsibleai",
)  # fmt: skip
NO_MORE_CREDIT = ("insufficient_quota", "billing_hard_limit_reached")
SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)
PLAIN_BYTES = ("", "application/octet-stream", "binary/octet-stream")


class Refused(Exception):  # noqa: N818 - what became of a request
    """A content filter refused the prompt."""


class Asking:
    """Sends requests to one endpoint, and fetches what it answers by address.

    Args:
        endpoint: that is asked.
        key: for it alone.
        asked: counts and spaces requests.
        timeout_s: of a whole answer.
        sleep: waits so many seconds.
        jitter: gives a random number of seconds from 0 to so many.
        now: seconds since the epoch, for a `Retry-After` that names a date.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: ApiKey,
        asked: AskedPictures,
        *,
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[float], float] = lambda most: random.uniform(0, most),  # noqa: S311 - no secret
        now: Callable[[], float] = time.time,
    ) -> None:
        self.asked = asked
        self._endpoint = endpoint
        self._key = key
        self._sender = Sender(key, timeout_s)
        self._sleep = sleep
        self._jitter = jitter
        self._now = now

    def ask(self, fields: Mapping[str, object], images: int) -> Any:
        """Send one request for so many pictures, and return the JSON of its answer.

        Raises:
            Refused: a content filter refused it.
            Unusable: what came is too large to be pictures.
            ImagesSpent: the cap does not cover it.
            GeneratorError: the endpoint does not answer, or not as it must.
        """
        tried = ""
        for attempt in range(ATTEMPTS):
            self.asked.count(images)
            self.asked.wait_for_turn()
            try:
                return self._ask_once(fields, images)
            except FailedForTheMoment as error:
                tried = str(error)
                if error.drew_nothing:
                    self.asked.take_back(images)
                if attempt + 1 < ATTEMPTS:
                    self._wait(attempt, error.named_wait_s)
        raise GeneratorError(
            f"the endpoint {self._endpoint.host} must answer, got after {ATTEMPTS} attempts: {tried}; run "
            "again later: what was answered before is kept."
        )

    def fetch(self, url: str) -> bytes:
        """Return a picture that the endpoint answered by its address, fetched without the key.

        Raises:
            Unusable: it cannot be had.
        """
        answer = self._fetch_patiently(url)
        for _ in range(MOST_REDIRECTS):
            if answer.status not in REDIRECTS:
                break
            url = urljoin(url, answer.headers.get("location", ""))
            answer = self._fetch_patiently(url)
        if answer.status != 200:
            raise Unusable(f"the address that was answered gives HTTP {answer.status}")
        if not answer.content_type.startswith("image/") and answer.content_type not in PLAIN_BYTES:
            raise Unusable(f"the address that was answered gives {answer.content_type}, no picture")
        return answer.body

    def _ask_once(self, fields: Mapping[str, object], images: int) -> Any:
        answer = self._sender.post(self._endpoint.images_url, fields, MOST_BYTES * images)
        if answer.status != 200:
            raise self._failure(answer)
        try:
            return json.loads(answer.body)
        except ValueError:
            kind = answer.content_type or "no content type"
            raise GeneratorError(
                f"the endpoint {self._endpoint.host} must answer with JSON, got {kind}; check the address: "
                "it is asked at /images/generations below it."
            ) from None

    def _failure(self, answer: Answer) -> Exception:
        """Return what an answer that is no success means."""
        status = answer.status
        codes, said = _error_of(answer.body)
        if 400 <= status < 500 and any(mark in code for code in codes for mark in FILTER_CODES):
            return Refused()
        said = self._key.scrubbed(said)
        if set(codes) & set(NO_MORE_CREDIT):
            return self._final(f"must have credit left, got HTTP {status}", said, "top up the account")
        if status in MOMENTARY:
            return self._momentary(answer)
        if status in REDIRECTS:
            target = urlsplit(answer.headers.get("location", "")).hostname or "another address"
            advice = "the key is for this host alone: name that address in --memex-model"
            return self._final(f"must answer itself, got a redirect to {target}", "", advice)
        if status in (401, 403):
            state = "the endpoint does not take its key" if self._key.is_set else "it is not set"
            advice = f"check the environment variable {self._key.name}: {state}"
            return self._final(f"must let us in, got HTTP {status}", said, advice)
        advice = "check address, model and size"
        if "response_format" in said:  # some models of OpenAI refuse the field, and give base64 without it
            advice = "add response_format=none to the address"
        return self._final(f"must take the request, got HTTP {status}", said, advice)

    def _momentary(self, answer: Answer) -> Exception:
        named = self._named_wait_s(answer.headers.get("retry-after"))
        if named is None or named <= LONGEST_NAMED_WAIT_S:
            drew_nothing = answer.status == 429
            return FailedForTheMoment(f"HTTP {answer.status}", named_wait_s=named, drew_nothing=drew_nothing)
        advice = "run again then: what was answered before is kept"
        minutes = f"{named / 60:,.0f} minutes"
        return self._final(f"must answer within the run, got HTTP {answer.status} for {minutes}", "", advice)

    def _final(self, what: str, said: str, advice: str) -> GeneratorError:
        told = f" ({said})" if said else ""
        return GeneratorError(f"the endpoint {self._endpoint.host} {what}{told}; {advice}.", foreign=said)

    def _named_wait_s(self, text: str | None) -> float | None:
        """Read a `Retry-After`: seconds, or a date."""
        if text is None:
            return None
        if SECONDS.fullmatch(text.strip()):  # whole ones by the standard; some send fractions
            return float(text)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - self._now())
        except (ValueError, TypeError):
            return None

    def _wait(self, attempt: int, named_wait_s: float | None) -> None:
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
        self._sleep(self._jitter(longest) if named_wait_s is None else named_wait_s)

    def _fetch_patiently(self, url: str) -> Answer:
        parts = urlsplit(url)
        here = self._endpoint.is_local and is_local(parts.netloc)
        if parts.scheme != "https" and not (parts.scheme == "http" and here):
            raise Unusable("the address that was answered is not https")
        tried = ""
        for attempt in range(ATTEMPTS):
            try:
                answer = self._sender.get(url, MOST_BYTES)
            except FailedForTheMoment as error:
                tried = str(error)
            else:
                if answer.status not in MOMENTARY:
                    return answer
                tried = f"HTTP {answer.status}"
            if attempt + 1 < ATTEMPTS:
                self._wait(attempt, None)
        raise Unusable(f"the address that was answered cannot be fetched: {tried}")


def _error_of(body: bytes) -> tuple[tuple[str, ...], str]:
    """Return the codes, in lower case, and the text of an answer that says what went wrong."""
    try:
        answer = json.loads(body)
    except ValueError:
        return (), ""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, str):
        return (), _one_line(error)
    if not isinstance(error, dict):
        return (), ""
    inner = error.get("innererror")
    found = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    codes = tuple(str(code).lower() for code in found if code)
    return codes, _one_line(error.get("message") or error.get("detail") or "")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
