"""What was planted: the sealed manifest of a set of canaries, checked whenever it is read."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memex_audit.errors import CanaryError
from memex_audit.records import PromptSet
from memex_audit.training_set.prompts import prompt_id_of

VERSION = 1
MANIFEST = "canaries.json"
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One captioned picture: `repetitions` is how often it was planted, 0 for a reference, which never is.

    `picture`: posix path below the manifest's folder; `sha256`: of that file.
    """

    canary_id: str
    caption: str
    repetitions: int
    picture: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The canaries of one making, planted ones first, and the `folder` that their pictures are in.

    `seal`: SHA-256 over everything else that the file says. It was printed when the canaries were made.
    """

    folder: Path
    seed: int
    size: tuple[int, int]
    canaries: tuple[Canary, ...]
    seal: str

    @property
    def planted(self) -> tuple[Canary, ...]:
        """The canaries that stand in the training set."""
        return tuple(canary for canary in self.canaries if canary.repetitions)

    @property
    def references(self) -> tuple[Canary, ...]:
        """The canaries that no model has seen."""
        return tuple(canary for canary in self.canaries if not canary.repetitions)

    def leave_out(self, prompts: PromptSet) -> tuple[PromptSet, int]:
        """Return prompts without the captions of canaries, and how many those were.

        The frame loses their groups: they stand in the training set because the owner put them there.

        Raises:
            CanaryError: nothing is left.
        """
        own = {prompt_id_of(canary.caption) for canary in self.canaries}
        kept = tuple(prompt for prompt in prompts.prompts if prompt.prompt_id not in own)
        if prompts.prompts and not kept:
            raise CanaryError(
                "the audit set must hold captions beside those of the canaries, got canaries alone; give the "
                "training set that they were planted into (--memex-training-set), or prompts of it."
            )
        left = {prompt.group_id for prompt in kept}
        groups = {prompt.group_id for prompt in prompts.prompts} - left
        size = prompts.frame.size
        frame = replace(prompts.frame, size=None if size is None else size - len(groups))
        strata = tuple(rest for stratum in prompts.strata if (rest := stratum.without(groups)).size)
        return replace(prompts, prompts=kept, frame=frame, strata=strata), len(prompts.prompts) - len(kept)

    def read_picture(self, canary: Canary) -> bytes:
        """Return the file of a canary's picture.

        Raises:
            CanaryError: it is missing, or is not the file that was made.
        """
        path = self.folder / canary.picture
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CanaryError(
                f"each picture of the canaries must be beside their manifest, got {path} "
                f"({error.strerror or error}); keep the folder that `memex canary make` wrote as it is."
            ) from error
        if hashlib.sha256(data).hexdigest() != canary.sha256:
            raise CanaryError(
                f"{path} must be the picture that was made, got another file (its SHA-256 differs); "
                "take it from where the canaries were made."
            )
        return data


def seal_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 over a manifest's content without its seal, written in one canonical way."""
    plain = {name: value for name, value in content.items() if name != "seal"}
    text = json.dumps(plain, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_bytes(*, seed: int, size: tuple[int, int], canaries: tuple[Canary, ...]) -> bytes:
    """Return the file of a manifest, sealed."""
    content: dict[str, Any] = {
        "version": VERSION,
        "seed": seed,
        "size": list(size),
        "canaries": [
            {
                "id": canary.canary_id,
                "caption": canary.caption,
                "repetitions": canary.repetitions,
                "picture": canary.picture,
                "sha256": canary.sha256,
            }
            for canary in canaries
        ],
    }
    return (json.dumps({**content, "seal": seal_of(content)}, indent=2) + "\n").encode()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and check its seal; pictures are checked when they are read.

    Raises:
        CanaryError: it cannot be read, is no manifest, is of another version, or is not as it was made.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CanaryError(
            f"--memex-canaries must be a {MANIFEST} of `memex canary make`, got {path} "
            f"({error.strerror or error}); check the path."
        ) from error
    except ValueError as error:
        raise CanaryError(
            f"{path} must be a {MANIFEST} of `memex canary make`, got no JSON: {error}."
        ) from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise CanaryError(
            f"{path} must be a {MANIFEST} of version {VERSION}, got version={version!r}; read it with the "
            "memex-audit that made it."
        )
    if content.get("seal") != seal_of(content):
        raise CanaryError(
            f"{path} must be as it was made, got content that its seal does not fit: it was changed; take "
            "the file from where the canaries were made."
        )
    return _checked(path, content)


def _checked(path: Path, content: Mapping[str, Any]) -> Manifest:
    try:
        height, width = content["size"]
        manifest = Manifest(
            folder=path.parent,
            seed=content["seed"],
            size=(height, width),
            canaries=tuple(_canary(entry) for entry in content["canaries"]),
            seal=content["seal"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CanaryError(f"{path} must be a whole manifest, got {type(error).__name__}: {error}.") from error
    for name, those in (("planted canary", manifest.planted), ("reference", manifest.references)):
        if not those:
            raise CanaryError(
                f"{path} must have at least 1 {name}, got 0: exposure ranks a planted picture among pictures "
                "that were never planted; make canaries with `memex canary make`."
            )
    return manifest


def _canary(entry: Mapping[str, Any]) -> Canary:
    repetitions = entry["repetitions"]
    if type(repetitions) is not int or repetitions < 0:
        raise ValueError(f"repetitions must be a whole number of at least 0, got {repetitions!r}")
    if not SHA256.fullmatch(entry["sha256"]):
        raise ValueError(f"sha256 must be 64 hex digits, got {entry['sha256']!r}")
    return Canary(
        canary_id=str(entry["id"]),
        caption=str(entry["caption"]),
        repetitions=repetitions,
        picture=str(entry["picture"]),
        sha256=entry["sha256"],
    )
