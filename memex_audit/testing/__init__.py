"""Contract tests for what is plugged into an audit: a generator, an embedder, an index, a training set.

An audit believes what it is given. A generator that ignores its seed looks like a model that has memorized
everything; an embedder that mixes up its pictures hides what was memorized. Each class here is a set of
pytest tests, a rule each, for one port of `memex_audit.protocols`. Derive a class whose name begins with
`Test`; the object is the fixture that the audit itself would take:

    import pytest
    from memex_audit.testing import GeneratorContract

    @pytest.fixture(scope="module")
    def memex_generator():
        return MyGenerator("weights.safetensors")

    class TestMyGenerator(GeneratorContract):
        pass

Where a conftest.py has `memex_generator` or `memex_embedder` already, the class alone is enough. A rule
that is broken fails one test, whose message says what must be what, and what was found.
"""

from memex_audit.testing.embedder import EmbedderContract
from memex_audit.testing.generator import GeneratorContract
from memex_audit.testing.index import IndexContract
from memex_audit.testing.training_set import TrainingSetContract

__all__ = ["EmbedderContract", "GeneratorContract", "IndexContract", "TrainingSetContract"]
