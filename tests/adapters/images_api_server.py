"""A real HTTP server of the images API on this machine, which misbehaves as a test tells it to."""

import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

KEY = "sk-test-0123456789-do-not-show"

# Answers a request: the handler, and the fields that it was sent.
Behaviour = Callable[["Handler", dict], None]


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def noise(number: int, side: int = 32) -> np.ndarray:
    """Return the picture that the server draws for its n-th time."""
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def image_bomb() -> bytes:
    """Return a few bytes that claim to be 20,000 x 20,000 pixels."""
    data = bytearray(png(noise(0, side=4)))
    data[16:24] = struct.pack(">2I", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(fields)
        self.server.heads.append((self.path, dict(self.headers)))
        behaviour = self.server.script.pop(0) if self.server.script else self.server.usual
        behaviour(self, fields)

    def do_GET(self) -> None:
        self.server.heads.append((self.path, dict(self.headers)))
        self.server.fetched(self)

    def send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Server(ThreadingHTTPServer):
    """`script`: what the next requests meet, then `usual`; `fetched`: what a GET meets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Behaviour] = []
        self.usual: Behaviour = draw
        self.fetched: Callable[[Handler], None] = lambda handler: handler.send(
            200, png(noise(0)), "image/png"
        )
        self.asked: list[dict] = []
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.drawn = 0
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def model(self, *more: str) -> str:
        """Return the --memex-model that names this server."""
        return "&".join([f"openai+{self.address}/v1?model=pictor", *more])

    def handle_error(self, *_: object) -> None:
        """Print nothing: who asks may hang up."""

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


def give(*pictures: bytes | dict) -> Behaviour:
    """Answer with these pictures, or items as they stand."""

    def behave(handler: Handler, _: dict) -> None:
        items = [p if isinstance(p, dict) else {"b64_json": base64.b64encode(p).decode()} for p in pictures]
        handler.send(200, json.dumps({"created": 0, "data": items}).encode())

    return behave


def draw(handler: Handler, fields: dict) -> None:
    """Answer as asked, each time with other pictures."""
    pictures: Sequence[bytes] = [png(noise(handler.server.drawn + n)) for n in range(fields["n"])]
    handler.server.drawn += fields["n"]
    give(*pictures)(handler, fields)


def draw_by_seed(handler: Handler, fields: dict) -> None:
    """Answer each seed of a prompt with one picture, as a server that takes seeds does."""
    give(png(noise(fields["seed"] + len(fields["prompt"]))))(handler, fields)


def fail(status: int, error: object = None, **headers: str) -> Behaviour:
    """Answer with an error in the form of the images API."""

    def behave(handler: Handler, _: dict) -> None:
        handler.send(status, json.dumps({"error": error or {"message": "no"}}).encode(), **headers)

    return behave


def cut_off(handler: Handler, fields: dict) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"created": 0, "data": [{"b64_json": "iVBOR')
    handler.wfile.flush()
    handler.close_connection = True


def stall(handler: Handler, _: dict) -> None:
    """Say nothing until the test is over."""
    handler.server.released.wait(10)
    handler.close_connection = True


def drip(handler: Handler, _: dict) -> None:
    """Show life now and then, and never end."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        while not handler.server.released.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    except OSError:
        pass
    handler.close_connection = True


def page(handler: Handler, _: dict) -> None:
    """Answer with a page of a proxy."""
    handler.send(200, b"<html>sign in</html>", "text/html; charset=utf-8")
