"""The key of an endpoint, which shows itself nowhere."""

from collections.abc import Callable, Iterator

import httpx2

from memex_audit.errors import ConfigurationError


class ApiKey:
    """A key that goes into the header of a request to its own endpoint, and nowhere else.

    Args:
        value: of the variable; None where it is not set, and nothing is sent then.
        name: of the environment variable.

    Raises:
        ConfigurationError: it holds what no header can.
    """

    def __init__(self, value: str | None, *, name: str) -> None:
        secret = (value or "").strip()
        self.name = name
        self.is_set = bool(secret)
        # Behind a function: a traceback that shows local values, and any repr, shows none of it.
        self._reveal: Callable[[], str] = lambda: secret
        if not secret.isascii() or (secret and not secret.isprintable()):
            raise ConfigurationError(
                f"the environment variable {name} must hold a key of printable ASCII characters, got others; "
                "set it again."
            ) from None

    def __repr__(self) -> str:
        return f"ApiKey(name={self.name!r}, is_set={self.is_set})"

    def sign(self, request: httpx2.Request) -> None:
        """Put the key into a request's header."""
        if self.is_set:
            request.headers["Authorization"] = f"Bearer {self._reveal()}"

    def scrubbed(self, text: str) -> str:
        """Return a text of the endpoint's without the key, which some quote back."""
        return text.replace(self._reveal(), "(the key)") if self.is_set else text


class SignsWith(httpx2.Auth):
    """Signs a request while it is sent, so that no caller holds the header."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def auth_flow(self, request: httpx2.Request) -> Iterator[httpx2.Request]:  # type: ignore[override]
        """Sign the one request there is."""
        self._key.sign(request)
        yield request
