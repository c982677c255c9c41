"""The command line `memex canary`: make the canaries that show an audit's power on its own model."""

from pathlib import Path

import click

from memex_audit.errors import CanaryError


@click.group()
def canary() -> None:
    """Make canaries: captioned pictures to plant into a training set, to see whether an audit finds them."""


@canary.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--repetitions",
    default="1,4,16,64",
    show_default=True,
    metavar="N,N,...",
    help="How often canaries are planted; there are --each of them for every number.",
)
@click.option("--each", default=4, show_default=True, metavar="N", help="Canaries planted at each of these.")
@click.option(
    "--reference",
    default=63,
    show_default=True,
    metavar="N",
    help="Canaries never planted, among which a planted one is ranked: exposure goes up to log2(N + 1).",
)
@click.option("--size", default="512x512", show_default=True, metavar="HxW", help="Size of the pictures.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="What all of them are drawn from.")
@click.option(
    "--training-set",
    metavar="PATH",
    help="The set to plant them into: canaries like one of its captions or pictures are left out.",
)
def make(
    folder: Path,
    *,
    repetitions: str,
    each: int,
    reference: int,
    size: str,
    seed: int,
    training_set: str | None,
) -> None:
    """Write captioned pictures into FOLDER, which must be new or empty, with their sealed manifest.

    Add all of FOLDER/planted to the training set, keep the rest as it is, train, and audit with
    --memex-canaries FOLDER/canaries.json.
    """
    from memex_audit.canaries.making import METADATA, PLANTED, Plan, make_canaries
    from memex_audit.canaries.manifest import MANIFEST
    from memex_audit.training_set import open_training_set

    plan = Plan(
        repetitions=_numbers("--repetitions", repetitions, ","),
        each=each,
        references=reference,
        size=_size(size),
        seed=seed,
    )
    made = make_canaries(folder, plan, open_training_set(training_set) if training_set else None)
    copies = sum(entry.repetitions for entry in made.planted)
    click.echo(
        f"{len(made.planted)} canaries in {copies} pictures to plant, with their captions: "
        f"{folder / PLANTED / METADATA}\n"
        f"{len(made.references)} references, never to be planted\n"
        f"manifest: {folder / MANIFEST}\n"
        f"its seal: {made.seal}\n"
        "Keep the seal elsewhere: an audit prints the seal of the manifest that it read."
    )


def _size(text: str) -> tuple[int, int]:
    sides = _numbers("--size", text, "x")
    if len(sides) > 2:
        raise CanaryError(f"--size must be HxW or one side, got {text!r}.")
    return sides[0], sides[-1]


def _numbers(flag: str, text: str, separator: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().split(separator))
    except ValueError as error:
        raise CanaryError(
            f"{flag} must be whole numbers with {separator!r} between, got {text!r}."
        ) from error
