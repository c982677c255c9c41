"""How many pictures were asked of an endpoint, and when it may be asked next: one file for all processes."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from memex_audit.errors import ImagesSpent, StoreError, StoreUnwritable
from memex_audit.whole_file import whole_file

# A turn further off than this is of a clock that was set back.
LONGEST_QUEUE_S = 3600.0


@dataclass(slots=True, kw_only=True)
class _State:
    images: int = 0
    next_turn: float = 0.0


class AskedPictures:
    """Counts what is asked of one endpoint against a cap, and spaces the requests.

    The count is kept in the store, so that it holds for all runs and all processes together.

    Args:
        path: of the file.
        most: pictures that may be asked in all; None for no end.
        requests_per_minute: None for as many as are answered.
        clock: seconds since the epoch: processes share them.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        most: int | None = None,
        requests_per_minute: float | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._most = most
        self._interval_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._clock = clock
        self._sleep = sleep

    @property
    def asked(self) -> int:
        """Pictures asked so far, in all runs."""
        with self._state() as state:
            return state.images

    @property
    def left(self) -> int | None:
        """Pictures that may still be asked; None where there is no end."""
        return None if self._most is None else max(0, self._most - self.asked)

    def count(self, images: int) -> None:
        """Count pictures that are about to be asked: what was asked for may have to be paid, answered or not.

        Raises:
            ImagesSpent: they are more than the cap leaves; nothing is counted.
            StoreError: the file cannot be used.
        """
        with self._state() as state:
            if self._most is not None and state.images + images > self._most:
                raise ImagesSpent(
                    f"--memex-max-images {self._most:,} is spent: {state.images:,} pictures were asked, in "
                    "all runs with this store; what is not decided goes on with a larger number."
                )
            state.images += images

    def take_back(self, images: int) -> None:
        """Take back what the endpoint refused before it drew anything."""
        with self._state() as state:
            state.images = max(0, state.images - images)

    def wait_for_turn(self) -> None:
        """Wait until the endpoint may be asked again; each process takes the next turn that is free."""
        if not self._interval_s:
            return
        with self._state() as state:
            now = self._clock()
            waits = state.next_turn - now
            turn = state.next_turn if 0 < waits < LONGEST_QUEUE_S else now
            state.next_turn = turn + self._interval_s
        if turn > now:
            self._sleep(turn - now)

    @contextmanager
    def _state(self) -> Iterator[_State]:
        """Read the file, and write it again if it was changed, under its lock."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock")):
                state = self._read()
                before = asdict(state)
                yield state
                if asdict(state) != before:
                    with whole_file(self._path) as partial:
                        partial.write_text(json.dumps(asdict(state)))
        except OSError as error:
            raise StoreUnwritable(
                f"the count of asked pictures {self._path} must be writable, got {error.strerror or error}; "
                "name another store with --memex-store."
            ) from error

    def _read(self) -> _State:
        if not self._path.exists():
            return _State()
        try:
            entries = json.loads(self._path.read_text())
            return _State(images=int(entries["images"]), next_turn=float(entries["next_turn"]))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the count of asked pictures {self._path} must be as it was written, got another text; "
                "delete it to count from 0 again."
            ) from error
