"""Read a training set: training set -> examples (id, caption, pixels), streamed."""

import os
from pathlib import Path, PurePosixPath

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import TrainingSetError
from memex_audit.protocols import TrainingSet
from memex_audit.records import SetAside
from memex_audit.training_set.captions import KINDS, is_picture


def open_training_set(
    location: str | Path, *, needs_captions: bool = True, max_pixels: int = MAX_PIXELS
) -> TrainingSet:
    """Open Parquet files or WebDataset tars, one or a folder of them, or a folder of captioned pictures.

    Opening lists files and reads Parquet footers, but no picture and no caption. Parquet files beside tars of
    the same names are what img2dataset knows of them, and not read.

    Args:
        location: a path. Hidden files and folders below it are not looked at.
        needs_captions: False where prompts come from elsewhere; pictures alone are a training set then.
        max_pixels: a larger picture is set aside before it is decoded.

    Raises:
        TrainingSetError: the path is missing, holds nothing that can be read, or has no captions.
    """
    root = Path(location)
    files, unreadable = _list_files(root)
    tars = [name for name in files if PurePosixPath(name).suffix.lower() == ".tar"]
    beside = {PurePosixPath(name).with_suffix(".parquet").as_posix() for name in tars}
    tables = [name for name in files if PurePosixPath(name).suffix.lower() == ".parquet"]
    parquet = [name for name in tables if name not in beside]
    pictures = [name for name in files if is_picture(name)]
    kinds = {"Parquet files": parquet, "tars": tars, "pictures": pictures}
    if sum(map(bool, kinds.values())) > 1:
        got = " and ".join(f"{len(names)} {kind}" for kind, names in kinds.items() if names)
        msg = f"{root} must hold one kind of training set, got {got}; give the folder of one of them."
        raise TrainingSetError(msg)
    folder = root if root.is_dir() else root.parent
    if parquet:
        from memex_audit.training_set.parquet_set import ParquetSet

        return ParquetSet(folder, parquet, unreadable, needs_captions=needs_captions, max_pixels=max_pixels)
    if tars:
        from memex_audit.training_set.webdataset_set import WebDatasetSet

        return WebDatasetSet(folder, tars, unreadable, needs_captions=needs_captions, max_pixels=max_pixels)
    if pictures and root.is_dir():
        from memex_audit.training_set.image_folder import ImageFolder

        return ImageFolder(root, files, unreadable, needs_captions=needs_captions, max_pixels=max_pixels)
    got = "another file" if root.is_file() else f"{len(files)} other files" if files else "an empty folder"
    msg = (
        f"{root} must be a Parquet file, a folder of them, a WebDataset tar, a folder of those, or a folder "
        f"of pictures ({KINDS}) with captions, got {got}; give the path of one."
    )
    raise TrainingSetError(msg)


def _list_files(root: Path) -> tuple[list[str], tuple[SetAside, ...]]:
    """Return the sorted posix paths of the files below `root`, or the name of `root` if it is a file; and
    the folders that cannot be listed."""
    if root.is_file():
        return [root.name], ()
    if not root.is_dir():
        msg = f"Training set must be a file or folder, got {root}, which does not exist; check the path."
        raise TrainingSetError(msg)
    files: list[str] = []
    unreadable: list[SetAside] = []
    seen = set()

    def note(error: OSError) -> None:
        reason = f"folder cannot be read: {error.strerror}"
        unreadable.append(SetAside(what=os.path.relpath(error.filename, root), reason=reason))

    for folder, folders, names in os.walk(root, followlinks=True, onerror=note):
        real = os.path.realpath(folder)
        # A link to a folder above would be walked without end.
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            below = Path(folder).relative_to(root)
            files += [(below / name).as_posix() for name in names if not name.startswith(".")]
        seen.add(real)
    named = [name for name in files if _is_text(name)]
    # Ids are made of names, and are kept and shown as text.
    for name in sorted(set(files) - set(named)):
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        unreadable.append(SetAside(what=shown, reason="file name is not UTF-8"))
    return sorted(named), tuple(unreadable)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
