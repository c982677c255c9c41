"""A training set kept as one or more WebDataset tars, as img2dataset writes them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set import fingerprints
from memex_audit.training_set.tar_samples import Sample, caption_of, list_samples, read_member

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class WebDatasetSet:
    """A TrainingSet of tar files. Nothing is unpacked: pictures are read where they lie in the archive.

    Files of one archive with the same name up to the first dot are a sample: a picture, and its caption in a
    `.txt`, or in a `.json` as `caption` or `text`. An example's id is "<path of the tar without .tar>:<key>".

    Args:
        root: the folder that holds the files.
        files: their posix paths below it.
        unreadable: what could not even be listed; counted with what is set aside.
        needs_captions: False where prompts come from elsewhere. A picture without a caption is an example in
            any case, with an empty one.
        max_pixels: a larger picture is set aside.
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
        self.location = str(root / files[0] if len(files) == 1 else root)
        self.max_pixels = max_pixels
        self._root, self._files = root, tuple(files)
        self._needs_captions = needs_captions
        self._unreadable = tuple(unreadable)
        self._set_aside = self._unreadable

    def __length_hint__(self) -> int:
        """Return the number of samples, for a progress bar; unusable ones count too."""
        return len(self._samples)

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What the last full pass of `examples` could not use, and why."""
        return self._set_aside

    def examples(self) -> Iterator[TrainingExample]:
        """Yield every usable example, by file and place in it; one picture is in memory.

        Raises:
            TrainingSetError: no sample has a caption, and captions are needed.
        """
        samples = self._samples.values()
        if self._needs_captions and samples and not any(sample.caption for sample in samples):
            msg = (
                f"{self.location} must hold a caption for each picture, a .txt or a .json of the same name, "
                "got none; give the prompts that they were trained under with --memex-prompts FILE."
            )
            raise TrainingSetError(msg)
        set_aside = [*self._unreadable, *self._faults]
        for sample in samples:
            read = self._read(sample)
            if isinstance(read, SetAside):
                set_aside.append(read)
                continue
            if not read.caption:
                set_aside.append(SetAside(what=read.id, reason="picture without a caption"))
            yield read
        self._set_aside = tuple(set_aside)

    def load(self, example_ids: Sequence[str]) -> "list[NDArray[np.uint8]]":
        """Return the pixels of these examples, in order; nothing else is read.

        Raises:
            TrainingSetError: an id is not of this set, or its picture can no longer be read.
        """
        return [self._load(example_id) for example_id in example_ids]

    def stat_fingerprint(self) -> str:
        """Return SHA-256 over path, size and time of every file."""
        return fingerprints.stat_fingerprint(self._root, self._files)

    def content_fingerprint(self) -> str:
        """Return SHA-256 over path and contents of every file."""
        return fingerprints.content_fingerprint(self._root, self._files)

    @cached_property
    def _listed(self) -> list[Sample | SetAside]:
        # Headers only: where in which file each sample lies.
        return list(chain.from_iterable(list_samples(self._root, name) for name in self._files))

    @cached_property
    def _samples(self) -> dict[str, Sample]:
        return {found.id: found for found in self._listed if isinstance(found, Sample)}

    @cached_property
    def _faults(self) -> list[SetAside]:
        return [found for found in self._listed if isinstance(found, SetAside)]

    def _read(self, sample: Sample) -> TrainingExample | SetAside:
        if sample.picture is None:
            return SetAside(what=sample.id, reason="caption without a picture")
        try:
            pixels = self._pixels(sample)
            caption = caption_of(self._root, sample)
        except ValueError as error:
            return SetAside(what=sample.id, reason=str(error))
        return TrainingExample(id=sample.id, caption=caption, pixels=pixels)

    def _load(self, example_id: str) -> "NDArray[np.uint8]":
        sample = self._samples.get(example_id)
        if sample is None:
            msg = f"Example id must be one of {self.location}, got {example_id!r}; mine the set again."
            raise TrainingSetError(msg)
        try:
            return self._pixels(sample)
        except ValueError as error:
            msg = (
                f"{self.location} example {example_id!r} must be a picture, got: {error}; mine the set again."
            )
            raise TrainingSetError(msg) from error

    def _pixels(self, sample: Sample) -> "NDArray[np.uint8]":
        data = read_member(self._root, sample, sample.picture) if sample.picture else b""
        return decode_picture(data, max_pixels=self.max_pixels)
