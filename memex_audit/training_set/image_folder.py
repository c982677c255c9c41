"""A training set kept as a folder of pictures with their captions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set import fingerprints
from memex_audit.training_set.captions import (
    Caption,
    is_metadata,
    is_picture,
    is_sidecar,
    read_captions,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ImageFolder:
    """A TrainingSet of picture files, each with a caption in a metadata file or in a `.txt` beside it.

    An example's id is the picture's posix path below the folder. A picture without a caption is an example
    too, with an empty one.

    Args:
        root: the folder.
        files: posix paths of all files below it.
        unreadable: what could not even be listed; counted with what is set aside.
        needs_captions: False where prompts come from elsewhere.
        max_pixels: a larger picture is set aside.

    Raises:
        TrainingSetError: there are pictures but nothing that could be a caption, and captions are needed.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        unreadable: Sequence[SetAside] = (),
        *,
        needs_captions: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        metadata = any(map(is_metadata, files))
        if needs_captions and not metadata and not any(map(is_sidecar, files)):
            msg = (
                f"{root} must hold a caption for each picture, got pictures only; put a metadata.csv with "
                "the columns file_name,text there, or a .txt file of the same name beside each picture, or "
                "give the prompts that they were trained under with --memex-prompts FILE."
            )
            raise TrainingSetError(msg)
        is_caption = is_metadata if metadata else is_sidecar
        self.location = str(root)
        self.max_pixels = max_pixels
        self._root = root
        self._files = [name for name in files if is_picture(name) or is_caption(name)]
        self._pictures = {name for name in files if is_picture(name)}
        self._unreadable = tuple(unreadable)
        self._set_aside = self._unreadable

    def __length_hint__(self) -> int:
        """Return the number of pictures, for a progress bar; unusable ones count too."""
        return len(self._pictures)

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What the last full pass of `examples` could not use, and why."""
        return self._set_aside

    def examples(self) -> Iterator[TrainingExample]:
        """Yield every usable example, sorted by path; those without a caption last."""
        set_aside = list(self._unreadable)
        for caption in self._captions():
            if isinstance(caption, SetAside):
                set_aside.append(caption)
                continue
            try:
                pixels = self._read(caption.picture)
            except ValueError as error:
                set_aside.append(SetAside(what=caption.example_id, reason=str(error)))
                continue
            yield TrainingExample(id=caption.example_id, caption=caption.text, pixels=pixels)
        self._set_aside = tuple(set_aside)

    def _captions(self) -> Iterator[Caption | SetAside]:
        captioned = set()
        for caption in read_captions(self._root, self._files):
            if isinstance(caption, Caption):
                captioned.add(caption.picture)
            yield caption
        for picture in sorted(self._pictures - captioned):
            yield Caption(example_id=picture, picture=picture, text="")

    def load(self, example_ids: Sequence[str]) -> "list[NDArray[np.uint8]]":
        """Return the pixels of these examples, in order.

        Raises:
            TrainingSetError: an id is not of this set, or its picture can no longer be read.
        """
        return [self._load(example_id) for example_id in example_ids]

    def stat_fingerprint(self) -> str:
        """Return SHA-256 over path, size and time of every picture and caption file."""
        return fingerprints.stat_fingerprint(self._root, self._files)

    def content_fingerprint(self) -> str:
        """Return SHA-256 over path and contents of every picture and caption file."""
        return fingerprints.content_fingerprint(self._root, self._files)

    def _load(self, example_id: str) -> "NDArray[np.uint8]":
        picture = example_id if example_id in self._pictures else example_id.rpartition("#")[0]
        if picture not in self._pictures:
            msg = f"Example id must be one of {self.location}, got {example_id!r}; mine the set again."
            raise TrainingSetError(msg)
        try:
            return self._read(picture)
        except ValueError as error:
            msg = f"{self._root / picture} must be a picture, got: {error}; mine the set again."
            raise TrainingSetError(msg) from error

    def _read(self, picture: str) -> "NDArray[np.uint8]":
        try:
            with fingerprints.open_regular(self._root / picture) as file:
                data = file.read()
        except OSError as error:
            msg = f"cannot be read: {error.strerror}"
            raise ValueError(msg) from error
        return decode_picture(data, max_pixels=self.max_pixels)
