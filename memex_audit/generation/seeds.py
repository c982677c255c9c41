"""The seed of a generation: a function of root seed, prompt and number alone."""

import hashlib
import unicodedata


def image_seed(root_seed: int, prompt: str, i: int) -> int:
    """Return the seed of a prompt's `i`-th picture, in [0, 2**63).

    First 63 bits of SHA-256(root seed, 0x00, prompt as NFC UTF-8, 0x00, i): independent of the order of
    prompts, of batches and of workers.

    >>> image_seed(0, "a lighthouse", 0) == image_seed(0, "a lighthouse", 0)
    True
    >>> image_seed(0, "a lighthouse", 0) == image_seed(0, "a lighthouse", 1)
    False
    """
    text = unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(b"%d\x00%b\x00%d" % (root_seed, text, i)).digest()
    return int.from_bytes(digest[:8], "big") >> 1
