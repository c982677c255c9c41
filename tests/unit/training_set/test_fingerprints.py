import hashlib
import os

import pytest

from memex_audit.training_set.fingerprints import content_fingerprint, stat_fingerprint


@pytest.fixture
def root(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(5, 5))
    return tmp_path


def test_the_order_of_the_files_changes_nothing(root):
    assert stat_fingerprint(root, ["a", "b"]) == stat_fingerprint(root, ["b", "a"])
    assert content_fingerprint(root, ["a", "b"]) == content_fingerprint(root, ["b", "a"])


def test_the_stat_fingerprint_is_of_name_size_and_time(root):
    expected = hashlib.sha256(b"a\0001\0005\0b\0001\0005\0").hexdigest()
    assert stat_fingerprint(root, ["a", "b"]) == expected


def test_a_size_alone_changes_the_stat_fingerprint(root):
    before = stat_fingerprint(root, ["a"])
    (root / "a").write_text("longer")
    os.utime(root / "a", ns=(5, 5))
    assert stat_fingerprint(root, ["a"]) != before


def test_contents_that_change_places_change_the_content_fingerprint(root):
    before = content_fingerprint(root, ["a", "b"])
    (root / "a").write_text("b")
    (root / "b").write_text("a")
    assert content_fingerprint(root, ["a", "b"]) != before
