"""Draw the two figures of a run into docs/assets, from its JSON.

pytest audits/ --memex-model specimen:duplicated --memex-json result.json
python docs/scripts/report_figures.py result.json
"""

import sys
from pathlib import Path

from memex_audit.reporting.charts import distance_histogram, rate_by_duplication
from memex_audit.reporting.json_report import read_result

ASSETS = Path(__file__).parents[1] / "assets"
CONFIDENCE = 0.95


def main(result_file: str) -> None:
    """Write both figures."""
    result = read_result(Path(result_file))
    if result.protocol is None:
        raise SystemExit(f"{result_file} must be of a run that audited prompts; run a whole audit.")
    histogram = distance_histogram(result.findings, match_delta=result.protocol.match_delta)
    (ASSETS / "report-distances.svg").write_text(histogram)
    (ASSETS / "report-rate.svg").write_text(rate_by_duplication(result.findings, confidence=CONFIDENCE))


if __name__ == "__main__":
    main(*sys.argv[1:])
