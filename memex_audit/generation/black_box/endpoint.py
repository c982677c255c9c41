"""Read `https://HOST/v1?model=NAME&size=512x512`: which endpoint is asked, for what."""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from memex_audit.errors import ConfigurationError

PREFIX = "openai+"
# What may stand in the query: the request's own fields.
FIELDS = ("model", "n", "size", "seed", "response_format", "quality", "style")
FORMATS = ("b64_json", "url", "none")
# Of one request; the services that say so take 10.
MOST_AT_ONCE = 10
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An images API: its address, and what every request to it says.

    `n`: pictures of one request; `seeded`: whether requests name a seed; `response_format`: None where that
    field is not sent; `options`: size, quality and style, where they are given.
    """

    url: str
    host: str
    model: str
    n: int
    seeded: bool
    response_format: str | None
    options: Mapping[str, str]

    @property
    def images_url(self) -> str:
        """Where pictures are asked for."""
        return f"{self.url}/images/generations"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return is_local(self.host)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of address and model's name: what answers under them may change without a sign."""
        return hashlib.sha256(f"images API\0{self.url}\0{self.model}".encode()).hexdigest()


def name_of_endpoint(model: str) -> str | None:
    """Name the model of an endpoint for lists and files; None where a --memex-model names none.

    >>> name_of_endpoint("openai+https://api.example.org/v1?model=pictor-3"), name_of_endpoint("./model")
    ('pictor-3 at api.example.org', None)
    """
    if not model.startswith(PREFIX):
        return None
    parts = urlsplit(model.removeprefix(PREFIX))
    return f"{dict(parse_qsl(parts.query)).get('model', 'a model')} at {parts.netloc}"


def is_local(host: str) -> bool:
    """Whether a host is this machine, to which nothing has to be encrypted."""
    return host.rpartition(":")[0].strip("[]") in LOCAL or host.strip("[]") in LOCAL


def parse_endpoint(address: str, *, size: tuple[int, int] | None = None) -> Endpoint:
    """Read an endpoint from its address.

    Args:
        address: https://HOST/PATH?model=NAME, with more fields of the request in the query; http for this
            machine only.
        size: (height, width), where an option names it.

    Raises:
        ConfigurationError: it is written otherwise, or a field is unknown or has a value that cannot be used.
    """
    parts = urlsplit(address)
    _check_address(parts.scheme, parts.netloc, parts.hostname)
    fields = _read_fields(parts.query)
    if not fields.get("model"):
        raise ConfigurationError(
            f"an endpoint must name its model, got {address}; write openai+https://HOST/v1?model=NAME."
        )
    if size is not None:
        fields["size"] = f"{size[1]}x{size[0]}"
    seeded = _one_of("seed", fields.get("seed", "0"), ("0", "1")) == "1"
    answers = _one_of("response_format", fields.get("response_format", FORMATS[0]), FORMATS)
    return Endpoint(
        url=urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")),
        host=parts.netloc,
        model=fields["model"],
        # A request with a seed is for one picture.
        n=1 if seeded else _at_once(fields.get("n", "1")),
        seeded=seeded,
        response_format=None if answers == "none" else answers,
        options={name: fields[name] for name in ("size", "quality", "style") if name in fields},
    )


def _check_address(scheme: str, netloc: str, host: str | None) -> None:
    if scheme not in ("https", "http") or not host:
        raise ConfigurationError(
            "an endpoint must be openai+https://HOST/v1?model=NAME, got an address without https:// or host."
        )
    if "@" in netloc:
        raise ConfigurationError(
            "an endpoint must have no user or key in its address; the key is read from the environment "
            "variable that --memex-api-key-env names."
        )
    if scheme == "http" and not is_local(netloc):
        raise ConfigurationError(
            f"an endpoint must be asked over https, got http for {host}: prompts and key could be read on "
            "the way; only one on this machine (localhost) may be asked over http."
        )


def _read_fields(query: str) -> dict[str, str]:
    fields = dict(parse_qsl(query, keep_blank_values=True))
    for name in fields:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(FIELDS)}."
            raise ConfigurationError(f"an endpoint's query takes no field {name!r}; {hint}")
    return fields


def _one_of(name: str, value: str, names: tuple[str, ...]) -> str:
    if value not in names:
        raise ConfigurationError(
            f"an endpoint's {name} must be one of {', '.join(names)}, got {value!r}; mend the address."
        )
    return value


def _at_once(value: str) -> int:
    n = int(value) if value.isdecimal() else 0
    if not 1 <= n <= MOST_AT_ONCE:
        raise ConfigurationError(
            f"an endpoint's n, pictures of one request, must be in 1 to {MOST_AT_ONCE}, got {value!r}; mend "
            "the address."
        )
    return n
