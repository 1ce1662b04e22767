"""Data by kind: what each kind has, how it is named in short, and what earlier versions wrote of it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tide.config import Config, DataSettings, DrawnConfig, FolderConfig, HubConfig, NamedDataConfig, data_config
from tide.config.io import from_dict, to_dict
from tide.config.run import NamedSet
from tide.data import names
from tide.errors import ConfigError
from tide.models.presets import preset

ONE_OF_EACH = {
    "cifar10": NamedDataConfig(name="cifar10"),
    "folder:a/b:c": FolderConfig(name="a/b:c"),
    "hub:owner/name@main": HubConfig(name="owner/name@main"),
    "rises": DrawnConfig(name="rises"),
}


@pytest.mark.parametrize(("text", "data"), ONE_OF_EACH.items())
def test_the_name_in_short_is_read_and_written_in_one_place(text: str, data: DataSettings) -> None:
    assert data_config(text) == data
    assert data.title == text
    assert from_dict(Config, {"data": {"name": text}}).data == data
    assert from_dict(Config, to_dict(preset("digits", data=to_dict(data)))).data == data


def test_every_named_set_is_known_to_the_settings() -> None:
    assert get_args(NamedSet) == names()


@pytest.mark.parametrize("named", [{"name": "hub:/parquet"}, {"kind": "hub", "name": "/parquet"}])
def test_a_shuffle_buffer_of_an_earlier_version_is_left_out_and_said_where_it_did_something(
    named: dict[str, Any], recwarn: pytest.WarningsRecorder
) -> None:
    assert from_dict(Config, {"data": {**named, "shuffle_buffer": 0}}).data == HubConfig(name="/parquet")
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"data\.shuffle_buffer is no longer a setting") as caught:
        assert from_dict(Config, {"data": {**named, "shuffle_buffer": 9}}).data == HubConfig(name="/parquet")
    assert "\n" not in str(caught[0].message)


def test_named_in_short_data_keep_what_their_kind_shares_with_the_base() -> None:
    def over(task: str, /, **data: Any) -> DataSettings:
        return preset(task, data=data).data

    photos = FolderConfig(name="mine", photos="streamed", flip=True, validation=0.1)
    assert over("photos", name="folder:mine") == photos
    assert over("photos", name="hub:mine") == HubConfig(name="mine", flip=True, validation=0.1)
    assert over("cifar10", name="folder:mine") == FolderConfig(name="mine", flip=True, crop_padding=4)
    assert over("cifar10", kind="folder", name="mine") == FolderConfig(name="mine")  # as every section given by kind
    assert over("cifar10", flip=False) == NamedDataConfig(name="cifar10", crop_padding=4)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "mnist", "photos": "streamed"}, r"unknown setting 'data\.photos'"),
        ({"name": "parity", "flip": True}, r"unknown setting 'data\.flip'; known: kind, name, validation"),
        ({"kind": "hub", "crop_padding": 2}, r"unknown setting 'data\.crop_padding'"),
        ({"kind": "named", "name": "mnst"}, r"data\.name must be one of .*, got 'mnst'; did you mean 'mnist'\?"),
        ({"kind": "fodler"}, r"data\.kind must be a known one, got 'fodler'; did you mean 'folder'\?"),
        ({"kind": "folder", "name": "folder:x"}, r"data\.name must be the place alone, got 'folder:x'"),
        ({"name": "folder:"}, r"data\.name must not be empty"),
        (
            {"name": "folder:x", "photos": "streamed", "crop_padding": 4},
            r"data\.crop_padding must be 0 for streamed photos, got 4",
        ),
        ({"name": "folder:x", "unreadable_limit": -1}, r"data\.unreadable_limit must be at least 0, got -1"),
        ({"validation": 1.5}, r"data\.validation must be a whole number of images or a share below 1, got 1\.5"),
    ],
)
def test_what_a_kind_has_not_is_refused_in_one_line(data: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        from_dict(Config, {"data": data})
    assert "\n" not in str(caught.value)
