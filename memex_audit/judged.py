"""Findings that were judged before, kept beside the pictures they were judged of.

    findings/<model key>/<settings digest>/<code>.<process>.jsonl

A finding is a function of a prompt, its pictures, the training set, thresholds, and the code and libraries
that judge. It is found again under a digest of all of these, or not at all: what changed is judged anew.
Whoever judges appends to a file of its own, so nothing is locked. A line that is torn, or not as it was
written, is none.
"""

import hashlib
import json
import os
import secrets
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from memex_audit.code_digest import code_digest, is_unchanged
from memex_audit.judging import Judgement
from memex_audit.records import AuditPrompt, Finding, Protocol
from memex_audit.reporting.json_report import plain, record_from_dict, record_to_dict
from memex_audit.whole_file import write_whole

# Findings that a process that is killed may have to judge again.
AT_ONCE = 256
MOST_FILES = 16
# A file of other code may be of a process that still runs.
STALE_SECONDS = 24 * 3600
# Of a prompt itself, and what is added to a judgement afterwards.
NOT_KEPT = ("prompt_id", "prompt", "duplication_count", "group_id", "slice", "screen", "trigger")


class JudgedFindings:
    """The judgements of one model under one set of settings.

    Args:
        folder: where they are kept; it need not be there.
        context: what they depend on beside prompt, protocol and pictures, in types that JSON has.
        state_of: identifies the stored pictures of a prompt's text as they are.
    """

    def __init__(
        self, folder: Path, *, context: Mapping[str, object], state_of: Callable[[str], object]
    ) -> None:
        self._folder = folder
        self._context = _digest([code_digest(), plain(context)])
        self._state_of = state_of
        self._own = folder / f"{code_digest()[:12]}.{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._waiting: list[str] = []
        self._protocols: dict[Protocol, str] = {}

    def recall(
        self, prompts: Sequence[AuditPrompt], protocol_of: Callable[[str], Protocol]
    ) -> dict[str, Judgement]:
        """Return what is known of these prompts, by their ids."""
        files = self._files()
        if not files:
            return {}
        wanted = {self._key(prompt, protocol_of(prompt.prompt_id)): prompt for prompt in prompts}
        found = {}
        for key, text in _lines(files):
            prompt = wanted.get(key)
            if prompt and (judgement := _judgement(prompt, text)):
                found[prompt.prompt_id] = judgement
        if len(files) > MOST_FILES:
            self._merge(files)
        return found

    def keep(self, prompt: AuditPrompt, protocol: Protocol, judgement: Judgement) -> None:
        """Keep a judgement of the pictures that are stored."""
        if key := self._key(prompt, protocol):
            self._waiting.append(_line(key, _text(judgement)))
        if len(self._waiting) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was kept. Where that fails it is judged again, and nothing else is lost."""
        lines, self._waiting = self._waiting, []
        if lines:
            with suppress(OSError):
                if not is_unchanged():
                    return
                self._folder.mkdir(parents=True, exist_ok=True)
                with self._own.open("a", encoding="ascii") as file:
                    file.write("".join(lines))

    def _key(self, prompt: AuditPrompt, protocol: Protocol) -> str | None:
        if protocol not in self._protocols:
            self._protocols[protocol] = _digest(record_to_dict(protocol))
        of_prompt = (
            prompt.prompt_id, prompt.text, prompt.group_id, prompt.duplication_count, prompt.example_ids,
            prompt.slice,
        )  # fmt: skip
        state = self._state_of(prompt.text)
        # Of a prompt without pictures nothing is known.
        return _digest((self._context, self._protocols[protocol], of_prompt, state)) if state else None

    def _files(self) -> list[Path]:
        """Return the files of this code; those of other code are removed once nobody writes to them."""
        own = f"{code_digest()[:12]}."
        files = sorted(self._folder.glob("*.jsonl")) if self._folder.is_dir() else []
        for path in files:
            with suppress(OSError):
                if not path.name.startswith(own) and time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
        return [path for path in files if path.name.startswith(own)]

    def _merge(self, files: Sequence[Path]) -> None:
        """Put many files into one; what others append to theirs meanwhile is judged again at worst."""
        whole = self._own.with_name(f"{self._own.stem}-whole.jsonl")
        lines = dict(_lines(files))
        with suppress(OSError):
            write_whole(whole, "".join(_line(key, text) for key, text in lines.items()).encode("ascii"))
            for path in files:
                path.unlink(missing_ok=True)


def _text(judgement: Judgement) -> str:
    data = record_to_dict(judgement.finding)
    kept: dict[str, Any] = {name: value for name, value in data.items() if name not in NOT_KEPT}
    return json.dumps([kept, plain(judgement.seeds_near)], separators=(",", ":"))


def _judgement(prompt: AuditPrompt, text: str) -> Judgement | None:
    try:
        kept, seeds_near = json.loads(text)
        finding = record_from_dict(
            Finding,
            {
                **kept,
                "prompt_id": prompt.prompt_id,
                "prompt": prompt.text,
                "duplication_count": prompt.duplication_count,
                "group_id": prompt.group_id,
                "slice": prompt.slice,
            },
        )
    except (KeyError, TypeError, ValueError):
        return None
    return Judgement(finding=finding, seeds_near=seeds_near)


def _line(key: str, text: str) -> str:
    return f"{key} {_check(key, text)} {text}\n"


def _lines(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for path in files:
        with suppress(OSError, UnicodeDecodeError), path.open(encoding="ascii") as file:
            for line in file:
                key, _, rest = line.rstrip("\n").partition(" ")
                check, _, text = rest.partition(" ")
                if check == _check(key, text):
                    yield key, text


def _check(key: str, text: str) -> str:
    return f"{zlib.crc32(f'{key} {text}'.encode()):08x}"


def _digest(value: object) -> str:
    """Return SHA-256 over a value as JSON, which tells apart what its parts run into each other would not."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
