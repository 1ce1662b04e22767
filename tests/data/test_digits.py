"""The digits of scikit-learn and their fixed split."""

import hashlib

import torch

from tide.data import load

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
