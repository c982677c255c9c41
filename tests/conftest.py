"""Warnings are errors here, and only here: a library's new deprecation must not turn a release gate red."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

# A busy machine is no failure.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
# For mutation runs, where every example counts a thousand times.
settings.register_profile(
    "brief", settings.get_profile("suite"), max_examples=15, derandomize=True, database=None
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("error"), append=False)


# Captions that try to become something else: markup, a link, a column, a line, a colour, a direction.
HOSTILE_CAPTIONS = {
    "newline": "a cat\n\n# PASS\n\n- nothing was found",
    "table": "a | b | c\n|---|---|",
    "backslash pipe": "a \\| b \\\\| c \\",
    "backticks": "``` `a` ``b`` ```",
    "html": '</code></li><script>alert("x")</script><img src=x onerror=alert(1)><!-- ',
    "link": "[PASS](https://example.org) ![x](https://example.org/x.png) https://example.org www.example.org",
    "emphasis": "**PASS** __bold__ *x* ~~gone~~ $x^2$ @someone #1 &lt; &#124;",
    "right to left": "שלום עולם مرحبا بالعالم",
    "override": "a \u202eetad\u202c \u2066b\u2069 \u200bc",
    "emoji": "👩\u200d💻 and 🏳️\u200d🌈",
    "colours": "\x1b[2J\x1b[31mred\x1b[0m \x07 \x00 \x7f \x9b",
    "shell": "$(rm -rf /) `id` ; & > < ' \" * ? ../../etc/passwd",
    "xml": "]]> <![CDATA[ <?xml ?> <!DOCTYPE x [<!ENTITY y 'z'>]> &y;",
    "surrogate": "broken \udcff name",
    "line separators": "a\u2028b\u2029c\x85d\x0be",
    "long": "a very long caption " * 500,
    "spaces": "  ",
    "formula": "=cmd|' /C calc'!A0",
}


@pytest.fixture(params=HOSTILE_CAPTIONS.values(), ids=HOSTILE_CAPTIONS)
def hostile_caption(request: pytest.FixtureRequest) -> str:
    return request.param


OPEN_CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.fixture(scope="session")
def random_open_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small open_clip folder with random weights; tests that change it copy it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("open_clip") / "tiny"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP_CONFIG))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
