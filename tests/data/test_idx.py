"""The reader of IDX files."""

import gzip
import struct

import numpy as np
import pytest
import torch

from tide.data.named.idx import read_idx


@pytest.mark.parametrize("shape", [(5,), (3, 28, 28)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_what_was_written(shape, pack, tmp_path, idx_bytes):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "some-idx"
    path.write_bytes(pack(idx_bytes(array)))
    read = read_idx(path, "mnist")
    assert read.dtype == torch.uint8
    assert torch.equal(read, torch.from_numpy(array))


WHOLE = struct.pack(">HBBI", 0, 8, 1, 200) + bytes(range(200))
PACKED = gzip.compress(WHOLE)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ("magic is 0x",)),
        (b"\x00\x00\x0d\x01" + WHOLE[4:], ("magic is 0x00000d01", "0x00000801")),
        (WHOLE[:6], ("2 header bytes", "4")),
        (WHOLE[:-3], ("197 data bytes", "200")),
        (WHOLE + b"?", ("201 data bytes", "200")),
        (struct.pack(">HBBI", 0, 8, 1, 0), ("0 data bytes", "at least 1")),
        (PACKED[:-20], ("damaged gzip",)),
        (PACKED[:40] + bytes(20) + PACKED[60:], ("damaged gzip",)),
        (PACKED[:-8] + bytes(8), ("damaged gzip", "CRC")),
    ],
)
def test_refuses_damaged_files(data, parts, tmp_path, refuses):
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(data)
    with refuses(path, *parts, "delete it and run `tide data fetch fashion-mnist`"):
        read_idx(path, "fashion-mnist")


def test_refuses_a_missing_file(tmp_path, refuses):
    with refuses(tmp_path / "nothing", "No such file"):
        read_idx(tmp_path / "nothing", "mnist")
