"""The samples of all tars of a training set, in a table of some hundred bytes each."""

from array import array
from collections.abc import Iterator

from memex_audit.records import SetAside
from memex_audit.training_set.id_table import IdTable
from memex_audit.training_set.set_files import SetFiles
from memex_audit.training_set.tar_samples import JSON, TEXT, Member, Sample, list_samples

NONE = -1


class SampleTable:
    """Where each sample lies: read from the headers of every tar, once.

    Args:
        files: of the training set, all of them tars.
    """

    def __init__(self, files: SetFiles) -> None:
        self.faults: list[SetAside] = []
        self.has_captions = False
        self._files = files
        self._tar = array("i")
        # Offset and size of the picture and of the two kinds of caption, NONE where there is no such file.
        self._members = {kind: (array("q"), array("q")) for kind in ("picture", TEXT, JSON)}
        self.ids = IdTable(self._listed())

    def __len__(self) -> int:
        return len(self._tar)

    def tar(self, row: int) -> int:
        """Return the place of a sample's tar among the files."""
        return self._tar[row]

    def sample(self, row: int) -> Sample:
        """Return a sample."""
        texts = {kind: found for kind in (TEXT, JSON) if (found := self._member(kind, row))}
        return Sample(
            id=self.ids.ids[row],
            file=self._files.names[self._tar[row]],
            picture=self._member("picture", row),
            texts=texts,
        )

    def _listed(self) -> Iterator[list[str]]:
        for number, name in enumerate(self._files.names):
            ids = []
            for found in list_samples(self._files, name):
                if isinstance(found, SetAside):
                    self.faults.append(found)
                    continue
                ids.append(found.id)
                self._tar.append(number)
                self._add("picture", found.picture)
                for kind in (TEXT, JSON):
                    self._add(kind, found.texts.get(kind))
                self.has_captions = self.has_captions or found.caption
            yield ids

    def _add(self, kind: str, member: Member | None) -> None:
        offsets, sizes = self._members[kind]
        offsets.append(member.offset if member else NONE)
        sizes.append(member.size if member else NONE)

    def _member(self, kind: str, row: int) -> Member | None:
        offsets, sizes = self._members[kind]
        return None if offsets[row] == NONE else Member(offsets[row], sizes[row])
