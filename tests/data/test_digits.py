"""The digits of scikit-learn and their fixed split."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tide.data import load
from tide.data.named import digits
from tide.errors import DataError

MD5 = "72927c3b20c1c396212c8d46da975dc2"


def test_the_split_is_stratified_and_whole():
    splits = load("digits")
    assert (len(splits.train), len(splits.test)) == (1438, 359)
    assert splits.train.images.shape == (1438, 1, 16, 16)
    assert splits.train.images.max() == 255
    train, test = splits.train.labels.bincount(), splits.test.labels.bincount()
    assert ((test / (train + test)) - 0.2).abs().max() < 0.004


def test_the_split_is_the_same_every_time():
    torch.manual_seed(1)
    splits = load("digits")
    torch.manual_seed(2)
    again = load("digits")
    assert torch.equal(splits.test.images, again.test.images)
    parts = (splits.train.images, splits.train.labels, splits.test.images, splits.test.labels)
    assert hashlib.md5(b"".join(part.numpy().tobytes() for part in parts)).hexdigest() == MD5


def test_the_file_holds_what_the_library_reads(monkeypatch):
    from_file = digits._read()
    monkeypatch.setattr(digits, "scikit_learn", lambda: Path("/nowhere"))
    from_library = digits._read()
    for ours, theirs in zip(from_file, from_library, strict=True):
        assert np.array_equal(ours, theirs)


def test_without_the_library_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(digits, "scikit_learn", lambda: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        load("digits")
