"""Read a training set: training set -> examples (id, caption, pixels), streamed."""

from pathlib import Path
from posixpath import splitext

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.protocols import TrainingSet
from memex_audit.training_set.captions import KINDS, is_picture
from memex_audit.training_set.locations import find_files
from memex_audit.training_set.set_files import LocalFiles, SetFiles

PARQUET, TARS, PICTURES = "Parquet files", "tars", "pictures"


def open_training_set(
    location: str | Path, *, needs_captions: bool = True, max_pixels: int = MAX_PIXELS
) -> TrainingSet:
    """Open Parquet files or WebDataset tars, one or a folder of them, or a folder of captioned pictures.

    Opening lists files and reads Parquet footers, but no picture and no caption. Parquet files beside tars of
    the same names are what img2dataset knows of them, and not read.

    Args:
        location: a path, a glob, a range of shards or a URL, as `find_files` takes them; or what
            clip-retrieval wrote, embeddings without pictures. Hidden files and folders are not looked at.
        needs_captions: False where prompts come from elsewhere; pictures alone are a training set then.
        max_pixels: a larger picture is set aside before it is decoded.

    Raises:
        TrainingSetError: the path is missing, holds nothing that can be read, or has no captions.
    """
    if any((Path(location) / "img_emb").glob("*.npy")):
        from memex_audit.training_set.clip_retrieval import ClipRetrievalSet

        return ClipRetrievalSet(Path(location))
    files, unreadable = find_files(location)
    kinds = _kinds(files.names)
    if len(kinds) > 1:
        got = " and ".join(f"{len(names)} {kind}" for kind, names in kinds.items())
        raise TrainingSetError(
            f"{files.location} must hold one kind of training set, got {got}; give the folder of one of them."
        )
    kind = next(iter(kinds), None)
    if kind == PARQUET:
        from memex_audit.training_set.parquet_set import ParquetSet

        chosen = files.only(kinds[kind])
        return ParquetSet(chosen, unreadable, needs_captions=needs_captions, max_pixels=max_pixels)
    if kind == TARS:
        from memex_audit.training_set.webdataset_set import WebDatasetSet

        chosen = files.only(kinds[kind])
        return WebDatasetSet(chosen, unreadable, needs_captions=needs_captions, max_pixels=max_pixels)
    if kind == PICTURES and isinstance(files, LocalFiles) and not Path(location).is_file():
        from memex_audit.training_set.image_folder import ImageFolder

        return ImageFolder(files, unreadable, needs_captions=needs_captions, max_pixels=max_pixels)
    raise _no_training_set(files, location, kind)


def _kinds(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    tars = [name for name in names if splitext(name)[1].lower() == ".tar"]
    beside = {splitext(name)[0] + ".parquet" for name in tars}
    tables = [name for name in names if splitext(name)[1].lower() == ".parquet"]
    kinds = {
        PARQUET: tuple(name for name in tables if name not in beside),
        TARS: tuple(tars),
        PICTURES: tuple(name for name in names if is_picture(name)),
    }
    return {kind: named for kind, named in kinds.items() if named}


def _no_training_set(files: SetFiles, location: str | Path, kind: str | None) -> TrainingSetError:
    if kind == PICTURES and not isinstance(files, LocalFiles):
        return TrainingSetError(
            f"A training set behind a URL must be Parquet files or tars, got {len(files.names):,} loose "
            f"files at {files.location}; fetch them, or pack them into tars as img2dataset does."
        )
    one = Path(location).is_file()
    got = "another file" if one else f"{len(files.names)} other files" if files.names else "an empty folder"
    return TrainingSetError(
        f"{files.location} must be a Parquet file, a folder of them, a WebDataset tar, a folder of those, or "
        f"a folder of pictures ({KINDS}) with captions, got {got}; give the path of one."
    )
