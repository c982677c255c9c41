"""The figure of the screens: what is found, at how many false alarms."""

import re
from itertools import pairwise

from memex_audit.rates.roc import roc_curve
from memex_audit.specimen.screen_roc import draw_roc, found_at

NEGATIVES = [float(n) for n in range(200)]


def test_the_most_sensitive_threshold_within_the_false_alarms_is_taken():
    curve = roc_curve([250.0, 198.5, 197.5, 10.0], NEGATIVES)
    assert [found_at(curve, flagged) for flagged in (0, 1, 2, 200)] == [1, 2, 3, 4]


def test_the_figure_says_in_words_what_it_draws():
    drawn = draw_roc({"anisotropy": ([250.0, 198.5, 197.5, 10.0], NEGATIVES)}, said="a < b")
    assert "a &lt; b. anisotropy: 3 of 4 at 1 % of 200 negatives." in drawn
    assert drawn.count("<circle") == 3
    assert len(drawn) < 10_000


def test_curves_never_leave_their_panel_nor_go_down():
    drawn = draw_roc({"one": ([3.0, 1.0, 0.5], [2.0, 1.0, 0.0])}, said="three of each")
    lines = re.findall(r'memex-interval" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', drawn)
    points = [tuple(map(float, line)) for line in lines]
    assert all(x2 >= x1 and y2 <= y1 for x1, y1, x2, y2 in points)
    assert all((a[2], a[3]) == (b[0], b[1]) for a, b in pairwise(points))
    assert (points[-1][2], points[-1][3]) == (248.0, 96.0)
