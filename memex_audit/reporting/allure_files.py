"""Result -> the files that Allure reads beside its results: environment, categories, executor, metrics."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from memex_audit.explain import percent, percent_beside
from memex_audit.explain_rate import how_bounded, units
from memex_audit.explain_run import protocol_figures
from memex_audit.records import AuditResult, Rate
from memex_audit.reporting.json_report import record_to_dict
from memex_audit.whole_file import write_whole

CONFIG_FILE = "allurerc.mjs"
METRICS_FILE = "memex-perf.json"

# Read as a Java and as a JavaScript expression, in which (?s) is not known.
_ANY = r"[\s\S]*"
# Name, status, and the exception or the tag by which a case is told; the first that fits is taken.
_CATEGORIES: tuple[tuple[str, str | None, str | None, str | None], ...] = (
    ("near miss", None, None, "near miss"),
    ("replica extracted", "failed", "ReplicaExtracted", "extracted"),
    ("rate over the limit", "failed", "RateExceeded", None),
    ("inconclusive", "failed", "AuditInconclusive", None),
    ("control failed", "failed", "ControlFailed", None),
    ("training set duplicated", "failed", "TrainingSetDuplicated", None),
    ("flagged, no training image matched", None, None, "flagged"),
    ("audit broken", "broken", None, None),
)
_HEAD = """\
// Written by memex-audit where no allurerc.mjs was. Build the report from the folder above:
//   npx allure generate --config {folder}/allurerc.mjs {folder}
"""


def write_allure_files(folder: Path, result: AuditResult, ci: Mapping[str, str], *, now: float) -> None:
    """Write what Allure reads beside its results.

    Args:
        folder: Allure's results.
        result: of the run; without provenance there is no environment to write.
        ci: the variables that say which CI job this is.
        now: seconds since 1970, when the run ended.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_environment(folder, result)
    write_categories(folder)
    if executor := executor_of(ci):
        _write_json(folder / "executor.json", executor)
    if metrics := metrics_of(result, now=now):
        _write_json(folder / METRICS_FILE, metrics)


def write_environment(folder: Path, result: AuditResult) -> None:
    """Write environment.properties: the verdict, the rate, and what they were reached with."""
    lines = [f"{_escaped(name, key=True)} = {_escaped(value)}\n" for name, value in environment_of(result)]
    write_whole(folder / "environment.properties", "".join(lines).encode("ascii"))


def environment_of(result: AuditResult) -> Iterator[tuple[str, str]]:
    """Yield the entries of the report's front page; Allure shows the first eight of them at once."""
    yield "verdict", result.verdict.value
    yield from _rate_entries(result.rate)
    yield "near misses", f"{sum(finding.near_miss for finding in result.findings):,}"
    yield from ((f"note {number}", note) for number, note in enumerate(result.notes, 1))
    if result.provenance is None:
        return
    data = record_to_dict(result.provenance)
    settings, versions = data.pop("settings"), data.pop("versions")
    yield "model", str(data.pop("model"))
    if result.calibration:
        yield "thresholds", "calibrated" if result.calibration.calibrated else "uncalibrated"
    if result.protocol:
        yield "protocol", protocol_figures(result.protocol)
    data |= {f"settings.{name}": value for name, value in settings.items()}
    data |= {f"versions.{name}": value for name, value in versions.items()}
    yield from ((name, str(value)) for name, value in data.items() if value is not None)


def _rate_entries(rate: Rate | None) -> Iterator[tuple[str, str]]:
    if rate is None:
        yield "extraction rate", "not computed: no rate case ran"
        return
    yield "extraction rate", f"{rate.extracted_groups:,} of {units(rate, rate.groups)}"
    upper = percent_beside(rate.upper, rate.limit)
    yield "at most", f"{upper}, limit {percent(rate.limit)} ({how_bounded(rate)})"


def write_categories(folder: Path) -> None:
    """Write the categories for Allure 2 (categories.json) and for Allure 3 (allurerc.mjs, if none is there).

    Allure 2 sorts by the message of a failure alone, so near misses, which pass, are no category there.
    """
    old = [_category_of_allure_2(*category) for category in _CATEGORIES if category[1]]
    _write_json(folder / "categories.json", old)
    config = folder / CONFIG_FILE
    if not config.exists():
        write_whole(config, allure_config(folder.name).encode())


def allure_config(folder: str) -> str:
    """Return an allurerc.mjs: categories by label, near misses first, one file, a history for trends."""
    config = {
        "name": "Memorization audit",
        "output": "allure-report",
        "historyPath": "allure-history.jsonl",
        "hideLabels": ["host", "thread", "framework", "language"],
        "categories": [_category_of_allure_3(*category) for category in _CATEGORIES],
        "plugins": {
            "awesome": {
                "options": {"singleFile": True, "groupBy": ["parentSuite"], "defaultSortBy": "name,asc"}
            }
        },
    }
    shown = " ".join(folder.split())
    return f"{_HEAD.format(folder=shown)}export default {json.dumps(config, indent=2)};\n"


def _category_of_allure_2(name: str, status: str | None, exception: str | None, _: str | None) -> object:
    message = {"messageRegex": f"{_ANY}{exception}{_ANY}"} if exception else {}
    return {"name": name, "matchedStatuses": [status], **message}


def _category_of_allure_3(
    name: str, status: str | None, exception: str | None, tag: str | None
) -> dict[str, object]:
    matchers: list[dict[str, object]] = []
    if tag:
        matchers.append({"labels": {"tag": f"^{tag}$"}})
    if exception:
        matchers.append({"statuses": [status], "message": exception})
    elif status:
        matchers.append({"statuses": [status]})
    # Every failure's message names its own prompt: grouped by message, each would be a group.
    return {"name": name, "matchers": matchers, "groupByMessage": False, "expand": True}


def executor_of(ci: Mapping[str, str]) -> dict[str, object] | None:
    """Return what executor.json says of the CI job, or None where there is none."""
    if ci.get("GITHUB_ACTIONS") == "true":
        home = f"{ci.get('GITHUB_SERVER_URL', '')}/{ci.get('GITHUB_REPOSITORY', '')}"
        return {
            "name": "GitHub Actions",
            "type": "github",
            "url": home,
            "buildOrder": _whole(ci.get("GITHUB_RUN_NUMBER")),
            "buildName": f"{ci.get('GITHUB_WORKFLOW', 'run')} #{ci.get('GITHUB_RUN_NUMBER', '')}",
            "buildUrl": f"{home}/actions/runs/{ci.get('GITHUB_RUN_ID', '')}",
        }
    if ci.get("GITLAB_CI") == "true":
        return {
            "name": "GitLab CI",
            "type": "gitlab",
            "url": ci.get("CI_PROJECT_URL", ""),
            "buildOrder": _whole(ci.get("CI_PIPELINE_IID")),
            "buildName": f"{ci.get('CI_JOB_NAME', 'job')} #{ci.get('CI_PIPELINE_IID', '')}",
            "buildUrl": ci.get("CI_JOB_URL", ""),
        }
    return None


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def metrics_of(result: AuditResult, *, now: float) -> list[dict[str, object]]:
    """Return the run's figures as Allure 3 reads them from a file named *-perf.json, for trends.

    Each has an id, a key that stays the same over runs, a value, and start and stop in milliseconds.
    """
    rate = result.rate
    if rate is None or result.provenance is None:
        return []
    evaluations = sum(finding.network_evaluations for finding in result.findings)
    figures: list[tuple[str, str, float, str, str]] = [
        ("extraction_rate", "extraction rate", 100 * rate.extracted_groups / rate.groups, "%", "lower"),
        ("upper_bound", "extraction rate, upper bound", 100 * rate.upper, "%", "lower"),
        ("near_misses", "near misses", rate.near_misses, "", "lower"),
        ("generations", "generations judged", rate.generations, "", "neutral"),
    ]
    if evaluations:  # of a model that can only be asked nobody knows them
        figures.append(("network_evaluations", "network evaluations", evaluations, "", "neutral"))
    start = datetime.fromisoformat(result.provenance.started).timestamp()
    common = {"start": round(1000 * start), "stop": round(1000 * now)}
    group = {"group": "memex", "groupTitle": "Memorization audit"}
    return [
        {"id": f"memex-{key}", "key": f"memex.{key}", "value": round(value, 6), "title": title, "unit": unit,
         "better": better, **common, **group}
        for key, title, value, unit, better in figures
    ]  # fmt: skip


def _write_json(path: Path, data: object) -> None:
    write_whole(path, (json.dumps(data, indent=2) + "\n").encode())


def _escaped(text: str, *, key: bool = False) -> str:
    """Escape for a Java properties file: no value can end its line or begin another entry."""
    special = "\\ :=#!" if key else "\\"
    return "".join(_escaped_character(character, special) for character in text)


def _escaped_character(character: str, special: str) -> str:
    if character in special:
        return "\\" + character
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
