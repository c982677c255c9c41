"""Finished runs -> <store>/ledger.sqlite: what was audited, when, with what result.

The process that puts a run's result together writes it, once; pytest-xdist's workers never do. Runs are in
the order in which they were written, whatever the clock said.
"""

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from memex_audit.errors import LedgerError
from memex_audit.ledger_file import damage, is_missing, opened, reason_of, set_aside
from memex_audit.records import AuditResult, prompt_set_digest
from memex_audit.reporting.json_report import plain, record_from_dict, record_to_dict

LEDGER_FILE = "ledger.sqlite"
LATEST = "latest"
ID_BYTES = 4
SHORTEST_PREFIX = 3


# Digest of the sampler settings with the root seed, digest of the prompts.
Draw = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run as a list shows it.

    `rate`: the share of units that were extracted, None where no rate case ran. `prompt_set`: digest of the
    ids of all prompts of the audit set (records.prompt_set_digest), whether or not this run came to all.
    """

    id: str
    model: str
    created: str
    verdict: str
    rate: float | None
    model_fingerprint: str
    settings_digest: str
    prompt_set: str | None


class Ledger:
    """The runs of one store; `note` hears of a ledger that had to be set aside."""

    def __init__(self, store: Path, *, note: Callable[[str], None] = lambda _: None) -> None:
        self.path = store / LEDGER_FILE
        self._note = note

    def record_run(self, result: AuditResult, *, created: str | None = None) -> str:
        """Write a finished run down and return its id.

        Args:
            result: of a run whose provenance is known.
            created: when it was, ISO 8601; default: now.

        Raises:
            LedgerError: it is locked, of a newer version, or cannot be written; nothing of the run is in it.
        """
        if result.provenance is None:
            raise LedgerError("a run must have a provenance to be written down, got none.")
        self._set_aside_if_damaged()
        run_id = secrets.token_hex(ID_BYTES)
        row = _row(result, run_id, created or datetime.now(UTC).isoformat(timespec="seconds"))
        with self._connection(write=True) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            number = connection.execute(_INSERT_RUN, row).lastrowid
            assert number is not None
            connection.executemany(_INSERT_FINDING, _finding_rows(result, number))
        return run_id

    def runs(
        self,
        *,
        model_fingerprint: str | None = None,
        settings_digest: str | None = None,
        prompt_set: str | None = None,
    ) -> tuple[RunSummary, ...]:
        """Return the runs that have these, oldest first; all of them by default.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        wanted = {
            "model_fingerprint": model_fingerprint,
            "settings_digest": settings_digest,
            "prompt_set": prompt_set,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = :{name}" for name in given) or "1"
        if is_missing(self.path):
            return ()
        with self._connection() as connection:
            rows = connection.execute(f"{_SELECT_RUNS} WHERE {where} ORDER BY number", given)
            return tuple(RunSummary(**dict(row)) for row in rows)

    def draws(self, model_fingerprint: str, settings: Mapping[str, object]) -> tuple[Draw, ...]:
        """Return the distinct draws of this model under these sampler settings that a rate was made of.

        A draw is a root seed, which is in the settings' digest, and a set of prompts: runs that repeat one
        have seen nothing new. In the order of their first runs.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        if is_missing(self.path):
            return ()
        with self._connection() as connection:
            rows = connection.execute(_SELECT_DRAWS, {"model_fingerprint": model_fingerprint})
            found = [tuple(row) for row in rows]
        wanted = json.loads(json.dumps(plain(settings)))
        return tuple(dict.fromkeys((d, p) for d, p, used in found if json.loads(used) == wanted))

    def find(self, name: str) -> RunSummary:
        """Return the run of that name: its id or the beginning of it, `latest`, or `latest~N`, N runs before.

        Raises:
            LedgerError: there is none, or more than one.
        """
        runs = self.runs()
        if not runs:
            raise LedgerError(f"{self.path} has no run yet; `pytest audits/` writes one.")
        if name == LATEST or name.startswith(f"{LATEST}~"):
            return _counted_back(runs, name)
        found = [run for run in runs if run.id == name]
        if not found and len(name) >= SHORTEST_PREFIX:
            found = [run for run in runs if run.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        several = f"{len(found)} of its runs begin with it: {', '.join(run.id for run in found[:5])}"
        raise LedgerError(
            f"RUN must name one run of {self.path}, got {name!r}: {several if found else 'it has none'}; "
            f"`memex runs` lists them. {SHORTEST_PREFIX} characters of an id may do, and `{LATEST}` is one."
        )

    def result(self, run_id: str) -> AuditResult:
        """Return a run as it was written down.

        Raises:
            LedgerError: there is none of that id, or it cannot be read.
        """
        with self._connection() as connection:
            row = connection.execute("SELECT number, result FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                raise LedgerError(
                    f"{self.path} must hold run {run_id}, got none of that id; see `memex runs`."
                )
            findings = connection.execute(
                "SELECT record FROM findings WHERE run = ? ORDER BY position", (row["number"],)
            )
            data = json.loads(row["result"])
            data["findings"] = [json.loads(finding["record"]) for finding in findings]
        try:
            return record_from_dict(AuditResult, data)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(
                f"run {run_id} of {self.path} must be a whole result, got {type(error).__name__}: {error}; "
                "it was written by another version of memex-audit."
            ) from error

    @contextmanager
    def _connection(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            with closing(opened(self.path, write=write)) as connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"the ledger {self.path} {reason_of(error)}.") from error

    def _set_aside_if_damaged(self) -> None:
        if is_missing(self.path) or damage(self.path) is None:
            return
        # Of two runs that end at once the second finds a sound ledger here.
        with FileLock(self.path.with_suffix(".lock")):
            if (problem := damage(self.path)) is None:
                return
            try:
                kept = set_aside(self.path)
            except OSError as error:
                raise LedgerError(f"the ledger {self.path} is damaged and {reason_of(error)}.") from error
        self._note(f"the ledger was damaged ({problem}): it is kept as {kept}, and a new one was begun")


def _counted_back(runs: tuple[RunSummary, ...], name: str) -> RunSummary:
    steps = name.removeprefix(LATEST).removeprefix("~") or "0"
    if not steps.isdecimal() or int(steps) >= len(runs):
        raise LedgerError(
            f"RUN must be {LATEST} or {LATEST}~N with N from 0 to {len(runs) - 1}, got {name!r}; "
            "`memex runs` lists them."
        )
    return runs[-1 - int(steps)]


_SELECT_RUNS = (
    "SELECT id, model, created, verdict, rate, model_fingerprint, settings_digest, prompt_set FROM runs"
)
_SELECT_DRAWS = """
SELECT settings_digest, prompt_set, json_extract(result, '$.provenance.settings') FROM runs
WHERE model_fingerprint = :model_fingerprint AND rate IS NOT NULL ORDER BY number
"""
_INSERT_RUN = """
INSERT INTO runs (id, model, created, verdict, rate, model_fingerprint, settings_digest, prompt_set, result)
VALUES (:id, :model, :created, :verdict, :rate, :model_fingerprint, :settings_digest, :prompt_set, :result)
"""
_INSERT_FINDING = """
INSERT INTO findings (run, position, prompt_id, group_id, verdict, generations, clique_size, replicas, record)
VALUES (:run, :position, :prompt_id, :group_id, :verdict, :generations, :clique_size, :replicas, :record)
"""


def _row(result: AuditResult, run_id: str, created: str) -> dict[str, object]:
    provenance, rate = result.provenance, result.rate
    assert provenance is not None
    whole = record_to_dict(replace(result, findings=()))
    del whole["findings"]
    return {
        "id": run_id,
        "model": provenance.model,
        "created": created,
        "verdict": result.verdict.value,
        "rate": rate.extracted_groups / rate.groups if rate and rate.groups else None,
        "model_fingerprint": provenance.model_fingerprint,
        "settings_digest": provenance.settings_digest,
        "prompt_set": provenance.prompt_set or prompt_set_digest(f.prompt_id for f in result.findings),
        "result": json.dumps(whole),
    }


def _finding_rows(result: AuditResult, number: int) -> Iterator[dict[str, object]]:
    for position, finding in enumerate(result.findings):
        record = record_to_dict(finding)
        columns = ("prompt_id", "group_id", "verdict", "generations", "clique_size", "replicas")
        yield {
            "run": number,
            "position": position,
            **{name: record[name] for name in columns},
            "record": json.dumps(record),
        }
