"""docs/guides/fine-tune.md shows what its script ran; hours of training are not repeated here."""

import importlib.util
import sys
from pathlib import Path

import pytest
from PIL import Image

from memex_audit.specimen import LORA_TRAINING_SET
from memex_audit.specimen.training_rows import near_duplicate, rng

SCRIPTS = Path(__file__).parents[2] / "docs" / "scripts"


@pytest.fixture(scope="module")
def story():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        spec = importlib.util.spec_from_file_location("fine_tune_story", SCRIPTS / "fine_tune_story.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "fine_tune_story", module)
        spec.loader.exec_module(module)
        yield module


def test_the_page_has_each_command_with_what_it_printed(story):
    shown = {found[2]: found[0] for found in story.BLOCK.finditer(story.PAGE.read_text(encoding="utf-8"))}
    assert set(shown) == {"code", *story.COMMANDS}
    for name, command in story.COMMANDS.items():
        assert f"```console\n{command}\n```" in shown[name]
        assert "```text\n" in shown[name]
    assert story.transcript(Path(), "code") in shown["code"]


def test_one_file_is_kept_of_each_group_of_near_copies(story, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    captions = {}
    for path in sorted(LORA_TRAINING_SET.glob("*.png"))[:3]:
        image = Image.open(path).convert("RGB")
        image.save(folder / path.name)
        captions[path.name] = path.stem
        for number in range(2):
            name = f"{path.stem}-{number}.jpg"
            (folder / name).write_bytes(near_duplicate(image, rng("story", path.name, number))[1])
            captions[name] = path.stem
    story.write_captions(folder, captions)
    kept = story.keep_one_of_each(folder, tmp_path)
    sizes = {name: (folder / name).stat().st_size for name in captions}
    largest = {captions[name]: name for name in sorted(captions, key=sizes.get)}
    assert kept == sorted(largest.values())
    assert len(kept) == 3
