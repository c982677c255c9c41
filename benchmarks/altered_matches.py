"""How often chance matches a training image that is mirrored or cropped, and what such replicas look like.

`python benchmarks/altered_matches.py --store FOLDER` reads the pictures that benchmarks/full_protocol.py drew
there (the first 16 of each prompt of the duplicated twin) and prints, for the training images as they are
and for each alteration:

- chance: of all pairs of a prompt and another prompt's training image, how many have two of the prompt's 16
  generations within match delta of the image, and how near the second seed comes;
- found: for how many prompts two generations, altered so, match the own training image altered so; and for
  how many they match the image as it is, without looking for the alteration.
"""

from pathlib import Path

import click
import numpy as np
from full_protocol import bench_of, prompts_of

from memex_audit.extraction.altered import ALTERATIONS
from memex_audit.extraction.calibration_file import read_calibration
from memex_audit.extraction.distances import l2_between
from memex_audit.looking import comparable
from memex_audit.specimen import twin_folder

TWIN = "duplicated"
GENERATIONS = 16
SEEDS = 2


@click.command()
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True)
def main(store: Path) -> None:
    """Read the store and print the table."""
    bench = bench_of(TWIN, store)
    matcher, mined = bench.matcher, bench.mined
    assert matcher is not None and mined is not None  # noqa: PT018
    delta = read_calibration(twin_folder(f"specimen:{TWIN}") / "memex-calibration.json").match_delta
    known = {prompt.text: prompt for prompt in mined.prompts.prompts}
    prompts = [known[text] for text in prompts_of(TWIN) if text in known]
    drawn = [comparable(bench.unit_store.read(prompt.text, GENERATIONS))[0] for prompt in prompts]
    # Of near-copies one: they are one image, and would be counted as many.
    ids = [prompt.example_ids[0] for prompt in prompts]
    images = np.stack([matcher.training_image(name, *drawn[0].shape[1:3]) for name in ids])
    print(f"{len(prompts)} prompts, {GENERATIONS} generations, match delta {delta}")
    together, own = np.full((len(prompts), len(ids)), 9.0), np.eye(len(prompts), dtype=bool)
    for name, alter in {"as it is": lambda pixels: pixels, **ALTERATIONS}.items():
        altered = np.stack([alter(image) for image in images])
        second = np.array([np.sort(l2_between(one, altered), axis=0)[SEEDS - 1] for one in drawn])
        found = [
            np.sort(l2_between(np.stack([alter(picture) for picture in one]), altered[row : row + 1])[:, 0])
            for row, one in enumerate(drawn)
        ]
        together = np.minimum(together, second)
        show(name, second[~own], delta)
        plain = [
            np.sort(l2_between(np.stack([alter(picture) for picture in one]), images[row : row + 1])[:, 0])
            for row, one in enumerate(drawn)
        ]
        print(f"  found: {n_within(found, delta)} prompts; as it is: {n_within(plain, delta)}")
    show("any of them", together[~own], delta)


def n_within(distances: list[np.ndarray], delta: float) -> int:
    """Count the prompts of which a second generation lies within match delta."""
    return sum(bool(one[SEEDS - 1] <= delta) for one in distances)


def show(name: str, second: np.ndarray, delta: float) -> None:
    """Print what chance comes to, for pairs of a prompt and another's image."""
    print(
        f"{name}: {int((second <= delta).sum())} of {second.size:,} foreign pairs within; "
        f"least {second.min():.4f}, 0.1 % quantile {np.quantile(second, 0.001):.4f}"
    )


if __name__ == "__main__":
    main()
