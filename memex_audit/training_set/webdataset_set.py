"""A training set kept as one or more WebDataset tars, as img2dataset writes them."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property
from io import BytesIO
from itertools import groupby
from typing import BinaryIO

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set.entries import Entry
from memex_audit.training_set.file_set import FileSet
from memex_audit.training_set.sample_table import SampleTable
from memex_audit.training_set.set_files import SetFiles
from memex_audit.training_set.tar_samples import Sample, caption_of, read_member

# Ids yielded at a time.
PART = 1 << 14


class WebDatasetSet(FileSet):
    """A TrainingSet of tar files. Nothing is unpacked: pictures are read where they lie in the archive.

    Files of one archive with the same name up to the first dot are a sample: a picture, and its caption in a
    `.txt`, or in a `.json` as `caption` or `text`. An example's id is "<path of the tar without .tar>:<key>".

    Args:
        files: the tars.
        unreadable: what could not even be listed; counted with what is set aside.
        needs_captions: False where prompts come from elsewhere. A picture without a caption is an example in
            any case, with an empty one.
        max_pixels: a larger picture is set aside.
    """

    def __init__(
        self,
        files: SetFiles,
        unreadable: Sequence[SetAside] = (),
        *,
        needs_captions: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__(files, files.names, max_pixels=max_pixels)
        self._needs_captions = needs_captions
        self._unlisted = tuple(unreadable)

    @property
    def n_entries(self) -> int:
        """How many samples there are."""
        return len(self._samples)

    @property
    def faults(self) -> tuple[SetAside, ...]:
        """What cannot be listed: tars that are none, files that are of no sample."""
        return (*self._unlisted, *self._samples.faults)

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield the samples by tar and place in it; a tar is opened once.

        Raises:
            TrainingSetError: no sample has a caption, and captions are needed.
        """
        if self._needs_captions and self.n_entries and not self._samples.has_captions:
            raise TrainingSetError(
                f"{self.location} must hold a caption for each picture, a .txt or a .json of the same name, "
                "got none; give the prompts that they were trained under with --memex-prompts FILE."
            )
        rows = range(first, min(last, self.n_entries))
        for number, of_one_tar in groupby(rows, self._samples.tar):
            with closing(self._open(number)) as file:
                for row in of_one_tar:
                    yield self._read(file, self._samples.sample(row))

    def example_ids(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all samples, in parts."""
        yield from (self._samples.ids.ids[start : start + PART] for start in range(0, self.n_entries, PART))

    def key_of(self, example_id: str) -> str:
        """Return the key in its tar."""
        return example_id.partition(":")[2]

    @cached_property
    def _samples(self) -> SampleTable:
        return SampleTable(self._files)

    def _encoded(self, example_ids: Sequence[str]) -> list[bytes]:
        """Return the files of these pictures; each tar is opened once, and read in its order."""
        rows = {example_id: self._row(example_id) for example_id in example_ids}
        data: dict[str, bytes] = {}
        in_place = sorted(rows, key=rows.__getitem__)
        for number, of_one_tar in groupby(in_place, lambda name: self._samples.tar(rows[name])):
            with closing(self._open(number)) as file:
                for name in of_one_tar:
                    data[name] = self._picture(file, name, rows[name])
        return [data[example_id] for example_id in example_ids]

    def _files_of(self, first: int, last: int) -> Iterator[int]:
        rows = range(first, min(last, self.n_entries))
        if rows:
            yield from range(self._samples.tar(rows[0]), self._samples.tar(rows[-1]) + 1)

    def _open(self, number: int) -> BinaryIO:
        try:
            return self._files.open(self._files.names[number])
        except OSError:
            return BytesIO()  # each of its samples is then cut short, and says so

    def _row(self, example_id: str) -> int:
        row = self._samples.ids.row(example_id)
        if row is None:
            raise self._unknown(example_id)
        return row

    def _picture(self, file: BinaryIO, example_id: str, row: int) -> bytes:
        picture = self._samples.sample(row).picture
        try:
            return read_member(file, picture) if picture else b""
        except ValueError as error:
            raise self._unreadable(example_id, error) from error

    def _read(self, file: BinaryIO, sample: Sample) -> Entry:
        if sample.picture is None:
            return Entry(None, SetAside(what=sample.id, reason="caption without a picture"))
        try:
            pixels = decode_picture(read_member(file, sample.picture), max_pixels=self.max_pixels)
            caption = caption_of(file, sample)
        except ValueError as error:
            return Entry(None, SetAside(what=sample.id, reason=str(error)))
        example = TrainingExample(id=sample.id, caption=caption, pixels=pixels)
        without = None if caption else SetAside(what=sample.id, reason="picture without a caption")
        return Entry(example, without)
