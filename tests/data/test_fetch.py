"""Downloads from a loopback server."""

import socket
import sys

import pytest

from tide.data import fetch, load, status

FIRST = "train-images-idx3-ubyte.gz"


def test_fetches_and_then_has_it(tmp_path, tiny_mnist, server):
    server.files = tiny_mnist
    assert dict(status(tmp_path))["mnist"] is None
    assert fetch("mnist", tmp_path, base_url=server.url) == tmp_path / "mnist"
    assert len(load("mnist", tmp_path).train) == 20
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(tiny_mnist)
    assert len(server.asked) == 4
    assert fetch("mnist", tmp_path, base_url=server.url) == tmp_path / "mnist"
    assert len(server.asked) == 4


def test_replaces_only_what_is_missing_or_damaged(tmp_path, tiny_mnist, server):
    server.files = tiny_mnist
    fetch("mnist", tmp_path, base_url=server.url)
    (tmp_path / "mnist" / FIRST).write_bytes(b"damaged")
    server.asked.clear()
    fetch("mnist", tmp_path, base_url=server.url)
    assert server.asked == [(FIRST, None)]
    assert len(load("mnist", tmp_path).train) == 20


def test_resumes_what_an_earlier_run_left(tmp_path, tiny_mnist, server):
    server.files = tiny_mnist
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{FIRST}.part").write_bytes(tiny_mnist[FIRST][:1000])
    fetch("mnist", tmp_path, base_url=server.url)
    assert server.asked[0] == (FIRST, "bytes=1000-")
    assert len(load("mnist", tmp_path).train) == 20


def test_resumes_when_the_server_breaks_off(tmp_path, tiny_mnist, server):
    server.files, server.breaks = tiny_mnist, 2
    fetch("mnist", tmp_path, base_url=server.url)
    ranges = [wanted for name, wanted in server.asked if name == FIRST]
    size = len(tiny_mnist[FIRST])
    assert ranges == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]
    assert len(load("mnist", tmp_path).train) == 20


@pytest.mark.parametrize("left", [b"of another file" * 9, bytes(10**6)])
def test_starts_again_when_the_rest_does_not_fit(left, tmp_path, tiny_mnist, server):
    server.files = tiny_mnist
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{FIRST}.part").write_bytes(left)
    fetch("mnist", tmp_path, base_url=server.url)
    assert len(load("mnist", tmp_path).train) == 20


def test_keeps_no_file_with_a_wrong_checksum(tmp_path, tiny_mnist, server, refuses):
    server.files = tiny_mnist | {FIRST: bytes(len(tiny_mnist[FIRST]))}
    with refuses(FIRST, "md5", "not kept"):
        fetch("mnist", tmp_path, base_url=server.url)
    assert list((tmp_path / "mnist").iterdir()) == []


def test_gives_up_after_three_tries(tmp_path, tiny_mnist, server, refuses):
    with refuses("mnist", "Not Found", FIRST, tmp_path / "mnist"):
        fetch("mnist", tmp_path, base_url=server.url)
    assert server.asked == [(FIRST, None)] * 3


def test_says_what_to_do_without_a_network(tmp_path, tiny_mnist, monkeypatch, refuses):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(sys.modules["tide.data.fetch"], "PAUSE", 0.01)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with refuses("refused", *tiny_mnist, tmp_path / "mnist", "again with a network"):
            fetch("mnist", tmp_path, base_url=url)


def test_takes_only_the_wanted_files_out_of_an_archive(tmp_path, tiny_cifar, server):
    server.files = {"cifar-100-python.tar.gz": tiny_cifar}
    root = tmp_path / "a" / "b"
    folder = fetch("cifar100", root, base_url=f"{server.url}/")
    assert sorted(path.name for path in folder.iterdir()) == ["meta", "test", "train"]
    assert not list(tmp_path.rglob("evil"))
    splits = load("cifar100", root)
    assert splits.train.images.shape == (6, 3, 32, 32)
    assert splits.test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert splits.test.classes == ("apple", "bear", "clock")


def test_an_archive_put_there_by_hand_is_enough(tmp_path, tiny_cifar, server):
    (tmp_path / "cifar100").mkdir()
    (tmp_path / "cifar100" / "cifar-100-python.tar.gz").write_bytes(tiny_cifar)
    fetch("cifar100", tmp_path, base_url=server.url)
    assert server.asked == []
    assert len(load("cifar100", tmp_path).train) == 6


def test_digits_need_no_download(tmp_path):
    assert fetch("digits", tmp_path).name == "sklearn"
    assert list(tmp_path.iterdir()) == []


def test_refuses_impossible_requests(tmp_path, tiny_mnist, refuses):
    with refuses("'minst'", "did you mean 'mnist'?"):
        fetch("minst", tmp_path)
    with refuses("'file:///etc'", "http://"):
        fetch("mnist", tmp_path, base_url="file:///etc")
    (tmp_path / "taken").write_text("a file")
    with refuses(tmp_path / "taken" / "mnist", "choose another"):
        fetch("mnist", tmp_path / "taken")
