"""Send one HTTP request and read its answer whole: within a time, within so many bytes, following nothing."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import httpx2

from memex_audit.generation.black_box.api_key import ApiKey, SignsWith

CONNECT_TIMEOUT_S = 10.0
# No compression: what is limited is what is sent.
PLAIN = {"Accept-Encoding": "identity"}


class Unusable(Exception):  # noqa: N818 - what became of a request
    """An answer that may have been paid for and is no picture; the text is the reason."""


class FailedForTheMoment(Exception):  # noqa: N818 - what became of a request
    """Sent again, a request may be answered.

    `named_wait_s`: what the endpoint asks to wait; `drew_nothing`: it refused before it began.
    """

    def __init__(self, said: str, *, named_wait_s: float | None = None, drew_nothing: bool = False) -> None:
        super().__init__(said)
        self.named_wait_s = named_wait_s
        self.drew_nothing = drew_nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its status, its head with names in lower case, its bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """What it says that it is, without parameters; empty where it says nothing."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()[:50]


class Sender:
    """Sends requests; only `post` signs them.

    Args:
        key: of the endpoint that is posted to.
        timeout_s: of a whole answer; one that drips is given up then, however often it shows life.
    """

    def __init__(self, key: ApiKey, timeout_s: float) -> None:
        self._key = key
        self._timeout_s = timeout_s
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            follow_redirects=False,
            # A connection that was kept while a picture was judged may be gone: each request has its own.
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    def post(self, url: str, fields: Mapping[str, object], most_bytes: int) -> Answer:
        """Send fields as JSON, with the key.

        Raises:
            FailedForTheMoment: no connection, or no whole answer in time.
            Unusable: the answer is larger than that.
        """
        with self._failing_for_the_moment():
            auth = SignsWith(self._key)
            opened = self._client.stream("POST", url, json=dict(fields), headers=PLAIN, auth=auth)
            return self._read(opened, most_bytes)

    def get(self, url: str, most_bytes: int) -> Answer:
        """Fetch an address, without the key.

        Raises:
            FailedForTheMoment: as `post`.
            Unusable: as `post`, or the address cannot be read.
        """
        with self._failing_for_the_moment():
            return self._read(self._client.stream("GET", url, headers=PLAIN), most_bytes)

    def _read(self, opened: AbstractContextManager[httpx2.Response], most_bytes: int) -> Answer:
        end = time.monotonic() + self._timeout_s
        with opened as response:
            body = bytearray()
            # As they come: gathered into pieces of one size, an answer that drips would never be looked at.
            for piece in response.iter_bytes():
                body += piece
                if len(body) > most_bytes:
                    raise Unusable(f"an answer of more than {most_bytes // 2**20} MiB")
                if time.monotonic() > end:
                    raise FailedForTheMoment(self._late)
            return Answer(response.status_code, dict(response.headers), bytes(body))

    @property
    def _late(self) -> str:
        return f"no whole answer in {self._timeout_s:.3g} s"

    @contextmanager
    def _failing_for_the_moment(self) -> Iterator[None]:
        """Turn the client's errors into ones without its own frames: these hold the headers."""
        try:
            yield
        except httpx2.TimeoutException:
            said = self._late
        except httpx2.TransportError as error:
            said = f"{type(error).__name__}: {self._key.scrubbed(str(error))[:200]}"
        except (httpx2.InvalidURL, httpx2.DecodingError) as error:
            raise Unusable(f"what was answered cannot be read: {type(error).__name__}") from None
        else:
            return
        raise FailedForTheMoment(said)
