"""The commands over a store: `memex store ls`, `verify`, `compact` and `prune`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memex_audit.errors import ConfigurationError, StoreError, StoreUnwritable
from memex_audit.ledger_commands import STORE, find_store

if TYPE_CHECKING:
    from memex_audit.generation.compacting import Compaction
    from memex_audit.generation.store_files import Damage, Pictures

HEADINGS = ("model", "settings", "prompts", "pictures", "with pixels", "packs", "size", "last written")
# So much of a key tells models apart, and is what `prune` takes.
SHOWN_KEY, SHOWN_DIGEST = 12, 8

store_option = click.option(
    "--store", type=click.Path(path_type=Path), metavar="DIR",
    help="The store; default: the project's, found from this folder upwards.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group(name="store")
def store_group() -> None:
    """Look after what was drawn: list it, check it, pack it tightly, remove parts of it."""


@store_group.command()
@json_option
@store_option
def ls(as_json: bool, store: Path | None) -> None:
    """List what a store holds: the pictures of each model and settings, then everything else by size.

    No picture is read: what there is stands in the manifests.
    """
    from memex_audit.doctor.machine import size_text
    from memex_audit.generation.store_files import other_parts

    root = open_store(store)
    with _reading(root):
        found, others = _look(root), other_parts(root)
    if as_json:
        parts = {name: {"files": part.files, "bytes": part.bytes} for name, part in others.items()}
        pictures = [_as_json(pictures) for pictures in found]
        click.echo(json.dumps({"store": str(root), "pictures": pictures, "other": parts}, indent=2))
        return
    click.echo(f"store {root}")
    for line in _table([HEADINGS, *map(_row, found)], [pictures.model for pictures in found]):
        click.echo(line)
    for older in (pictures for pictures in found if pictures.n_older):
        click.echo(f"{_name(older)}: {older.n_older:,} files of an older memex-audit; `memex store compact`")
    for name, part in others.items():
        click.echo(f"{name}: {size_text(part.bytes)} in {part.files:,} file{'s' * (part.files != 1)}")


@store_group.command()
@json_option
@store_option
@click.pass_context
def verify(context: click.Context, as_json: bool, store: Path | None) -> None:
    """Read and decode every picture of a store, and name what is damaged; nothing is changed.

    Exits with 1 if something is. The next audit discards it, and draws only these pictures anew. What a
    picture's seed should be is not checked: the store does not hold the prompt's text.
    """
    from memex_audit.generation.store_files import check, picture_folders

    root = open_store(store)
    n_pictures = 0

    def count(n: int) -> None:
        nonlocal n_pictures
        n_pictures += n

    damages = []
    with _reading(root):
        for folder in picture_folders(root):
            for damage in check(folder, count):
                damages.append(damage)
                if not as_json:
                    click.echo(_damage_line(damage))
    if as_json:
        found = [{name: getattr(damage, name) for name in damage.__slots__} for damage in damages]
        click.echo(json.dumps({"store": str(root), "pictures": n_pictures, "damaged": found}, indent=2))
    elif damages:
        click.echo(f"{len(damages):,} damaged: the next audit draws only these anew")
    else:
        click.echo(f"{n_pictures:,} pictures, all as they were written")
    context.exit(int(bool(damages)))


@store_group.command()
@store_option
def compact(store: Path | None) -> None:
    """Write small packs together into packs of about 128 MB, without what nobody reads any more.

    A store of an older memex-audit is taken over. May run beside audits and be broken off at any time: no
    picture is lost. Needs room for one pack.
    """
    from memex_audit.generation import compacting

    root = open_store(store)
    done = []
    for folder in _folders(root):
        with _writing(folder):
            compaction = compacting.compact(folder)
        name = "/".join(folder.parts[-2:])
        if compaction is None:
            click.echo(f"{name}: left alone, another process compacts it")
            continue
        done.append(compaction)
        _say_compaction(name, compaction)
    _say_total(done)


@store_group.command()
@click.option("--model", metavar="KEY", help="Pictures of this model, by its key or the beginning of it.")
@click.option("--settings", metavar="DIGEST", help="Pictures drawn with these settings, or their beginning.")
@click.option(
    "--older-than", type=click.FloatRange(min=0), metavar="DAYS",
    help="Where the last picture came more days ago.",
)  # fmt: skip
@click.option(
    "--pixels", is_flag=True, help="Only their pixels: the block sums stay, and verdicts with them."
)
@click.option("--yes", is_flag=True, help="Do it.")
@store_option
def prune(
    *,
    model: str | None,
    settings: str | None,
    older_than: float | None,
    pixels: bool,
    yes: bool,
    store: Path | None,
) -> None:
    """Remove the pictures that all options given are true of; without --yes only say which.

    The keys are those of `memex store ls`. Calibrations, findings and the ledger stay.
    """
    from memex_audit.generation.pruning import Named

    named = Named(model=model, settings=settings, older_than_days=older_than)
    if named.nothing and not pixels:
        raise ConfigurationError(
            "memex store prune must be told what to remove, got neither --model, --settings, --older-than "
            "nor --pixels; `memex store ls` lists what there is."
        )
    root = open_store(store)
    with _reading(root):
        found = named.among(_look(root))
    if pixels:
        found = _of_which_pixels_go(found)
    if not found:
        click.echo("nothing in the store is meant by this")
        return
    for pictures in found:
        (_drop_pixels if pixels else _remove)(pictures, yes=yes)
    if not yes:
        click.echo("nothing was removed yet: add --yes")


def open_store(given: Path | None) -> Path:
    """Return the store that is meant.

    Raises:
        StoreError: there is none.
    """
    here = Path.cwd()
    above = (place / STORE for place in (here, *here.parents))
    with_pictures = None if given else next((place for place in above if (place / "units").is_dir()), None)
    root = with_pictures or find_store(given, here)
    if not root.is_dir():
        raise StoreError(
            f"the store must be a folder, got {root}, where there is none; name it with --store, or let "
            "`pytest audits/` make one."
        )
    return root


def _folders(root: Path) -> list[Path]:
    from memex_audit.generation.store_files import picture_folders

    with _reading(root):
        return picture_folders(root)


def _look(root: Path) -> "list[Pictures]":
    from memex_audit.generation.store_files import look_at

    return [look_at(folder) for folder in _folders(root)]


def _name(pictures: "Pictures") -> str:
    return f"{pictures.model_key[:SHOWN_KEY]}/{pictures.settings_digest[:SHOWN_DIGEST]}"


def _row(pictures: "Pictures") -> tuple[str, ...]:
    from memex_audit.doctor.machine import size_text

    written = pictures.written
    return (
        pictures.model_key[:SHOWN_KEY],
        pictures.settings_digest[:SHOWN_DIGEST],
        f"{pictures.n_prompts:,}",
        f"{pictures.n_pictures:,}",
        "?" if pictures.with_pixels is None else f"{pictures.with_pixels:,}",
        f"{pictures.n_packs:,}",
        size_text(pictures.bytes),
        "-" if written is None else f"{datetime.fromtimestamp(written).astimezone():%Y-%m-%d %H:%M}",
    )


def _table(rows: list[tuple[str, ...]], models: list[str]) -> Iterator[str]:
    """Yield the lines of a table: names to the left, numbers to the right, what models are called last."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row, model in zip(rows, ["name", *models], strict=True):
        keys = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        yield "  ".join([*keys, *numbers, model]).rstrip()


def _as_json(pictures: "Pictures") -> dict[str, Any]:
    said = {name: getattr(pictures, name) for name in pictures.__slots__ if name != "folder"}
    return {"model_key": pictures.model_key, "settings_digest": pictures.settings_digest, **said}


def _damage_line(damage: "Damage") -> str:
    whose = "" if damage.prompt is None else f", of prompt {damage.prompt}"
    if damage.first is not None:
        whose = f", pictures {damage.first} to {damage.last}{whose}"
    return f"damaged: {damage.where}{whose}: {damage.reason}"


def _say_compaction(name: str, done: "Compaction") -> None:
    if done.n_older:
        click.echo(f"{name}: took over {done.n_older:,} files of an older memex-audit")
    if done.n_dropped:
        click.echo(f"{name}: left out {done.n_dropped:,} units whose pictures are there a second time")
    for line in done.left:
        click.echo(f"{name}: damaged, left where it is: {line}")


def _say_total(done: "list[Compaction]") -> None:
    from memex_audit.doctor.machine import size_text

    said = []
    for name, sides in (("before", [one.before for one in done]), ("now", [one.after for one in done])):
        n_bytes = size_text(sum(side.bytes for side in sides))
        said.append(f"{name}: {sum(side.files for side in sides):,} files, {n_bytes}")
    click.echo("; ".join(said))


def _of_which_pixels_go(found: "list[Pictures]") -> "list[Pictures]":
    """Return which pictures have pixels that can go; say of which they cannot."""
    from memex_audit.generation.pruning import are_drawn_again

    with_pixels = [pictures for pictures in found if pictures.with_pixels != 0]
    for pictures in with_pixels:
        if not are_drawn_again(pictures):
            click.echo(f"{_name(pictures)}: kept whole, nothing draws the pictures of {pictures.model} again")
    return [pictures for pictures in with_pixels if are_drawn_again(pictures)]


def _remove(pictures: "Pictures", *, yes: bool) -> None:
    from memex_audit.doctor.machine import size_text
    from memex_audit.generation.pruning import freed, remove_pictures

    said = f"{pictures.n_pictures:,} pictures of {pictures.n_prompts:,} prompts"
    if not yes:
        click.echo(f"{_name(pictures)}: {said}, {size_text(pictures.bytes)}")
        return
    with _writing(pictures.folder):
        why_left = remove_pictures(pictures.folder)
        n_bytes = freed(pictures.bytes, pictures.folder)
    left = f"; not all: {why_left}" if why_left else ""
    click.echo(f"{_name(pictures)}: {said}, {size_text(n_bytes)} removed{left}")


def _drop_pixels(pictures: "Pictures", *, yes: bool) -> None:
    from memex_audit.doctor.machine import size_text
    from memex_audit.generation.pruning import drop_pixels, freed

    n = "some" if pictures.with_pixels is None else f"{pictures.with_pixels:,}"
    if not yes:
        click.echo(f"{_name(pictures)}: the pixels of {n} pictures, most of {size_text(pictures.bytes)}")
        return
    with _writing(pictures.folder):
        done = drop_pixels(pictures.folder)
        n_bytes = freed(pictures.bytes, pictures.folder)
    if done is None:
        click.echo(f"{_name(pictures)}: left alone, another process compacts it")
        return
    click.echo(f"{_name(pictures)}: the pixels of {n} pictures, {size_text(n_bytes)} removed")
    _say_compaction(_name(pictures), done)


@contextmanager
def _reading(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the store {root} must be readable, got {error.strerror or error}; check its permissions and "
            "its disk."
        ) from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnwritable(
            f"the store {folder} must be writable, got {error.strerror or error}; free space or check its "
            "permissions. Nothing of it is lost."
        ) from error
