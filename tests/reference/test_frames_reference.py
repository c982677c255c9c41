"""Bounds of a frame against enumeration: exact in every frame of up to 18 groups."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from memex_audit.rates.frames import hypergeometric_lower, hypergeometric_upper

SIZES = range(1, 19)
CONFIDENCES = (0.5, 0.9, 0.95, 0.99)
TIE = 1e-12  # scipy's own error; no probability of such frames is as near to alpha and not equal to it


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_upper_bound_is_the_largest_count_that_is_not_rejected(confidence):
    for size in SIZES:
        for n in range(1, size + 1):
            for x in range(n + 1):
                counts = np.arange(x, size - n + x + 1)
                kept = counts[hypergeom.cdf(x, size, counts, n) > 1 - confidence + TIE]
                assert hypergeometric_upper(x, n, size, confidence) == kept.max(), (x, n, size)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_lower_bound_is_the_smallest_count_that_is_not_rejected(confidence):
    for size in SIZES:
        for n in range(1, size + 1):
            for x in range(n + 1):
                counts = np.arange(x, size - n + x + 1)
                kept = counts[hypergeom.sf(x - 1, size, counts, n) > 1 - confidence + TIE]
                assert hypergeometric_lower(x, n, size, confidence) == kept.min(), (x, n, size)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_each_bound_covers_every_true_count_with_its_confidence(confidence):
    for size in SIZES:
        for n in range(size + 1):
            seen = np.arange(n + 1)
            upper = np.array([hypergeometric_upper(x, n, size, confidence) for x in seen])
            lower = np.array([hypergeometric_lower(x, n, size, confidence) for x in seen])
            assert (np.diff(upper) > 0).all()
            for true in range(size + 1):
                chance = hypergeom.pmf(seen, size, true, n)
                assert chance[upper >= true].sum() >= confidence - TIE
                assert chance[lower <= true].sum() >= confidence - TIE
