import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memex_audit.errors import EmbedderError, StoreUnwritable, TrainingSetError
from memex_audit.training_set import mine, open_training_set
from memex_audit.training_set.clip_retrieval import import_clip_retrieval


@pytest.fixture
def write(tmp_path):
    """Write what `clip-retrieval inference` writes, of vectors and image paths in parts."""

    def make(*parts, captions=True, name="clip", dtype=np.float16):
        folder = tmp_path / name
        for kind in ("img_emb", "metadata"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, (vectors, paths) in enumerate(parts):
            np.save(folder / "img_emb" / f"img_emb_{number}.npy", np.asarray(vectors, dtype))
            columns = {"image_path": paths}
            if captions:
                columns["caption"] = [f"imported {path.rpartition('/')[2]}" for path in paths]
            pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{number}.parquet")
        return folder

    return make


@pytest.fixture
def root(folder):
    """Five pictures; 0 and 4 are the same."""
    pictures = {f"{i}.png": i % 4 for i in range(5)}
    return folder({**pictures, **{f"{i}.txt": f"caption {i}" for i in range(5)}})


@pytest.fixture
def embedded(root, embedder):
    """The vectors of the pictures, as another tool made them."""
    return embedder.embed(open_training_set(root).load([f"{i}.png" for i in range(5)]))


@pytest.fixture
def take(root, embedder, tmp_path):
    def take(folder):
        return import_clip_retrieval(
            folder,
            open_training_set(root),
            lambda: embedder,
            embedder_name="pixels",
            cache=tmp_path / "cache",
        )

    return take


def run(location, tmp_path, **options):
    def never():
        pytest.fail("the embedder was loaded")

    settings = {"embedder_name": "pixels", "cache": tmp_path / "cache", "max_prompts": 9, "seed": 0}
    return mine(open_training_set(location), never, **{**settings, **options})


def test_imported_embeddings_are_mined_instead_of_pictures(write, root, embedded, take, tmp_path):
    paths = [f"/elsewhere/set/{i}.png" for i in range(5)]
    found = take(write((embedded[:2], paths[:2]), (embedded[2:], paths[2:])))
    assert (found.n, found.n_without, found.n_unknown) == (5, 0, 0)
    mined = run(root, tmp_path)
    counts = {prompt.text: prompt.duplication_count for prompt in mined.prompts.prompts}
    assert counts == {f"imported {i}.png": 2 if i in (0, 4) else 1 for i in range(5)}
    assert list(mined.load_example_ids()) == [f"{i}.png" for i in range(5)]
    np.testing.assert_allclose(mined.load_embeddings(), embedded, atol=1e-3)
    with pytest.raises(TrainingSetError, match="must not be embedded by pixels yet, got its embeddings in"):
        take(write((embedded, paths)))


def test_rows_of_no_image_and_images_of_no_row_are_counted(write, root, embedded, take, tmp_path):
    paths = ["x/0.png", "x/1.png", "x/another.png", "x/1.png"]
    found = take(write((embedded[[0, 1, 2, 1]], paths)))
    assert (found.n, found.n_without, found.n_unknown) == (2, 3, 2)
    (aside,) = run(root, tmp_path).prompts.set_aside
    assert (aside.what, aside.reason[:24]) == ("3 examples", "no embedding was importe")


def test_more_than_nine_files_are_taken_in_their_order(write, embedded, take):
    paths = [f"{i}.png" for i in range(5)]
    empty = (embedded[:0], [])
    assert take(write((embedded[:1], paths[:1]), *[empty] * 9, (embedded[1:], paths[1:]))).n == 5


def test_keys_of_tars_are_matched_but_one_in_two_tars(write, root, embedded, embedder, tmp_path):
    import tarfile

    for name, numbers in (("00000", (0, 1)), ("00001", (1, 2))):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for i in numbers:
                archive.add(root / f"{i}.png", f"below/{i}.png")
    tars = open_training_set(f"{tmp_path}/*.tar", needs_captions=False)
    folder = write((embedded[:3], [f"below/{i}" for i in range(3)]))
    found = import_clip_retrieval(
        folder, tars, lambda: embedder, embedder_name="pixels", cache=tmp_path / "cache"
    )
    assert (found.n, found.n_without, found.n_unknown) == (2, 2, 1)


def test_embeddings_without_pictures_are_mined_into_prompts_and_match_nothing(write, embedded, tmp_path):
    folder = write((embedded, [f"{i}.png" for i in (0, 1, 2, 3, 0)]))
    mined = run(folder, tmp_path, similarity=0.9)
    assert {p.text: (p.duplication_count, p.example_ids) for p in mined.prompts.prompts} == {
        "imported 0.png": (2, ("0.png", "0.png#2")),
        **{f"imported {i}.png": (1, (f"{i}.png",)) for i in (1, 2, 3)},
    }
    assert run(folder, tmp_path).similarity == 0.95
    training_set = open_training_set(folder)
    for read in (training_set.examples, lambda: training_set.load(["0.png"])):
        with pytest.raises(
            TrainingSetError, match=r"got embeddings and captions alone; mine its prompts with"
        ):
            read()


def test_without_captions_no_prompt_is_made(write, embedded, tmp_path):
    folder = write((embedded, [f"{i}.png" for i in range(5)]), captions=False)
    assert run(folder, tmp_path).prompts.prompts == ()


def test_embeddings_of_another_model_are_refused(write, embedded, take, tmp_path):
    paths = [f"{i}.png" for i in range(5)]
    with pytest.raises(
        EmbedderError, match="must be of 192 dimensions, as those of pixels, got 100; name the"
    ):
        take(write((embedded[:, :100], paths), name="short"))
    with pytest.raises(
        EmbedderError, match=r"must be those of pixels, got a median cosine of -?0\.\d+ to it"
    ):
        take(write((embedded[:, ::-1], paths), name="turned"))
    assert take(write((embedded * 3, paths), name="not normalised", dtype=np.float32)).n == 5


def spoil_row(folder, value):
    path = folder / "img_emb" / "img_emb_0.npy"
    vectors = np.load(path)
    vectors[3] = value
    np.save(path, vectors)


@pytest.mark.parametrize(
    "case",
    [
        (lambda f: spoil_row(f, np.nan), EmbedderError, r"in every row, got norm nan in row 3; run"),
        (lambda f: spoil_row(f, 0), EmbedderError, r"in every row, got norm 0\.0 in row 3; run"),
        (
            lambda f: (f / "metadata" / "metadata_0.parquet").unlink(),
            TrainingSetError,
            r"img_emb_0\.npy must have the metadata of its rows beside it, got no metadata/metadata_0",
        ),
        (
            lambda f: pq.write_table(
                pa.table({"image_path": ["0.png"]}), f / "metadata" / "metadata_0.parquet"
            ),
            TrainingSetError,
            r"metadata_0\.parquet must have a row for each of the 5 embeddings of img_emb_0\.npy, got 1; run",
        ),
        (
            lambda f: pq.write_table(pa.table({"url": list("abcde")}), f / "metadata" / "metadata_0.parquet"),
            TrainingSetError,
            r"must have a column image_path, got columns url; run clip-retrieval inference with --enable_im",
        ),
        (
            lambda f: (f / "metadata" / "metadata_0.parquet").write_bytes(b"x" * 99),
            TrainingSetError,
            "must be a Parquet file, got: .*; copy it again",
        ),
        (
            lambda f: (f / "img_emb" / "img_emb_0.npy").write_bytes(b"x"),
            TrainingSetError,
            "must be an array as NumPy saves it, got: .*; copy it again",
        ),
        (
            lambda f: np.save(f / "img_emb" / "img_emb_0.npy", np.zeros((5, 192), np.int8)),
            EmbedderError,
            r"must hold floats \(n, d\), got int8 \(5, 192\); run",
        ),
    ],
)
def test_what_is_not_as_clip_retrieval_writes_it_is_one_line(write, embedded, take, tmp_path, case):
    spoil, error, message = case
    folder = write((embedded, [f"{i}.png" for i in range(5)]))
    spoil(folder)
    with pytest.raises(error, match=message):
        take(folder)
    assert not list((tmp_path / "cache").rglob("facts.json"))
    with pytest.raises(error, match=message):
        run(folder, tmp_path)


def test_parts_of_two_dimensions_are_refused(write, embedded, take):
    folder = write((embedded[:2], ["0.png", "1.png"]), (embedded[2:, :9], ["2.png", "3.png", "4.png"]))
    with pytest.raises(EmbedderError, match=r"of one dimension, got 192 and then 9 in img_emb_1\.npy; run"):
        take(folder)


def test_a_folder_that_is_none_and_a_set_that_was_not_embedded_are_named(write, embedded, take, tmp_path):
    with pytest.raises(TrainingSetError, match=r"what `clip-retrieval inference` wrote, .*got no img_emb/"):
        take(tmp_path)
    with pytest.raises(
        TrainingSetError, match=r"got none of 2: its first image_path is 'x\.png', the set's first '0\.png'"
    ):
        take(write((embedded[:2], ["x.png", "y.png"])))


def test_a_cache_that_cannot_be_written_is_named(write, embedded, take, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreUnwritable, match="cache must be writable, got File exists"):
        take(write((embedded, [f"{i}.png" for i in range(5)])))
