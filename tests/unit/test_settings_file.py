"""A misspelled name in memex.toml is named, never ignored."""

import re

import pytest

from memex_audit.errors import ConfigurationError
from memex_audit.settings_file import read_table


def test_a_folder_without_the_file_or_the_table_has_no_settings(tmp_path):
    assert read_table(tmp_path, "generation") == {}
    (tmp_path / "memex.toml").write_text("[embedder]\nduplicate_similarity = 0.9\n")
    assert read_table(tmp_path, "generation") == {}
    assert read_table(tmp_path, "embedder") == {"duplicate_similarity": 0.9}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[generation\n", "memex.toml must be TOML, got: Expected ']'"),
        (b"# \xff", "memex.toml must be TOML, got: 'utf-8' codec can't decode byte 0xff"),
        (
            b"[generations]\nsteps = 4",
            "tables generation, model, embedder only, got generations; did you mean gener",
        ),
        (
            b"[sampler]\nsteps = 4",
            "memex.toml must have tables generation, model, embedder only, got sampler; take it",
        ),
        (
            b"steps = 4",
            "must have tables generation, model, embedder only, got steps; it belongs into [generation].",
        ),
        (b"generation = 3", "memex.toml generation must be a table, got 3; write [generation] above it."),
        (
            b"[generation]\nstep = 4",
            "batch_size, negative_prompt, scheduler only, got step; did",
        ),
        (
            b"[embedder]\nsize = 4",
            "[embedder] must have duplicate_similarity only, got size; it belongs into [gen",
        ),
        (b"[generation]\nseed = 4", "size, batch_size, negative_prompt, scheduler only, got seed; "),
    ],
)
@pytest.mark.parametrize("table", ["generation", "embedder"])
def test_what_means_nothing_is_named_whichever_table_is_asked_for(tmp_path, text, message, table):
    (tmp_path / "memex.toml").write_bytes(text)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read_table(tmp_path, table)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "memex.toml").write_text("")

    def refuse(path, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "read_text", refuse)
    with pytest.raises(ConfigurationError, match=r"memex\.toml must be TOML, got: .*Permission denied"):
        read_table(tmp_path, "generation")
