import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memex_audit.errors import TrainingSetError
from memex_audit.records import AuditPrompt, Frame, PromptSet, SetAside
from memex_audit.training_set import prompt_id_of, read_prompt_file, write_prompt_file

CAT, DOG = (
    AuditPrompt(
        prompt_id=prompt_id_of(text), text=text, group_id=group, duplication_count=count, example_ids=ids
    )
    for text, group, count, ids in [("a cat, sitting", "g1", 7, ("x", "y")), ("a dog", "g2", 2, ())]
)


@pytest.fixture
def write(tmp_path):
    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def test_a_prompt_set_comes_back_exactly(tmp_path):
    prompts = PromptSet(
        prompts=(CAT, DOG),
        frame=Frame(description="the 2 most duplicated of 9 caption groups", size=2),
        n_examples=31,
        duplicated_share=1 / 3,
        set_aside=(SetAside(what="a.png", reason="empty file"),),
    )
    write_prompt_file(tmp_path / "prompts.parquet", prompts)
    assert read_prompt_file(tmp_path / "prompts.parquet") == prompts
    assert [path.name for path in tmp_path.iterdir()] == ["prompts.parquet"]


def test_a_prompt_set_without_a_training_set_comes_back_exactly(tmp_path):
    prompts = PromptSet(prompts=(), frame=Frame(description="none", size=None))
    write_prompt_file(tmp_path / "prompts.parquet", prompts)
    assert read_prompt_file(tmp_path / "prompts.parquet") == prompts


def test_a_text_file_holds_one_prompt_a_line(write):
    found = read_prompt_file(write("prompts.txt", "\ufeffa cat, sitting\r\n\n  a dog \n"))
    assert [prompt.text for prompt in found.prompts] == ["a cat, sitting", "a dog"]
    assert [prompt.group_id for prompt in found.prompts] == [prompt.prompt_id for prompt in found.prompts]
    assert [prompt.duplication_count for prompt in found.prompts] == [1, 1]
    assert found.frame == Frame(description="prompts like those of prompts.txt", size=None)
    assert (found.n_examples, found.duplicated_share) == (None, None)


def test_csv_jsonl_and_parquet_say_the_same(write, tmp_path):
    csv = write(
        "p.csv",
        "prompt,group_id,duplication_count,example_id,note\n"
        'a dog,g2,2,,x\n"a cat, sitting",g1,7,x,x\n"a cat, sitting",g1,3,y,x\n',
    )
    rows = [
        {"prompt": "a dog", "group_id": "g2", "duplication_count": 2},
        {"prompt": "a cat, sitting", "group_id": "g1", "duplication_count": 7, "example_ids": ["x", "y"]},
    ]
    jsonl = write("p.jsonl", "\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows[::-1]), tmp_path / "p.parquet")
    for path in (csv, jsonl, tmp_path / "p.parquet"):
        found = read_prompt_file(path)
        assert found.prompts == (CAT, DOG)
        assert found.frame == Frame(description=f"prompts like those of {path.name}", size=None)


def test_the_most_duplicated_come_first_and_ties_keep_the_order_of_the_file(write):
    found = read_prompt_file(write("p.csv", "prompt,duplication_count\nb,1\na,\nc,5\n"))
    assert [prompt.text for prompt in found.prompts] == ["c", "b", "a"]


def test_prompts_of_one_normal_form_are_one(write):
    found = read_prompt_file(write("p.txt", "caf\xe9\ncafe\u0301\n"))
    assert [prompt.text for prompt in found.prompts] == ["caf\xe9"]


def test_an_empty_prompt_is_set_aside(write):
    found = read_prompt_file(write("p.csv", 'prompt,group_id\n" ",a\na cat,b\n'))
    assert [prompt.text for prompt in found.prompts] == ["a cat"]
    assert found.set_aside == (SetAside(what="p.csv line 2", reason="empty prompt"),)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "text\na cat\n", "p.csv must have a column prompt, got columns text; name it"),
        (
            "p.csv",
            "prompt\na cat, sitting\n",
            "p.csv line 2 must be a prompt, got: more fields than columns; quote",
        ),
        (
            "p.csv",
            "prompt,group_id\na cat\n",
            "p.csv line 2 must be a prompt, got: fewer fields than columns.",
        ),
        ("p.csv", "prompt\n", "p.csv must hold a prompt, got none; write one a line"),
        ("p.txt", b"a cat\ncaf\xe9\n", "p.txt line 2 must be a prompt, got: not UTF-8."),
        ("p.jsonl", '{"prompt": "a"}\n{', "p.jsonl line 2 must be a prompt, got: no JSON: Expecting"),
        ("p.jsonl", '{"text": "a"}', "p.jsonl line 1 must be a prompt, got: no prompt."),
        ("p.jsonl", '{"prompt": 3}', "p.jsonl line 1 column prompt must be a text, got 3."),
        (
            "p.csv",
            "prompt,duplication_count\na,many\n",
            "line 2 column duplication_count must be a whole number from 1 up, got 'many'; an image counts",
        ),
        (
            "p.csv",
            "prompt,duplication_count\na,0\n",
            "duplication_count must be a whole number from 1 up, got '0'",
        ),
        ("p.jsonl", '{"prompt": "a", "duplication_count": 2.5}', "a whole number from 1 up, got 2.5"),
        ("p.jsonl", '{"prompt": "a", "duplication_count": true}', "a whole number from 1 up, got True"),
        (
            "p.csv",
            "prompt,example_ids\na,x y\n",
            "column example_ids must be a list of ids, got 'x y'; in CSV use",
        ),
        (
            "p.csv",
            "prompt,group_id\na,g1\na,g2\n",
            "line 3 must have the group_id of the same prompt above, 'g1', got 'g2'; a prompt is in one",
        ),
        (
            "p.jsonl",
            '{"prompt": "a"}\n{"prompt": "a \\ud83d cat"}',
            "line 2 must be a prompt, got: half of a surrogate pair, which is no text",
        ),
        ("p.parquet", b"x" * 50, "p.parquet must be a Parquet file, got: "),
        ("p.xlsx", "", "Prompt file must be one of .csv, .jsonl, .parquet, .txt, got p.xlsx; convert it"),
    ],
)
def test_a_fault_names_its_file_and_line(write, name, content, message):
    with pytest.raises(TrainingSetError, match=re.escape(message)):
        read_prompt_file(write(name, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainingSetError, match=r"Prompt file must exist, got .*nowhere\.csv; check the path"):
        read_prompt_file(tmp_path / "nowhere.csv")


def test_a_parquet_file_without_prompts_or_with_foreign_metadata_is_an_error(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "p.parquet")
    with pytest.raises(
        TrainingSetError, match=r"p\.parquet must have a column prompt, got columns text; rename it"
    ):
        read_prompt_file(tmp_path / "p.parquet")
    table = pa.table({"prompt": ["a"]}).replace_schema_metadata({"memex_audit.prompt_set": "{}"})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(TrainingSetError, match="must have the metadata that memex-audit writes, got others"):
        read_prompt_file(tmp_path / "p.parquet")


def test_other_formats_are_not_written(tmp_path):
    prompts = PromptSet(prompts=(), frame=Frame(description="none", size=None))
    with pytest.raises(
        TrainingSetError, match=r"must be written as \.parquet, got p\.csv; other formats hold no frame"
    ):
        write_prompt_file(tmp_path / "p.csv", prompts)


def test_a_file_that_cannot_be_written_is_named_and_nothing_half_written_stays(tmp_path, monkeypatch):
    prompts = PromptSet(prompts=(), frame=Frame(description="none", size=None))
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingSetError, match=r"file/p\.parquet must be writable, got File exists; write"):
        write_prompt_file(tmp_path / "file" / "p.parquet", prompts)

    def fill_up(table, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fill_up)
    with pytest.raises(TrainingSetError, match=r"p\.parquet must be writable, got No space left on device"):
        write_prompt_file(tmp_path / "p.parquet", prompts)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_prompt_file_names_slices(write, tmp_path):
    found = read_prompt_file(write("p.csv", "prompt,slice\na cat, pets \na dog,\na cat,\na cow,farm\n"))
    assert {prompt.text: prompt.slice for prompt in found.prompts} == {
        "a cat": "pets", "a dog": None, "a cow": "farm",
    }  # fmt: skip
    write_prompt_file(tmp_path / "p.parquet", found)
    assert read_prompt_file(tmp_path / "p.parquet").prompts == found.prompts


def test_a_prompt_is_in_one_slice(write):
    path = write("p.csv", "prompt,slice\na cat,pets\na cat,farm\n")
    message = (
        "line 3 must have the slice of the same prompt above, 'pets', got 'farm'; a prompt is in one slice"
    )
    with pytest.raises(TrainingSetError, match=message):
        read_prompt_file(path)


def test_a_slice_that_is_no_text_is_an_error(write):
    with pytest.raises(TrainingSetError, match="line 1 column slice must be a text, got 7"):
        read_prompt_file(write("p.jsonl", '{"prompt": "a cat", "slice": 7}\n'))
