"""Recorded pictures and an endpoint keep the rules that a user's own generator is held to."""

import images_api_server
import pytest

from memex_audit.generation.black_box.api_key import ApiKey
from memex_audit.generation.black_box.asked_pictures import AskedPictures
from memex_audit.generation.black_box.asking import Asking
from memex_audit.generation.black_box.endpoint import parse_endpoint
from memex_audit.generation.black_box.folder_of_images import FolderOfImages
from memex_audit.generation.black_box.images_api import ImagesApi
from memex_audit.generation.black_box.recorded_pictures import read_recorded
from memex_audit.generation.seeds import image_seed
from memex_audit.records import GenerationRequest
from memex_audit.testing import GeneratorContract

PROMPTS = ("a lighthouse in fog", "a red bicycle")


class TestFolderOfImages(GeneratorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def memex_generator(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("recorded")
        rows = [(prompt, f"{i}{n}.png") for i, prompt in enumerate(PROMPTS) for n in range(2)]
        for number, (_, name) in enumerate(rows):
            (folder / name).write_bytes(images_api_server.png(images_api_server.noise(number)))
        lines = "".join(f"{prompt},{name}\n" for prompt, name in rows)
        (folder / "manifest.csv").write_text(f"prompt,file\n{lines}")
        return FolderOfImages(read_recorded(folder), root_seed=0)

    @pytest.fixture
    def requests(self):
        # A folder holds the pictures that an audit numbers, and no others.
        return tuple(
            GenerationRequest(prompt=prompt, seed=image_seed(0, prompt, number))
            for prompt in PROMPTS
            for number in range(2)
        )


class TestImagesApi(GeneratorContract):
    @pytest.fixture(scope="class")
    @classmethod
    def memex_generator(cls, tmp_path_factory):
        server = images_api_server.Server()
        server.usual = images_api_server.draw_by_seed
        endpoint = parse_endpoint(f"{server.address}/v1?model=pictor&seed=1")
        asked = AskedPictures(tmp_path_factory.mktemp("store") / "asked.json")
        yield ImagesApi(endpoint, Asking(endpoint, ApiKey(None, name="NONE"), asked))
        server.close()
