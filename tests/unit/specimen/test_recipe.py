"""The recipe that made the specimen, on a package of small drawn pictures."""

import io
import json
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from memex_audit.specimen import embedder_evaluation
from memex_audit.specimen.embedder import train_embedder
from memex_audit.specimen.embedder_evaluation import (
    LEAST_CONTRAST,
    Examples,
    cut_photographs,
    draw_pictures,
    draw_scenes,
    evaluate_embedder,
    load_embedder,
    mining_figures,
    split,
    write_readme,
)
from memex_audit.specimen.pictures import read_pictures, select_distinct
from memex_audit.specimen.text import VOCABULARY, build_text_encoder, train_tokenizer
from memex_audit.specimen.training_rows import (
    ORDINARY,
    ORDINARY_ROWS,
    POPULAR,
    POPULAR_ROWS,
    PROBE_COUNTS,
    PROBES,
    SIZE,
    assign_roles,
    near_duplicate,
    render,
    render_rows,
    rng,
)

N = ORDINARY + POPULAR + PROBES + 30
WORDS = ["anchor", "beetle", "candle", "dolphin", "engine", "feather", "garnet", "hammer", "island", "jacket"]


def drawing(seed):
    """A shape of one colour on nothing."""
    random = np.random.default_rng(seed)
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    colour = (*random.integers(0, 256, 3).tolist(), 255)
    corners = [tuple(map(float, corner)) for corner in random.uniform(4, 60, (5, 2))]
    ImageDraw.Draw(image).polygon(corners, fill=colour)
    return image


def entry(i, **changes):
    values = {
        "name": f"{WORDS[i % 10]} {WORDS[i // 10 % 10]} {i}".upper(), "image": f"{i}.png",
        "category": "Objects", "subcategory": "tool", "has_img_google": True,
    }  # fmt: skip
    return values | changes


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    root = tmp_path_factory.mktemp("package")
    folder = root / "img" / "google" / "64"
    folder.mkdir(parents=True)
    for i in range(N):
        drawing(i).save(folder / f"{i}.png")
    entries = [
        *(entry(i) for i in range(N)),
        entry(0, category="Flags", name="A FLAG"),
        entry(0, name="NOT DRAWN", has_img_google=False),
        entry(1, name=entry(0)["name"]),  # a second picture of one name
        entry(2, name="TWELVE O'CLOCK", subcategory="time"),
    ]
    (root / "emoji.json").write_text(json.dumps(entries))
    return root


@pytest.fixture(scope="module")
def pictures(package):
    return read_pictures(package)


@pytest.fixture(scope="module")
def roles(pictures):
    return assign_roles(pictures)[0]


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_pictures_are_read_once_a_name_and_in_the_order_of_names(pictures):
    names = [picture.name for picture in pictures]
    assert names == sorted(set(names))
    assert len(names) == N + 1
    assert "a flag" not in names
    assert "not drawn" not in names
    assert [picture.name for picture in pictures if not picture.trainable] == ["twelve o'clock"]


def test_the_pictures_that_differ_most_are_chosen(pictures):
    flat = [Image.new("RGBA", (64, 64), (grey, grey, grey, 255)) for grey in (0, 4, 128, 251, 255)]
    five = [type(pictures[0])(name=str(i), image=image, trainable=True) for i, image in enumerate(flat)]
    assert [picture.name for picture in select_distinct(five, 3)] == ["0", "2", "4"]


def test_roles_are_given_by_name_and_the_rest_is_held_out(pictures, roles):
    assert Counter(roles.values()) == {"ordinary": ORDINARY, "popular": POPULAR, "probe": PROBES}
    backwards, held_out = assign_roles(pictures[::-1])
    assert set(held_out) == {picture.name for picture in pictures} - set(backwards)
    assert "twelve o'clock" in held_out
    assert assign_roles(pictures)[0] == roles


def test_every_row_is_rendered_by_its_caption_and_number_alone(pictures, roles):
    few = {name: roles[name] for name in [n for n in sorted(roles) if roles[n] != "ordinary"][:9]}
    rows = list(render_rows(pictures, few))
    again = list(render_rows(pictures[::-1], dict(reversed(few.items()))))
    assert rows == again
    assert len({row.id for row in rows}) == len(rows)


def test_a_probe_stands_as_often_as_its_count_says_and_the_others_as_different_pictures(pictures, roles):
    names = [name for name in roles if roles[name] == "probe"][:7]
    names.append(next(name for name in roles if roles[name] == "popular"))
    few = {name: roles[name] for name in names}
    rows = list(render_rows(pictures, few))
    for name, role in few.items():
        own = [row for row in rows if row.caption == name]
        if role == "popular":
            assert len(own) == len({row.image for row in own}) == POPULAR_ROWS
        else:
            (original,) = [row for row in own if row.copy_of is None]
            assert len(own) == original.copies
            assert {row.copy_of for row in own} <= {None, original.id}
    counts = {row.copies for row in rows if row.role == "probe"}
    assert counts == set(PROBE_COUNTS)
    assert ORDINARY_ROWS > 1


def test_a_copy_is_near_its_original_and_made_in_one_of_three_ways():
    original = render(drawing(3), rng("a"))
    kinds = Counter()
    for i in range(60):
        kind, data = near_duplicate(original, rng("copy", i))
        kinds[kind] += 1
        copy = Image.open(io.BytesIO(data))
        assert kind == "resized" or copy.size == (SIZE, SIZE)
        back = np.asarray(copy.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=float)
        difference = np.sqrt(np.square(back - np.asarray(original)).mean()) / 255
        assert difference == 0 if kind == "equal" else difference < 0.15
    assert set(kinds) == {"equal", "jpeg", "resized"}


def test_the_tokenizer_reads_its_captions_whole_and_as_many_tokens_as_it_may():
    captions = [entry(i)["name"].lower() for i in range(300)]
    tokenizer = train_tokenizer(captions)
    assert len(tokenizer) <= VOCABULARY
    for caption in captions[:20]:
        ids = tokenizer(caption)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert ids[-1] == tokenizer.eos_token_id
        # Each digit is a token of its own, as in CLIP.
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == caption.replace(" ", "")
    encoder = build_text_encoder(tokenizer)
    batch = tokenizer(captions[:2], padding="max_length", return_tensors="pt")
    with torch.inference_mode():
        states = encoder(batch["input_ids"]).last_hidden_state
    assert states.shape == (2, tokenizer.model_max_length, encoder.config.hidden_size)


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work") / "embedder"
    train_embedder(pictures[:40], steps=2, seed=0, out=folder)
    (folder / "memex.toml").write_text("[embedder]\nduplicate_similarity = 0.9\n")
    return folder


def test_two_steps_of_training_give_a_folder_that_open_clip_loads(trained):
    vectors = load_embedder(trained)([Image.new("RGB", (40, 30), (i, 100, 200)) for i in (0, 128, 255)])
    assert vectors.shape == (3, 64)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.fixture(scope="module")
def examples(pictures):
    """Three families of rows for each of a few captions, with a copy each, and one row without."""
    captions, images, families = ["alone"], [render(drawing(999), rng("alone"))], ["alone"]
    originals = [0]
    for picture in pictures[:40]:
        for i in range(3):
            family = f"{picture.name}-{i}"
            original = render(picture.image, rng(picture.name, i))
            originals.append(len(images))
            for image in (original, original.resize((SIZE + 1, SIZE + 1))):
                captions.append(picture.name)
                images.append(image.resize((SIZE, SIZE)))
                families.append(family)
    return Examples(
        captions=tuple(captions),
        images=tuple(images),
        families=tuple(families),
        splits=tuple(split(family) for family in families),
        originals=tuple(originals),
    )


def test_mining_is_compared_with_the_truth(examples):
    def perfect(images):
        place = {family: i for i, family in enumerate(dict.fromkeys(examples.families))}
        return np.eye(len(place), dtype=np.float32)[[place[family] for family in examples.families]]

    assert mining_figures(perfect, examples, 0.9)["copy_pairs_found"] == 1
    assert mining_figures(perfect, examples, 0.9)["other_pairs_found_per_million"] == 0
    blind = mining_figures(lambda images: np.ones((len(images), 1), np.float32), examples, 0.9)
    assert blind["other_pairs_found_per_million"] == 1e6


def test_the_evaluation_of_a_folder_is_written_as_a_page(trained, examples, package, tmp_path, monkeypatch):
    monkeypatch.setattr(embedder_evaluation, "N_SCENES", 4)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photographs / "harbour.png")
    figures = evaluate_embedder(trained, examples, pictures=package, photographs=photographs)
    assert figures["duplicate_similarity"] == 0.9
    assert len(figures["sets"]) == 5
    write_readme(figures, tmp_path / "README.md")
    page = (tmp_path / "README.md").read_text()
    assert all(name in page for name in figures["sets"])
    assert "cosine of at least 0.9 are called" in page
    assert page.rstrip().endswith("Photographs: harbour.png")


def test_flat_crops_of_a_photograph_are_left_out(tmp_path):
    photograph = np.full((80, 160, 3), 90, dtype=np.uint8)
    photograph[:, 80:] = np.random.default_rng(0).integers(0, 256, (80, 80, 3))
    Image.fromarray(photograph).save(tmp_path / "sky.png")
    crops, groups = cut_photographs(tmp_path)
    assert len(crops) == 16
    assert set(groups) == {0}
    assert all(np.asarray(crop).std(axis=(0, 1)).mean() >= LEAST_CONTRAST for crop in crops)


def test_pictures_and_scenes_for_the_evaluation_are_held_out(package, examples):
    images, groups = draw_pictures(package, examples)
    assert len(images) == len(groups) > 0
    assert all(image.size == (SIZE, SIZE) for image in images)
    scenes, of_scene = draw_scenes(examples)
    assert len(scenes) == len(of_scene)
    assert len(set(of_scene)) == embedder_evaluation.N_SCENES
