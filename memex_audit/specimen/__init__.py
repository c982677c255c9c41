"""The specimen: two small models whose memorized training pictures are known, shipped with the tool.

`duplicated` learned some pictures up to 64 times, `deduplicated` saw each once. A gate that is shown
both has shown that it can fail.
"""

from pathlib import Path

from memex_audit.errors import ConfigurationError

PREFIX = "specimen:"
TWINS = ("duplicated", "deduplicated")
DATA = Path(__file__).parent / "data"
TRAINING_SET = DATA / "training-set.parquet"
LORA = DATA / "lora"
LORA_TRAINING_SET = LORA / "training-set"
HELD_OUT_CAPTIONS = DATA / "held-out-captions.txt"
EMBEDDER = f"local-dir:{DATA / 'embedder'}"


def twin_folder(spec: str) -> Path:
    """Return the folder of `specimen:duplicated` or `specimen:deduplicated`.

    Raises:
        ConfigurationError: there is no such twin.
    """
    name = spec.removeprefix(PREFIX)
    if name not in TWINS:
        raise ConfigurationError(
            f"a specimen must be one of {', '.join(PREFIX + twin for twin in TWINS)}, got {spec!r}."
        )
    return DATA / name
