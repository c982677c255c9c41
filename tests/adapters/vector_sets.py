"""Unit vectors that tests draw."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def unit_vectors(draw, least=0, most=14):
    """Unit vectors of which some are copies of others, or near them."""
    n, d = draw(st.integers(least, most)), draw(st.sampled_from([2, 3, 16, 65]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = random.standard_normal((n, d))
    for i in range(1, n):
        if draw(st.booleans()):
            reach = draw(st.sampled_from([0, 1e-8, 1e-3, 0.1]))
            vectors[i] = vectors[draw(st.integers(0, i - 1))] + reach * random.standard_normal(d)
    vectors = vectors.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
