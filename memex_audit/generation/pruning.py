"""What a user names is removed from a store: pictures of a model or of settings, old ones, or pixels alone.

Whoever draws into a folder meanwhile goes on: packs that may still be written to are left, and the packs'
manifests go first, so that nobody looks for what is gone. What was measured or concluded (calibrations,
ledger, findings that were judged) stays.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memex_audit.claims import Claims
from memex_audit.generation.compacting import COMPACT, QUIET_S, Compaction, compact, resting, usage
from memex_audit.generation.identity import MODEL_FILE
from memex_audit.generation.older_units import DAMAGED, older_files
from memex_audit.generation.packs import Packs
from memex_audit.generation.store import CLAIMS
from memex_audit.generation.store_files import Pictures
from memex_audit.generation.unit import without_pixels

DAY_S = 24 * 3600.0
# Pictures of these models were paid for, or were drawn elsewhere: nothing draws them again.
NOT_DRAWN_AGAIN = ("openai+", "folder:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Which pictures are meant: those that all of this is true of."""

    model: str | None = None
    settings: str | None = None
    older_than_days: float | None = None

    @property
    def nothing(self) -> bool:
        """Whether everything would be meant."""
        return not self.model and not self.settings and self.older_than_days is None

    def among(self, found: Sequence[Pictures]) -> list[Pictures]:
        """Return those that are meant."""
        return [pictures for pictures in found if self._means(pictures)]

    def _means(self, pictures: Pictures) -> bool:
        if not pictures.model_key.startswith(self.model or ""):
            return False
        if not pictures.settings_digest.startswith(self.settings or ""):
            return False
        if self.older_than_days is None:
            return True
        return pictures.written is None or time.time() - pictures.written > self.older_than_days * DAY_S


def are_drawn_again(pictures: Pictures) -> bool:
    """Whether the model, as the user named it, draws a picture again where its pixels are gone."""
    return not pictures.model.startswith(NOT_DRAWN_AGAIN)


def remove_pictures(folder: Path, *, quiet: float = QUIET_S) -> str | None:
    """Remove the pictures of one model under one set of settings.

    Returns:
        None, or why some or all are left.

    Raises:
        OSError: they cannot be removed.
    """
    claims = Claims(folder / CLAIMS)
    with claims.attempt(COMPACT) as had:
        if not had:
            return "another process compacts them"
        if claims.remove_stale() > 1:
            return "a process draws for them"
        packs = Packs(folder)
        packs.refresh()
        removed = resting(packs, claims, quiet)
        packs.seal(removed)
        packs.remove(removed)
        if packs.names:
            return f"{len(packs.names):,} packs may still be written to; run again {quiet:g} s later"
        _remove_older(folder)
        (folder / MODEL_FILE).unlink(missing_ok=True)
    _remove_empty(folder)
    return None


def drop_pixels(folder: Path, *, quiet: float = QUIET_S) -> Compaction | None:
    """Reduce the pictures of a folder to their block sums; None where another process compacts them.

    Raises:
        OSError: they cannot be written.
    """
    return compact(folder, quiet=quiet, change=without_pixels)


def _remove_older(folder: Path) -> None:
    locks, damaged = folder.glob("[0-9a-f][0-9a-f]/*/.lock"), folder.glob(f"{DAMAGED}/*")
    for path in (*older_files(folder), *locks, *damaged):
        path.unlink(missing_ok=True)
    for place in (*folder.glob("[0-9a-f][0-9a-f]/*"), *folder.glob("[0-9a-f][0-9a-f]"), folder / DAMAGED):
        with suppress(OSError):
            place.rmdir()


def _remove_empty(folder: Path) -> None:
    """Remove the folder, and the model's where it has no other settings."""
    for place in (folder / CLAIMS, folder, folder.parent):
        with suppress(OSError):  # not empty: somebody began to draw
            place.rmdir()


def freed(before: int, folder: Path) -> int:
    """Return how many bytes less a folder takes now."""
    return before - (usage(folder).bytes if folder.is_dir() else 0)
