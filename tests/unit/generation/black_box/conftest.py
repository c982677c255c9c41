"""A server that misbehaves, and an endpoint that asks it without waiting."""

import images_api_server
import pytest

from memex_audit.generation.black_box.api_key import ApiKey
from memex_audit.generation.black_box.asked_pictures import AskedPictures
from memex_audit.generation.black_box.asking import Asking
from memex_audit.generation.black_box.endpoint import parse_endpoint
from memex_audit.generation.black_box.images_api import ImagesApi
from memex_audit.records import GenerationRequest


@pytest.fixture
def server():
    server = images_api_server.Server()
    yield server
    server.close()


class Client:
    """Asks the server for pictures; what it would have waited stands in `waits`."""

    def __init__(self, server, folder):
        self._server, self._folder = server, folder
        self.waits: list[float] = []
        self.notes: list[str] = []
        self.now = 1_800_000_000.0

    def api(self, query="", *, key=images_api_server.KEY, timeout_s=5.0, most=None, **options):
        endpoint = parse_endpoint(f"{self._server.address}/v1?model=pictor{query}")
        asked = AskedPictures(self._folder / "asked.json", most=most, sleep=self.waits.append)
        asking = Asking(
            endpoint, ApiKey(key, name="OPENAI_API_KEY"), asked, timeout_s=timeout_s, sleep=self.waits.append,
            jitter=lambda most: most, now=lambda: self.now,
        )  # fmt: skip
        return ImagesApi(endpoint, asking, note=self.notes.append, **options)

    def ask(self, n=1, query="", prompt="a lighthouse", **options):
        """Return the answers to n requests of one prompt."""
        requests = [GenerationRequest(prompt=prompt, seed=seed) for seed in range(n)]
        return list(self.api(query, **options).generate(requests))


@pytest.fixture
def client(server, tmp_path):
    return Client(server, tmp_path)
