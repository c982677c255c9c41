"""An HTTP endpoint of the images API as a Generator: prompts out, base64 or addresses of pictures back."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from memex_audit.config import MAX_PIXELS
from memex_audit.errors import GeneratorError
from memex_audit.generation.black_box.asking import Asking, Refused
from memex_audit.generation.black_box.endpoint import Endpoint
from memex_audit.generation.black_box.sending import Unusable
from memex_audit.picture_bytes import decode_picture
from memex_audit.records import REFUSED, Generation, GenerationRequest

# Flags beside an item without a picture by which services say that their filter took it.
FILTER_FLAGS = ("filtered", "nsfw", "has_nsfw_concept", "content_filter_results", "content_filter_result")
FINISH_REASONS = ("content_filtered", "content_filter", "safety")
# A server that takes a seed takes 32 bits of it, and not all take the sign.
SEED_BITS = 31


class ImagesApi:
    """Draws by asking; an answer that is no picture is set aside with its reason.

    Without a seed in its requests an endpoint draws anew each time: what was answered is kept, and a stored
    picture stands for its request.

    Args:
        endpoint: that is asked.
        asking: sends the requests.
        max_pixels: of a picture.
        note: hears what the user should know of the endpoint.
    """

    shareable = True
    device = "elsewhere"
    # The server does not say.
    evaluations_per_image = 0
    # What was paid for is written down before anything else is asked.
    keeps_every_batch = True

    def __init__(
        self,
        endpoint: Endpoint,
        asking: Asking,
        *,
        max_pixels: int = MAX_PIXELS,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.fingerprint = endpoint.fingerprint
        self.seeded = endpoint.seeded
        self.batch_size = endpoint.n
        self.settings: Mapping[str, object] = {
            "kind": "images API",
            "model": endpoint.model,
            "seeds are sent": endpoint.seeded,
            **endpoint.options,
        }
        self._endpoint = endpoint
        self._asking = asking
        self._max_pixels = max_pixels
        self._note = note
        note(
            f"pictures are of what answered as {endpoint.model} at {endpoint.host} when they were asked: "
            "weights and filters behind that name can change without a sign"
        )

    @property
    def pictures_left(self) -> int | None:
        """How many pictures may still be asked; None where there is no end."""
        return self._asking.asked.left

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        """Yield an answer a request; neighbours of one prompt are asked together, up to the endpoint's n."""
        for _, same in groupby(requests, key=lambda request: request.prompt):
            together = list(same)
            for first in range(0, len(together), self._endpoint.n):
                yield from self._ask(together[first : first + self._endpoint.n])

    def _ask(self, requests: Sequence[GenerationRequest]) -> Iterator[Generation]:
        try:
            answer = self._asking.ask(self._fields(requests), len(requests))
            items = self._items(answer)
        except Refused:
            yield from (_without_picture(request, REFUSED) for request in requests)
            return
        except Unusable as error:
            yield from (_without_picture(request, str(error)) for request in requests)
            return
        few = f"the endpoint answered {len(items)} of {len(requests)} pictures"
        for number, request in enumerate(requests):
            item = items[number] if number < len(items) else None
            yield _without_picture(request, few) if item is None else self._picture(request, item)

    def _fields(self, requests: Sequence[GenerationRequest]) -> dict[str, object]:
        fields: dict[str, object] = {
            "model": self._endpoint.model,
            "prompt": requests[0].prompt,
            "n": len(requests),
            **self._endpoint.options,
        }
        if self._endpoint.response_format:
            fields["response_format"] = self._endpoint.response_format
        if self._endpoint.seeded:
            fields["seed"] = requests[0].seed % 2**SEED_BITS
        return fields

    def _items(self, answer: Any) -> list[dict[str, Any]]:
        items = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise GeneratorError(
                f"the endpoint {self._endpoint.host} must answer with a list of pictures under `data`, got "
                "other JSON; check that it is an images API."
            )
        return items

    def _picture(self, request: GenerationRequest, item: Mapping[str, Any]) -> Generation:
        if item.get("revised_prompt") and item["revised_prompt"] != request.prompt:
            self._note(
                f"{self._endpoint.host} rewrites prompts before it draws: its pictures are of its own words, "
                "and say less of the prompts that were asked"
            )
        try:
            data = self._bytes(item)
            pixels = decode_picture(data, max_pixels=self._max_pixels)
        except Refused:
            return _without_picture(request, REFUSED)
        except (Unusable, ValueError) as error:
            return _without_picture(request, str(error))
        return Generation(request=request, pixels=pixels)

    def _bytes(self, item: Mapping[str, Any]) -> bytes:
        encoded, url = item.get("b64_json"), item.get("url")
        if isinstance(encoded, str) and encoded:
            try:
                return base64.b64decode(encoded.partition(",")[2] if encoded.startswith("data:") else encoded)
            except (binascii.Error, ValueError):
                raise Unusable("the answer's base64 is broken") from None
        if isinstance(url, str) and url:
            return self._asking.fetch(url)
        if any(item.get(flag) for flag in FILTER_FLAGS):
            raise Refused
        if str(item.get("finish_reason", "")).lower() in FINISH_REASONS:
            raise Refused
        raise Unusable("the answer has no picture")


def _without_picture(request: GenerationRequest, reason: str) -> Generation:
    return Generation(request=request, pixels=None, reason=reason)
