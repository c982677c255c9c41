"""Who of several processes, on one machine or many, does a thing: claims that end when their owner does.

A claim is a file that only one can make (O_CREAT | O_EXCL), which also holds on shared network file systems,
where locks may not. Its owner renews it as long as it lives; one that is no longer renewed is stale, and
whoever finds it may take it away. How old it is is told by the file system's own clock: those of the machines
may differ.
"""

import hashlib
import json
import math
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LEASE_S = 120.0
# A claim is renewed so often within its lease: a file system may be slow, or a process held up.
RENEWALS = 4
# Between looks at a claim that another holds, from the first to the longest.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.02, 1.0
# Who waits longer says so.
SAID_AFTER_S = 5.0

# How many claims are not had yet, and the machine whose process holds the one that is waited for.
Waiting = Callable[[int, str], None]


class Claims:
    """Claims on names, of all processes that use the same folder.

    Args:
        folder: where they lie, made if need be.
        lease: seconds after which a claim that was not renewed is stale. A claim of a process of this
            machine that is gone is stale at once.
        waiting: is called once in a `hold` that has waited for seconds.
    """

    def __init__(
        self, folder: Path, lease: float = LEASE_S, *, waiting: Waiting = lambda _n, _host: None
    ) -> None:
        self._folder = folder
        self._lease = lease
        self._waiting = waiting

    @contextmanager
    def hold(self, names: Sequence[str]) -> Iterator[None]:
        """Hold the claims on all these names; wait for those that others hold.

        They are taken in one order by all, so that none waits for one who waits for it.

        Raises:
            OSError: the folder cannot be written.
        """
        with ExitStack() as held:
            renewed = held.enter_context(_renewing(self._lease / RENEWALS))
            paths = sorted({self._path(name) for name in names})
            says_at = time.monotonic() + SAID_AFTER_S
            for n_had, path in enumerate(paths):
                says_at = self._wait_for(path, len(paths) - n_had, says_at)
                held.callback(_release, path)
                renewed.append(path)
            yield

    @contextmanager
    def attempt(self, name: str) -> Iterator[bool]:
        """Give whether the claim on a name was had, for as long as the block lasts; False if another has it.

        Raises:
            OSError: the folder cannot be written.
        """
        path = self._path(name)
        if not self._take(path):
            yield False
            return
        try:
            with _renewing(self._lease / RENEWALS) as renewed:
                renewed.append(path)
                yield True
        finally:
            _release(path)

    def remove_stale(self) -> int:
        """Take away the claims whose owners are gone, and return how many others there are.

        Raises:
            OSError: the folder cannot be written.
        """
        paths = sorted(self._folder.glob("*.claim"))
        return len(paths) - sum(self._take_away_stale(path) for path in paths)

    def now(self) -> float:
        """Return the time by the file system's clock.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = self._folder / f".{secrets.token_hex(8)}.clock"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        # Any text may be a name, and not every text a file's.
        readable = re.sub(r"[^A-Za-z0-9-]+", "-", name)[:40]
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return self._folder / f"{readable}-{digest}.claim"

    def _wait_for(self, path: Path, n_left: int, says_at: float) -> float:
        """Wait for a claim; return when to say, if ever, that this takes long."""
        wait = FIRST_WAIT_S
        while not self._take(path):
            if time.monotonic() >= says_at:
                claim = _read(path)
                if claim is not None:
                    self._waiting(n_left, claim.machine)
                    says_at = math.inf
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)
        return says_at

    def _take(self, path: Path) -> bool:
        """Make the claim if nobody has it, or if who had it is gone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _make(path):
            return True
        return self._take_away_stale(path) and _make(path)

    def _take_away_stale(self, path: Path) -> bool:
        """Remove a claim whose owner is gone; False where it is not, or another is at it."""
        found = _read(path)
        if found is None:
            return True  # released meanwhile
        if not self._is_stale(found):
            return False
        # One at a time: a second would take away the claim that the first one makes.
        guard = path.with_suffix(".takeover")
        if not _make(guard):
            old = _read(guard)
            if old is not None and self._is_stale(old):
                guard.unlink(missing_ok=True)
            return False
        try:
            found = _read(path)
            if found is not None and self._is_stale(found):
                path.unlink(missing_ok=True)
        finally:
            guard.unlink(missing_ok=True)
        return True

    def _is_stale(self, claim: "_Claim") -> bool:
        return claim.owner_is_gone or self.now() - claim.renewed > self._lease


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a claim's file says: who made it, and when it was last renewed, by the file system's clock."""

    owner: dict[str, object]
    renewed: float

    @property
    def owner_is_gone(self) -> bool:
        """Whether its process was one of this machine, and has ended."""
        if self.owner.get("host") != _host():
            return False
        pid = self.owner.get("pid")
        return not isinstance(pid, int) or _started(pid) != self.owner.get("started")

    @property
    def machine(self) -> str:
        """The name of its owner's machine, or what a message calls it."""
        host = str(self.owner.get("host", ""))
        return "this machine" if host == _host() else host.partition(" ")[0] or "another machine"

    @property
    def is_mine(self) -> bool:
        return self.owner == _myself(os.getpid())


def process_is_gone(pid: int) -> bool:
    """Whether no process of this machine has this id."""
    return _started(pid) is None


@cache
def _host() -> str:
    """Identify this machine since it was started: containers may share a name, and restarts a process id."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    names = Path("/proc/self/ns/pid")
    with suppress(OSError):
        return f"{socket.gethostname()} {boot.read_text().strip()} {names.readlink()}"
    return socket.gethostname()


def _started(pid: int) -> str | None:
    """Return when a process of this machine began, in its own measure; None where there is none."""
    try:
        # After the name, which may hold anything, the state and as the twentieth when it began.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19] if fields[0] not in "ZX" else None
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "alive"  # no /proc here: a process that has got the number of a dead one is taken for it
    return None


@cache
def _myself(pid: int) -> dict[str, object]:
    """Describe this process; by its id, as a forked one is another."""
    return {"host": _host(), "pid": pid, "started": _started(pid), "token": secrets.token_hex(8)}


def _make(path: Path) -> bool:
    """Make a file that says that it is this process's; False where there is one."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(_myself(os.getpid()), file)
    except OSError:  # a full disk: a claim of nobody would be waited for until its lease is over
        path.unlink(missing_ok=True)
        raise
    return True


def _read(path: Path) -> _Claim | None:
    """Return a claim; None where there is none. One that is being written has no owner yet that is known."""
    try:
        text, renewed = path.read_text(), path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        owner = json.loads(text)
    except ValueError:
        owner = None
    return _Claim(owner=owner if isinstance(owner, dict) else {}, renewed=renewed)


def _release(path: Path) -> None:
    """Remove a claim of this process, if it still is its own."""
    claim = _read(path)
    if claim is not None and claim.is_mine:
        path.unlink(missing_ok=True)


@contextmanager
def _renewing(every: float) -> Iterator[list[Path]]:
    """Renew the claims that are put into the list, from a thread of its own, until the block ends."""
    paths: list[Path] = []
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(every):
            for path in tuple(paths):
                with suppress(OSError):
                    os.utime(path)

    thread = threading.Thread(target=renew, name="memex-claims", daemon=True)
    thread.start()
    try:
        yield paths
    finally:
        ended.set()
        thread.join()
