"""What a .safetensors file says of itself is read, and is not believed."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from memex_audit.errors import UntrustedModel
from memex_audit.generation.model_folder import find_lora
from memex_audit.generation.safetensors_header import read_header


def weights(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin, end, *, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


LIES = {
    "empty": (b"", "0 bytes, too few for a header"),
    "longer than the file": (weights({}, length=1000), "a header of 1,000 bytes in a file of 10"),
    "of exabytes": (weights({}, length=2**63), "a header of 9,223,372,036,854,775,808 bytes in a file of 10"),
    "no json": (weights(b"{nonsense"), "a header that is no JSON"),
    "no object": (weights(b"[]"), "a header that is no JSON object"),
    "no text": (weights(b"{\xff}"), "a header that is no JSON"),
    "without end": (weights(b'{"a":' * 100_000), "JSON in JSON without end"),
    "twice": (weights(b'{"a": 1, "a": 2}'), "names something twice"),
    "no tensor": (weights({"a": 1}), "tensor 'a' without a dtype"),
    "unknown dtype": (weights({"a": tensor(0, 4, dtype="O")}, b"0000"), "of the unknown dtype 'O'"),
    "negative shape": (weights({"a": tensor(0, 4, shape=(-1,))}, b"0000"), "no counts"),
    "truth as shape": (weights({"a": tensor(0, 4, shape=(True,))}, b"0000"), "no counts"),
    "three offsets": (
        weights({"a": {**tensor(0, 4), "data_offsets": [0, 4, 8]}}, b"0000"),
        "no counts",
    ),
    "offsets out of range": (weights({"a": tensor(0, 8, shape=(2,))}, b"0000"), "in a file that holds 4"),
    "offsets backwards": (weights({"a": tensor(0, 4), "b": tensor(4, 0)}, b"0000"), "tensors overlap"),
    "overlap": (weights({"a": tensor(0, 4), "b": tensor(2, 6)}, b"000000"), "where byte 4 is next"),
    "gap": (weights({"a": tensor(0, 4), "b": tensor(8, 12)}, b"0" * 12), "where byte 4 is next"),
    "dtype does not fit": (weights({"a": tensor(0, 4, dtype="F64")}, b"0000"), "of 4 bytes, its dtype F64"),
    "shape does not fit": (weights({"a": tensor(0, 4, shape=(2**70,))}, b"0000"), "take 4,722,366,482,869"),
    "more behind": (weights({"a": tensor(0, 4)}, b"0000more"), "of 4 bytes in a file that holds 8"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_weights_with_a_lying_header_are_refused(tmp_path, lie):
    data, reason = LIES[lie]
    path = tmp_path / "pytorch_lora_weights.safetensors"
    path.write_bytes(data)
    with pytest.raises(UntrustedModel, match=f"must be whole safetensors, got .*{reason}.*; copy") as caught:
        find_lora(path)
    assert "\n" not in str(caught.value)


def test_a_header_of_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 3 << 30))
        file.truncate(4 << 30)  # takes no room on the disk
    with pytest.raises(UntrustedModel, match=r"header of 3,221,225,472 bytes, the format allows 100,000,000"):
        read_header(path)


def test_a_header_is_read_as_safetensors_wrote_it(tmp_path):
    tensors = {
        "a": torch.zeros(2, 3), "b": torch.zeros(5, dtype=torch.bfloat16), "c": torch.tensor(1),
        "d": torch.zeros(0, 4), "e": torch.zeros(3, dtype=torch.float8_e4m3fn),
    }  # fmt: skip
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = {entry.name: (entry.shape, entry.n_numbers) for entry in read_header(tmp_path / "x.safetensors")}
    assert found == {name: (tuple(value.shape), value.numel()) for name, value in tensors.items()}
