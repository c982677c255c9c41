"""Whose pictures a folder of the store holds: the whole fingerprint, and what they were drawn with.

    units/<model key>/<settings digest>/model.json

The names of the folders are halves of digests, and a generator of a user's own may say of itself what it
likes: what stands here is compared before anything is read or added.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from memex_audit.errors import StoreError
from memex_audit.whole_file import write_whole

MODEL_FILE = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a folder of pictures is of.

    `model`: as the user named it; `settings`: all that changes a picture but weights and prompt, as it may be
    shown; `settings_sha256`: of the settings as they are; `names_prompt`: whether a prompt may be written
    down, of which a generator can draw a picture again whatever it is asked later.
    """

    fingerprint: str
    model: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    settings_sha256: str = ""
    names_prompt: bool = True

    def record(self, folder: Path, prompt: str | None = None) -> None:
        """Write it beside the first pictures, which are of this prompt.

        Raises:
            OSError: it cannot be written.
        """
        if read_identity(folder) is None:
            said = {
                "model": self.model, "fingerprint": self.fingerprint,
                "settings": dict(self.settings), "settings_sha256": self.settings_sha256,
                "first_prompt": prompt if self.names_prompt else None,
            }  # fmt: skip
            write_whole(folder / MODEL_FILE, (json.dumps(said, indent=1, sort_keys=True) + "\n").encode())

    def check(self, folder: Path) -> None:
        """Refuse a folder that holds pictures of another model, or with other settings.

        Raises:
            StoreError: it does.
        """
        found = read_identity(folder)
        if found is None:
            return
        if found.fingerprint != self.fingerprint:
            raise StoreError(
                f"the store {folder} must hold pictures of the model with the fingerprint "
                f"{self.fingerprint[:80]!r}, got those of {found.fingerprint[:80]!r}, which is named alike; "
                "give your generator a digest of its weights as its fingerprint, or name another store with "
                "--memex-store."
            )
        if found.settings_sha256 and self.settings_sha256 not in ("", found.settings_sha256):
            raise StoreError(
                f"the store {folder} must hold pictures drawn with the settings that it is named by, got "
                f"others (see {MODEL_FILE} there): it was renamed or copied by hand; name another store with "
                "--memex-store."
            )


def settings_sha256(settings: object) -> str:
    """Return SHA-256 (64 hex digits) of settings as canonical JSON."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_identity(folder: Path) -> Identity | None:
    """Return what a folder of pictures says that it is of; None where it does not."""
    try:
        said = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        return Identity(
            fingerprint=str(said["fingerprint"]),
            model=str(said["model"]),
            settings=dict(said["settings"]),
            settings_sha256=str(said["settings_sha256"]),
        )
    except (OSError, ValueError, KeyError, TypeError):  # none, or altered: the next writer writes it anew
        return None


def recorded_prompt(folder: Path) -> str | None:
    """Return the prompt of a folder's first pictures; None where it is not written down."""
    try:
        prompt = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))["first_prompt"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return prompt if isinstance(prompt, str) else None


def recorded_since(folder: Path) -> float | None:
    """Return when the first pictures of a folder came, by the file system's clock; None without any."""
    try:
        return (folder / MODEL_FILE).stat().st_mtime
    except OSError:
        return None
