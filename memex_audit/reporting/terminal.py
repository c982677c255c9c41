"""Result -> what a terminal shows: the verdict first, then what it rests on, wrapped to its width."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from memex_audit.explain import counted, explain_controls, percent, prompt_name, quoted
from memex_audit.explain_canaries import HEADINGS, canary_rows, explain_canaries
from memex_audit.explain_rate import rate_sentence
from memex_audit.explain_run import (
    explain_calibration,
    explain_verdict,
    next_step,
    not_proven,
    protocol_figures,
)
from memex_audit.explain_slices import (
    SLICE_HEADINGS,
    confidence_of,
    explain_slices,
    slice_rows,
    slices_of,
)
from memex_audit.explain_untargeted import (
    IMAGE_HEADINGS,
    explain_untargeted_threshold,
    image_rows,
    untargeted_sentence,
)
from memex_audit.records import AuditResult, CanaryResult, Finding, RunVerdict, UntargetedResult
from memex_audit.reporting.listing import count_of, listed_findings, set_aside_sentence

if TYPE_CHECKING:
    from memex_audit.config import Settings
    from memex_audit.records import PromptSet

MOST_LISTED = 10
WIDEST = 100  # Longer lines are hard to read, however wide the terminal is.
LABEL = 13
COLUMNS = 36  # of the table of findings, without the prompt
CANARY_COLUMNS = (9, 8, 14, 10, 15)

_COLOURS: dict[RunVerdict, str] = {
    RunVerdict.PASS: "green",
    RunVerdict.FAIL: "red",
    RunVerdict.ERROR: "red",
    RunVerdict.INCONCLUSIVE: "yellow",
    RunVerdict.INCOMPLETE: "yellow",
}


class Writer(Protocol):
    """What is written on: pytest's terminal reporter, which leaves colours out where there is no terminal."""

    def write(self, content: str, **markup: bool) -> None:
        """Write a text in these colours."""
        ...

    def write_sep(self, sep: str, title: str, **markup: bool) -> None:
        """Write a title across the terminal."""
        ...


def header_lines(
    settings: "Settings", prompts: "PromptSet | None", why_none: str | None = None, *, width: int = 80
) -> list[str]:
    """Say what is audited, in lines of the terminal's width; `prompts` None where no case needs them, and
    `why_none` why none is audited."""
    limit = f"limit {percent(settings.limit)} at {percent(settings.confidence)} confidence"
    lora = f" with LoRA {settings.lora.path} at weight {settings.lora.weight:g}" if settings.lora else ""
    tokens = f" with learned tokens {settings.textual_inversion}" if settings.textual_inversion else ""
    said = [f"memex: {settings.model}{tokens}{lora}, protocol {settings.preset}, {limit}"]
    if prompts is not None:
        n, groups = len(prompts.prompts), len({prompt.group_id for prompt in prompts.prompts})
        audited = "1 prompt" if n == 1 else f"{n:,} prompts in {counted(groups, 'group')}"
        frame = f"{audited}: {prompts.frame.description}"
        said.append(f"memex: {quoted(frame, 1000)[1:-1]}")
    if why_none:
        said.append(f"memex: {why_none}")
    return [part for line in said for part in wrapped(line, min(width, WIDEST) - 1)]


def write_summary(
    writer: Writer,
    result: AuditResult,
    *,
    width: int,
    outputs: Sequence[str] = (),
    redact: bool = False,
    brief: bool = False,
    everything: bool = False,
) -> None:
    """Write what a run shows.

    Args:
        writer: where to.
        result: of the run.
        width: of the terminal, in columns.
        outputs: a line for each file that was written, or could not be.
        redact: name prompts by digests.
        brief: the verdict, the rate and the next step only.
        everything: list every prompt, however many.
    """
    colour = {_COLOURS[result.verdict]: True}
    name = result.verdict.value.upper()
    width = min(width, WIDEST) - 1
    writer.write_sep("=", f"memex: {name}", **colour, bold=True)
    writer.write(f" {name} ", **colour, bold=True, invert=True)
    claim = wrapped(explain_verdict(result), width - len(name) - 4)
    indent = "\n" + " " * (len(name) + 4)
    writer.write(f"  {indent.join(claim)}\n", bold=True)
    writer.write("\n")
    most = None if everything else MOST_LISTED
    for label, lines in _rows(result, width, redact=redact, brief=brief, most=most):
        _write_row(writer, label, lines, width)
    _write_row(writer, "written", outputs, width)


def _write_row(writer: Writer, label: str, lines: Sequence[str], width: int) -> None:
    """Write lines beside their label; a line that starts with a space is a table's, and not wrapped."""
    for line in lines:
        for part in [line] if line.startswith(" ") else wrapped(line, width - LABEL):
            writer.write(label.ljust(LABEL), bold=True)
            writer.write(f"{part}\n")
            label = ""


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of at most so many columns, and a share never before its percent sign."""
    lines = textwrap.wrap(
        text.replace(" %", "\xa0%"), max(20, width), break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\xa0%", " %") for line in lines]


def _rows(
    result: AuditResult, width: int, *, redact: bool, brief: bool, most: int | None
) -> Iterator[tuple[str, Sequence[str]]]:
    yield from _gates(result, brief=brief, redact=redact)
    # Of a run that broke before anything was laid out there is no more to say.
    if not brief and result.protocol is not None:
        for name, findings in listed_findings(result.findings):
            yield name, [count_of(findings), *_table(findings, width, most, redact=redact)]
        yield from _slices(result)
        if aside := set_aside_sentence(result):
            yield "set aside", [aside]
        yield "controls", explain_controls(result.controls).splitlines()
        if result.canaries:
            yield "canaries", [explain_canaries(result.canaries), *_canary_table(result.canaries)]
        yield "thresholds", [explain_calibration(result.calibration, len(result.findings))]
        yield "protocol", [protocol_figures(result.protocol)]
        if result.notes:
            yield "notes", [quoted(note, 1000)[1:-1] for note in result.notes]
        if result.verdict not in (RunVerdict.FAIL, RunVerdict.ERROR):
            yield "not shown", [not_proven(result)]
    if step := next_step(result):
        yield "next", [step]


def _gates(result: AuditResult, *, brief: bool, redact: bool) -> Iterator[tuple[str, Sequence[str]]]:
    if result.rate or not result.untargeted:
        yield "rate", [rate_sentence(result.rate) if result.rate else "not computed: no rate case ran"]
    if result.untargeted:
        yield "untargeted", list(_untargeted(result.untargeted, brief=brief, redact=redact))
        if not brief and result.protocol is None:
            yield from _without_prompts(result)


def _without_prompts(result: AuditResult) -> Iterator[tuple[str, Sequence[str]]]:
    if aside := set_aside_sentence(result):
        yield "set aside", [aside]
    yield "controls", explain_controls(result.controls).splitlines()
    if result.notes:
        yield "notes", [quoted(note, 1000)[1:-1] for note in result.notes]
    if result.verdict not in (RunVerdict.FAIL, RunVerdict.ERROR):
        yield "not shown", [not_proven(result)]


def _untargeted(result: UntargetedResult, *, brief: bool, redact: bool) -> Iterator[str]:
    yield untargeted_sentence(result)
    if brief:
        return
    if result.images:
        *names, last = IMAGE_HEADINGS
        for *figures, name in ((*names, last), *image_rows(result, redact=redact)):
            cells = (cell.rjust(len(label)) for cell, label in zip(figures, names, strict=True))
            yield f" {'  '.join(cells)}  {name}"
    yield explain_untargeted_threshold(result.threshold)


def _canary_table(canaries: CanaryResult) -> Iterator[str]:
    for row in (HEADINGS, *canary_rows(canaries)):
        yield " " + "  ".join(cell.rjust(width) for cell, width in zip(row, CANARY_COLUMNS, strict=True))


def _slices(result: AuditResult) -> Iterator[tuple[str, Sequence[str]]]:
    if slices := slices_of(result):
        said = explain_slices(slices, confidence_of(result))
        yield "slices", [said, *_aligned((SLICE_HEADINGS, *slice_rows(slices)))]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        cells = (cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))
        yield f" {name.ljust(widths[0])}  {'  '.join(cells)}"


def _table(findings: Sequence[Finding], width: int, most: int | None, *, redact: bool) -> Iterator[str]:
    room = max(10, width - LABEL - COLUMNS)
    yield " replicas  clique     l2  copies  prompt"
    for finding in findings[:most]:
        near = f"{finding.replicas}/{finding.generations}"
        distance = "-" if finding.nearest is None else f"{finding.nearest:.3f}"
        name = prompt_name(finding, redact=redact, longest=room)
        yield (
            f" {near:>8}  {finding.clique_size or '-':>6}  {distance:>5}  "
            f"{finding.duplication_count:>6,}  {name}"
        )
    if most is not None and len(findings) > most:
        yield f"and {len(findings) - most:,} more (-vv lists all)"
