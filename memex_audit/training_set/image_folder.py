"""A training set kept as a folder of pictures with their captions."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import SetAside, TrainingExample
from memex_audit.training_set.captions import (
    Captions,
    MetadataCaptions,
    SidecarCaptions,
    is_metadata,
    is_picture,
    is_sidecar,
)
from memex_audit.training_set.entries import Entry
from memex_audit.training_set.file_set import FileSet
from memex_audit.training_set.set_files import LocalFiles


class ImageFolder(FileSet):
    """A TrainingSet of picture files, each with a caption in a metadata file or in a `.txt` beside it.

    An example's id is the picture's posix path below the folder. A picture without a caption is an example
    too, with an empty one.

    Args:
        files: all files below the folder.
        unreadable: what could not even be listed; counted with what is set aside.
        needs_captions: False where prompts come from elsewhere.
        max_pixels: a larger picture is set aside.

    Raises:
        TrainingSetError: there are pictures but nothing that could be a caption, and captions are needed.
    """

    def __init__(
        self,
        files: LocalFiles,
        unreadable: Sequence[SetAside] = (),
        *,
        needs_captions: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        metadata = any(map(is_metadata, files.names))
        if needs_captions and not metadata and not any(map(is_sidecar, files.names)):
            raise TrainingSetError(
                f"{files.location} must hold a caption for each picture, got pictures only; put a "
                "metadata.csv with the columns file_name,text there, or a .txt file of the same name beside "
                "each picture, or give the prompts that they were trained under with --memex-prompts FILE."
            )
        is_caption = is_metadata if metadata else is_sidecar
        names = [name for name in files.names if is_picture(name) or is_caption(name)]
        super().__init__(files, names, max_pixels=max_pixels)
        self._pictures = [name for name in names if is_picture(name)]
        self._metadata = metadata
        self._unlisted = tuple(unreadable)
        self._root = files.root

    @property
    def n_entries(self) -> int:
        """How many pictures with a caption there are: one that has two counts twice."""
        return self._captions.n_entries

    @property
    def faults(self) -> tuple[SetAside, ...]:
        """What cannot be listed, and captions without a picture."""
        return (*self._unlisted, *self._captions.faults)

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield every picture with each of its captions, sorted by path; those without any last."""
        for caption in self._captions.read(first, last):
            try:
                pixels = decode_picture(self._read(caption.picture), max_pixels=self.max_pixels)
            except ValueError as error:
                yield Entry(None, SetAside(what=caption.example_id, reason=str(error)))
                continue
            example = TrainingExample(id=caption.example_id, caption=caption.text, pixels=pixels)
            yield Entry(example, caption.fault)

    def example_ids(self) -> Iterator[Sequence[str]]:
        """Yield the ids of all pictures with each of their captions."""
        yield [self._captions.id(place) for place in range(self.n_entries)]

    @cached_property
    def _captions(self) -> Captions:
        kind = MetadataCaptions if self._metadata else SidecarCaptions
        return kind(self._root, self._names, self._pictures)

    def _files_of(self, first: int, last: int) -> Iterator[int]:
        for name in self._captions.files_of(first, last):
            yield bisect_left(self._names, name)

    def _unreadable(self, example_id: str, error: ValueError) -> TrainingSetError:
        picture = example_id if self._is_picture(example_id) else example_id.rpartition("#")[0]
        return TrainingSetError(
            f"{self._files.shown(picture)} must be a picture, got: {error}; mine the set again."
        )

    def _encoded(self, example_ids: Sequence[str]) -> list[bytes]:
        return [self._encoded_one(example_id) for example_id in example_ids]

    def _encoded_one(self, example_id: str) -> bytes:
        picture = example_id if self._is_picture(example_id) else example_id.rpartition("#")[0]
        if not self._is_picture(picture):
            raise self._unknown(example_id)
        try:
            return self._read(picture)
        except ValueError as error:
            raise self._unreadable(example_id, error) from error

    def _is_picture(self, name: str) -> bool:
        place = bisect_left(self._pictures, name)
        return place < len(self._pictures) and self._pictures[place] == name

    def _read(self, picture: str) -> bytes:
        try:
            with self._files.open(picture) as file:
                return file.read()
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error
