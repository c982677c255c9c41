"""Have a unit to oneself among all commands that use one store, or leave it to who has it."""

from collections.abc import Iterator
from contextlib import contextmanager

from memex_audit.claims import Claims


@contextmanager
def had_claim(claims: Claims, name: str, *, patient: bool) -> Iterator[bool]:
    """Give whether the claim is this process's; a patient one waits until it is."""
    if patient:
        with claims.hold([name]):
            yield True
        return
    with claims.attempt(name) as had:
        yield had
