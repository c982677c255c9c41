"""Seeds against SHA-256 written out by hand."""

import hashlib

import pytest

from memex_audit.generation.seeds import image_seed


def by_hand(message):
    """First 63 bits of the digest, read bit by bit from its hexadecimal digits."""
    bits = "".join(f"{int(digit, 16):04b}" for digit in hashlib.sha256(message).hexdigest())
    return int(bits[:63], 2)


@pytest.mark.parametrize(
    ("root", "prompt", "i", "message"),
    [
        (0, "a lighthouse", 0, b"0\x00a lighthouse\x000"),
        (7, "a lighthouse", 15, b"7\x00a lighthouse\x0015"),
        (-1, "", 0, b"-1\x00\x000"),
        (0, "caf\u00e9", 3, b"0\x00caf\xc3\xa9\x003"),
    ],
    ids=["first", "fifteenth", "negative root", "accent"],
)
def test_a_seed_is_the_first_63_bits_of_the_digest(root, prompt, i, message):
    assert image_seed(root, prompt, i) == by_hand(message)


def test_a_published_seed_stays_what_it_is():
    # sha256sum of the 16 bytes 30 00 "a lighthouse" 00 30; stored pictures are lost if this changes.
    digest = hashlib.sha256(bytes.fromhex("30 00 61 20 6c 69 67 68 74 68 6f 75 73 65 00 30")).hexdigest()
    assert digest.startswith("a16320901fdcc1a4")
    assert image_seed(0, "a lighthouse", 0) == 0xA16320901FDCC1A4 >> 1


def test_composed_and_decomposed_accents_are_one_prompt():
    assert image_seed(0, "caf\u00e9", 1) == image_seed(0, "cafe\u0301", 1)


def test_root_prompt_and_number_are_kept_apart():
    seeds = {image_seed(*key) for key in [(0, "1", 1), (0, "11", 1), (0, "1", 11), (1, "1", 1), (0, "", 111)]}
    assert len(seeds) == 5
