"""--memex-keep, from the command line: less in the store, the same findings."""

import json

import pytest

CAPTIONS = ("copied cat", "copied ship", *(f"clean picture {i}" for i in range(8)))
IMAGES = ("--memex-training-set", "images", "--memex-embedder", "specimen", "--memex-limit", "0.9")
BY_BOUND = ("nearest", "nearest_is_bound")


@pytest.fixture
def audit(project):
    project.captions(*CAPTIONS)

    def run(keep):
        store = project.path / keep
        ran = project.audit(*IMAGES, "--memex-store", str(store), "--memex-keep", keep)
        found = json.loads((project.path / "result.json").read_text())
        units = [path for path in (store / "units").rglob("*") if path.is_file()]
        return ran, found, sum(path.stat().st_size for path in units)

    return run


def exact(finding):
    return {name: value for name, value in finding.items() if name not in BY_BOUND}


def test_what_is_found_is_the_same_whatever_is_kept(audit, project):
    _, everything, all_bytes = audit("all")
    sizes, drawn_again = {}, {}
    for keep in ("evidence", "none"):
        _, found, sizes[keep] = audit(keep)
        assert found["verdict"] == everything["verdict"] == "fail"
        assert [exact(f) for f in found["findings"]] == [exact(f) for f in everything["findings"]]
        for finding, whole in zip(found["findings"], everything["findings"], strict=True):
            assert finding["nearest_is_bound"] is (finding["verdict"] == "not_flagged")
            assert finding["nearest"] <= whole["nearest"]
        before = len(project.drawn)
        _, again, _ = audit(keep)
        assert again["findings"] == found["findings"]
        drawn_again[keep] = {line.partition("\t")[0] for line in project.drawn[before:]}
    assert drawn_again["evidence"] == set()
    assert drawn_again["none"] <= {"copied cat", "copied ship"}
    assert sizes["none"] < sizes["evidence"] < all_bytes


def test_a_generator_that_cannot_draw_a_picture_again_is_refused_before_it_draws(audit, project):
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("seeded = True", "seeded = False"))
    ran, _, _ = audit("evidence")
    assert ran.ret != 0
    ran.stdout.fnmatch_lines(["*--memex-keep evidence with Copier, which says seeded = False*"])
    assert project.drawn == []


def test_a_policy_that_is_none_of_them_is_refused(project):
    run = project.audit("--memex-keep", "evidense")
    run.stderr.fnmatch_lines(["*--memex-keep must be one of all, evidence, none (did you mean evidence[?])*"])
