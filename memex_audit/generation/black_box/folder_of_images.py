"""Recorded generations as a Generator: what a folder holds is what the model is audited by."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from memex_audit.config import MAX_PIXELS
from memex_audit.generation.black_box.recorded_pictures import RecordedPicture, RecordedPictures
from memex_audit.generation.fingerprints import file_digests
from memex_audit.generation.seeds import image_seed
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import ABSENT, Generation, GenerationRequest, SetAside


class FolderOfImages:
    """Answers a prompt's first request with its first recorded picture, the second with its second.

    An audit's seeds are a function of its root seed, the prompt and a number: that number says which picture
    is meant, whatever the order and the batch. A prompt with fewer pictures than are asked for is answered
    without pixels and the reason ABSENT. No picture is given twice: of files with the same bytes the first is
    taken, unless the manifest names a seed for each.

    Args:
        recorded: what the folder holds.
        root_seed: of the audit.
        cache: JSON file that remembers digests of files; see generation/fingerprints.py.
        max_pixels: of a picture.
    """

    seeded = True
    shareable = True
    device = "elsewhere"
    # Nobody knows what these pictures cost.
    evaluations_per_image = 0
    draws = False
    # Its fingerprint is of what the files hold.
    named_by_files = True

    def __init__(
        self,
        recorded: RecordedPictures,
        *,
        root_seed: int,
        cache: Path | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        paths = [picture.path for pictures in recorded.by_prompt.values() for picture in pictures]
        digests = file_digests(paths, cache)
        self._pictures: dict[str, tuple[RecordedPicture, ...]] = {}
        copies: list[SetAside] = []
        for key, pictures in recorded.by_prompt.items():
            self._pictures[key], more = _without_copies(pictures, digests)
            copies += more
        self.recorded = replace(recorded, by_prompt=self._pictures, set_aside=(*recorded.set_aside, *copies))
        self.fingerprint = _fingerprint(self.recorded, digests)
        self.settings: Mapping[str, object] = {"kind": "folder of images", "max_pixels": max_pixels}
        self._root_seed = root_seed
        self._max_pixels = max_pixels

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        """Yield the recorded picture that each request means; pixels are read one at a time."""
        numbered: dict[str, dict[int, RecordedPicture]] = {}
        for request in requests:
            if request.prompt not in numbered:
                numbered[request.prompt] = {
                    image_seed(self._root_seed, request.prompt, number): picture
                    for number, picture in enumerate(self.recorded.of(request.prompt))
                }
            picture = numbered[request.prompt].get(request.seed)
            if picture is None:
                yield Generation(request=request, pixels=None, reason=ABSENT)
            else:
                yield self._read(request, picture.path)

    def _read(self, request: GenerationRequest, path: Path) -> Generation:
        try:
            pixels = decode_picture(path.read_bytes(), max_pixels=self._max_pixels)
        except OSError as error:
            return Generation(request=request, pixels=None, reason=f"cannot be read: {error.strerror}")
        except ValueError as error:
            return Generation(request=request, pixels=None, reason=str(error))
        return Generation(request=request, pixels=pixels)


def _without_copies(
    pictures: Sequence[RecordedPicture], digests: Mapping[Path, str]
) -> tuple[tuple[RecordedPicture, ...], list[SetAside]]:
    kept: list[RecordedPicture] = []
    copies: list[SetAside] = []
    seen: dict[str, bool] = {}  # digest -> whether every file with it has a seed
    for picture in pictures:
        digest, has_seed = digests[picture.path], picture.seed is not None
        if digest in seen and not (seen[digest] and has_seed):
            copies.append(SetAside(what=picture.path.name, reason="the same file as another of its prompt"))
            continue
        seen[digest] = seen.get(digest, True) and has_seed
        kept.append(picture)
    return tuple(kept), copies


def _fingerprint(recorded: RecordedPictures, digests: Mapping[Path, str]) -> str:
    """Return SHA-256 over prompts, seeds and contents in the order in which they are taken."""
    total = hashlib.sha256(b"folder of images\n")
    for key, pictures in recorded.by_prompt.items():
        for picture in pictures:
            line = f"{key}\0{picture.seed}\0{digests[picture.path]}\n"
            total.update(line.encode("utf-8", "surrogatepass"))
    return total.hexdigest()
