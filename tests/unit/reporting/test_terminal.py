import io
from dataclasses import replace

import pytest

from memex_audit.config import Settings
from memex_audit.records import AuditPrompt, Frame, PromptSet, RunVerdict, SetAside, Verdict
from memex_audit.reporting.redaction import kind_of_reason
from memex_audit.reporting.terminal import header_lines, wrapped, write_summary


class Screen:
    """What is written, with the markup of each piece."""

    def __init__(self, width):
        self.width = width
        self.pieces = []

    def write(self, content, **markup):
        self.pieces.append((content, {name for name, on in markup.items() if on}))

    def write_sep(self, sep, title, **markup):
        self.write(f" {title} ".center(self.width, sep) + "\n", **markup)

    @property
    def text(self):
        return "".join(content for content, _ in self.pieces)


def shown(result, width=80, **options):
    screen = Screen(width)
    write_summary(screen, result, width=width, **options)
    return screen


def flat(result, **options):
    """Return the summary on one line, so that wrapping does not matter."""
    return " ".join(shown(result, **options).text.split())


def test_the_verdict_comes_first_with_what_it_rests_on_and_then_the_rate(result):
    title, claim, *lines = shown(result, width=100).text.splitlines()
    assert title.strip("= ") == "memex: FAIL"
    assert claim.startswith(" FAIL   1 prompt gives a training image back; the extraction rate may be")
    rate = lines[lines.index("") + 1]
    assert rate.startswith("rate         1 of 320 prompt groups extracted; true rate among prompts like")


@pytest.mark.parametrize(
    ("verdict", "colour"),
    [
        ("pass", "green"),
        ("fail", "red"),
        ("error", "red"),
        ("inconclusive", "yellow"),
        ("incomplete", "yellow"),
    ],
)
def test_the_verdict_stands_out_in_its_colour(result, verdict, colour):
    (title, markup), (badge, inverted), *_ = shown(replace(result, verdict=RunVerdict(verdict))).pieces
    assert colour in markup
    assert badge == f" {verdict.upper()} "
    assert {colour, "invert", "bold"} == inverted
    assert verdict.upper() in title


@pytest.mark.parametrize("verdict", ["inconclusive", "incomplete", "error"])
def test_what_is_no_pass_says_so(result, verdict):
    assert "This is no pass." in flat(replace(result, verdict=RunVerdict(verdict)))


def test_near_misses_stand_before_extracted_prompts(result, finding, near_miss):
    text = shown(replace(result, findings=(finding, near_miss))).text
    assert text.index("\nnear misses") < text.index("\nextracted")


def test_a_finding_is_listed_with_its_figures(result):
    lines = shown(result).text.splitlines()
    (heading,) = [number for number, line in enumerate(lines) if "replicas  clique" in line]
    assert lines[heading - 1].split() == ["extracted", "1", "prompt"]
    assert lines[heading + 1].split(maxsplit=4) == [
        "9/16", "9", "0.031", "64", '"Zebra portrait by Jane Roe"',
    ]  # fmt: skip


def test_at_most_10_of_a_kind_are_listed_and_the_others_counted(result, finding):
    many = replace(result, findings=(finding,) * 23)
    assert shown(many).text.count("9/16") == 10
    assert "and 13 more (-vv lists all)" in flat(many)
    assert shown(many, everything=True).text.count("9/16") == 23


def test_a_quiet_run_shows_the_verdict_the_rate_and_what_next(result):
    labels = {
        line.split()[0] for line in shown(result, brief=True).text.splitlines()[3:] if line[:1].isalpha()
    }
    assert labels == {"rate", "next"}


@pytest.mark.parametrize("width", [62, 80, 200])
def test_lines_stay_within_the_terminal_and_within_100_columns(result, finding, near_miss, width):
    text = shown(replace(result, findings=(finding, near_miss)), width=width, outputs=["a.json"]).text
    assert max(map(len, text.splitlines()[1:])) <= min(width, 100)


def test_a_share_is_not_torn_from_its_percent_sign():
    text = "x" * 16 + " at most 95 % of them"
    assert wrapped(text, 28) == ["xxxxxxxxxxxxxxxx at most", "95 % of them"]


def test_a_path_is_not_torn():
    path = "/" + "long/" * 20
    assert path in wrapped(f"see {path} for more", 30)


def test_what_was_set_aside_is_counted_by_reason(result):
    entries = [SetAside(what=f"{i}.png", reason=f"empty caption of {i}.png") for i in range(3)]
    entries.append(SetAside(what="x.png", reason="cannot be decoded: truncated"))
    text = flat(replace(result, set_aside=tuple(entries)))
    assert (
        "set aside 3 empty caption; 1 cannot be decoded; 2 generations blank, broken or of another size"
        in text
    )


def test_nothing_set_aside_takes_no_line(result, finding):
    assert "set aside" not in flat(replace(result, set_aside=(), findings=(replace(finding, set_aside=0),)))


def test_files_are_named_where_they_were_written(result):
    lines = shown(result, outputs=["a.json", "b.md: NOT WRITTEN, No space left on device"]).text.splitlines()
    assert lines[-2:] == [
        "written      a.json",
        "             b.md: NOT WRITTEN, No space left on device",
    ]


@pytest.mark.parametrize(("verdict", "said"), [("pass", True), ("fail", False), ("error", False)])
def test_a_run_that_may_be_taken_for_a_pass_says_what_a_pass_does_not_prove(result, verdict, said):
    text = flat(replace(result, verdict=RunVerdict(verdict)))
    assert ("not shown prompts unlike these" in text) == said


def test_a_run_that_came_nowhere_is_reported_without_an_invented_number(result):
    bare = replace(
        result, verdict=RunVerdict.ERROR, rate=None, protocol=None, calibration=None, findings=(),
        controls=(), provenance=None,
    )  # fmt: skip
    assert flat(bare, width=100).endswith(
        "rate not computed: no rate case ran next mend what broke and run again; what was drawn is kept"
    )


def test_redacted_lines_hold_neither_caption_nor_example_id(result, finding, near_miss):
    others = tuple(replace(finding, verdict=verdict) for verdict in Verdict)
    text = shown(replace(result, findings=(finding, near_miss, *others)), redact=True).text
    assert "zebra" not in text.lower()
    assert "prompt 0123456789ab" in text


def test_no_line_holds_a_control_character(result, finding):
    hostile = replace(finding, prompt="a\x1b[2J\nverdict: PASS", match=None)
    aside = SetAside(what="x", reason="a\x1b[2Jb")
    text = shown(replace(result, findings=(hostile,), set_aside=(aside,), notes=("a\x1b[2J\nb",))).text
    assert all(line.isprintable() for line in text.split("\n"))


def test_pytests_own_terminal_takes_it_with_and_without_colours(result):
    from _pytest._io import TerminalWriter

    class Reporter:
        def __init__(self, colours):
            self.file = io.StringIO()
            self.writer = TerminalWriter(self.file)
            self.writer.hasmarkup = colours
            self.write = self.writer.write
            self.write_sep = self.writer.sep

    plain, coloured = Reporter(False), Reporter(True)
    for reporter in (plain, coloured):
        write_summary(reporter, result, width=80)
    assert "\x1b[" not in plain.file.getvalue()
    assert "\x1b[31m\x1b[1m\x1b[7m FAIL \x1b[0m" in coloured.file.getvalue()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("picture without a caption: no a-red-cat.txt", "picture without a caption"),
        ("file_name and text must be strings, got 'a' and None", "file_name and text must be strings"),
        ("3 of 5 rows cannot be read: truncated", "3 of 5 rows cannot be read"),
        ("empty caption of a-red-cat.png", "empty caption"),
        (": ", "unknown"),
    ],
)
def test_the_kind_of_a_reason_holds_no_name(reason, kind):
    assert kind_of_reason(reason) == kind


def test_the_header_says_what_is_audited():
    prompts = tuple(
        AuditPrompt(prompt_id=str(i), text="t", group_id=str(i // 2), duplication_count=2) for i in range(4)
    )
    prompt_set = PromptSet(prompts=prompts, frame=Frame(description="all of a\x1b[2J.csv", size=9))
    assert header_lines(Settings(), prompt_set, width=80) == [
        "memex: specimen:deduplicated, protocol default, limit 1 % at 95 % confidence",
        "memex: 4 prompts in 2 groups: all of a\\x1b[2J.csv",
    ]
    assert header_lines(Settings(), None, width=60) == [
        "memex: specimen:deduplicated, protocol default, limit 1 %",
        "at 95 % confidence",
    ]
