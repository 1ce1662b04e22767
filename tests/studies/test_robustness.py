"""Suites of shifted images and what is said of answers made up by hand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tide.corruptions import CORRUPTIONS, EXTRA, MNIST_C
from tide.data import ImageSet
from tide.errors import CheckpointError, DataError, InputError
from tide.evaluate.answers import collect_answers
from tide.models.saved import write_model
from tide.studies.robustness import CLEAN, Asked, CellAnswers, Shift, Suite, ask, from_folder, generated
from tide.studies.robustness_report import markdown, paired_difference, rising, robustness

NAMES = ("cat", "dog", "eel", "elk")


@pytest.fixture
def clean() -> ImageSet:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(256, (8, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(8) % 4, NAMES)


def cell(right: list[bool], *, positions: list[int] | None = None) -> CellAnswers:
    """Answers with a certainty of 0.5 that are right where it says so."""
    n = len(right)
    half = torch.full((n,), 0.5)
    return CellAnswers(
        positions=torch.tensor(positions if positions is not None else list(range(n))),
        label=torch.zeros(n, dtype=torch.long),
        answer=torch.tensor([0 if yes else 1 for yes in right]),
        certainty=half,
        confidence=half,
        ticks=torch.full((n,), 3),
        ratio=None,
    )


def test_generated_shifts_are_all_corruptions_and_parts_are_those_of_the_whole(clean: ImageSet) -> None:
    suite = generated(clean, seed=1)
    assert len(suite.shifts) == 26 * 5  # saturation is nothing to grey images
    assert suite.groups == {
        "15 corruptions": CORRUPTIONS,
        "extra": [name for name in EXTRA if name != "saturate"],
        "MNIST-C": list(MNIST_C),
    }
    colour = ImageSet(clean.images.expand(-1, 3, -1, -1), clean.labels, NAMES)
    assert len(generated(colour, seed=1).shifts) == 27 * 5
    small = generated(ImageSet(clean.images[..., :8, :8], clean.labels, NAMES), seed=1)
    assert small.groups["MNIST-C"] == ["shear", "rotate", "scale", "stripe"]  # the others need 16 pixels
    assert small.images(Shift("shear", 5), None).shape == (1, 8, 8)
    shift = Shift("gaussian_noise", 3)
    whole, part = suite.images(shift, None), suite.images(shift, torch.tensor([5, 2]))
    assert torch.equal(part.images, whole.select(torch.tensor([5, 2])).images)
    assert part.labels.tolist() == [1, 2]
    other = generated(clean, seed=2).images(shift, None)
    assert not torch.equal(whole.images, other.images)


@pytest.mark.parametrize("layout", ["imagenet-c", "imagenet-r"])
def test_published_photos_are_read_from_their_layout(tmp_path: Path, clean: ImageSet, layout: str) -> None:
    files = {
        "imagenet-c": [
            f"{name}/{level}/{label}/{label}.JPEG" for name in ("fog", "snow") for level in (1, 5) for label in NAMES
        ],
        "imagenet-r": [
            f"{label}/{kind}_{number}.jpg" for label in NAMES[1:3] for kind in ("art", "toy") for number in (0, 1)
        ],
    }
    for file in files[layout]:
        path = tmp_path / layout / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((10, 10), 50 * NAMES.index(path.parent.name), dtype=np.uint8)).save(path)
    suite = from_folder(tmp_path / layout, NAMES, 8, 1, lambda: clean)
    if layout == "imagenet-c":
        assert suite.shifts == tuple(Shift(name, level) for name in ("fog", "snow") for level in (1, 5))
        assert suite.groups == {}  # two of fifteen are no published mean
        found = suite.images(Shift("snow", 5), torch.tensor([3]))
        assert (found.labels.tolist(), found.images.unique().tolist()) == ([3], [150])
    else:
        assert suite.clean is None
        assert suite.shifts == (Shift("art", None), Shift("toy", None))
        assert suite.images(Shift("toy", None), None).labels.tolist() == [1, 1, 2, 2]


def test_a_folder_without_a_shifted_set_is_refused(tmp_path: Path, clean: ImageSet) -> None:
    with pytest.raises(DataError, match="must hold a shifted test set") as caught:
        from_folder(tmp_path, NAMES, 8, 1, lambda: clean)
    assert "\n" not in str(caught.value)


def test_cells_are_kept_and_never_asked_twice(tiny_model, tmp_path: Path) -> None:
    model = tiny_model(torch.float32).eval()
    images = torch.randint(256, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    clean = ImageSet(images, torch.arange(5) % 4, NAMES)
    made: list[Shift] = []

    def darker(shift: Shift, positions: torch.Tensor | None) -> ImageSet:
        made.append(shift)
        return ImageSet(clean.images // (1 + (shift.severity or 0)), clean.labels, NAMES)

    suite = Suite("dark", clean, (Shift("dark", 1), Shift("dark", 2)), darker)
    (tmp_path / "weights").mkdir()
    write_model(tmp_path / "weights", model.config, model.state_dict())
    asked = [Asked(name, model, tmp_path / "weights") for name in ("one", "two")]
    first = ask(asked, suite, tmp_path / "out", {"images": 5}, batch=2)
    assert made == [Shift("dark", 1), Shift("dark", 2)]  # once for both models
    expected = collect_answers(model, darker(Shift("dark", 2), None))
    found = first["two"][Shift("dark", 2)]
    assert torch.equal(found.answer, expected.at_most_certain(expected.predicted))
    assert torch.equal(found.positions, torch.arange(5))
    for image, ticks in enumerate(found.ticks.tolist()):
        sure = [tick + 1 for tick, value in enumerate(expected.certainty[image].tolist()) if value >= 0.9]
        assert ticks == (sure[0] if sure else 4)
    made.clear()
    (tmp_path / "out" / "cells" / "one" / "dark-2.safetensors").unlink()
    again = ask(asked, suite, tmp_path / "out", {"images": 5}, batch=2)
    assert made == [Shift("dark", 2)]
    assert torch.equal(again["one"][Shift("dark", 2)].confidence, first["one"][Shift("dark", 2)].confidence)
    with pytest.raises(CheckpointError, match="other settings or models"):
        ask(asked, suite, tmp_path / "out", {"images": 6})
    (tmp_path / "out" / "cells" / "one" / "clean.safetensors").write_bytes(b"0")
    with pytest.raises(CheckpointError, match="remove it and it is measured again"):
        ask(asked, suite, tmp_path / "out", {"images": 5})


def test_answers_from_before_a_group_was_added_are_kept_and_only_the_new_ones_asked(tiny_model, tmp_path: Path) -> None:
    model = tiny_model(torch.float32).eval()
    images = torch.randint(256, (3, 1, 9, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    suite = generated(ImageSet(images, torch.arange(3), NAMES), seed=0)
    (tmp_path / "weights").mkdir()
    write_model(tmp_path / "weights", model.config, model.state_dict())
    asked = [Asked("one", model, tmp_path / "weights")]
    before = tuple(shift for shift in suite.shifts if shift.name not in MNIST_C)
    earlier = ask(asked, replace(suite, shifts=before), tmp_path, {"images": 3})["one"]
    told: list[str] = []
    ask(asked, suite, tmp_path, {"images": 3}, progress=lambda what, done, total: told.append(what))
    new = [shift for shift in suite.shifts if shift.name in MNIST_C]
    assert told == [f"{shift.label}, one" for shift in new]
    assert earlier.keys() == {CLEAN, *suite.shifts} - set(new)


def test_cells_written_before_there_were_restricted_answers_are_read_as_they_are(tiny_model, tmp_path: Path) -> None:
    model = tiny_model(torch.float32).eval()
    (tmp_path / "weights").mkdir()
    write_model(tmp_path / "weights", model.config, model.state_dict())
    digest = hashlib.blake2b((tmp_path / "weights" / "model.safetensors").read_bytes(), digest_size=16).hexdigest()
    settings = {"suite": "corruptions", "images": 2, "seed": 0, "checkpoint": "last"}
    kept = tmp_path / "out" / "cells" / "one" / "fog-1.safetensors"
    kept.parent.mkdir(parents=True)
    text = json.dumps({**settings, "weights": {"one": digest}}, indent=2, sort_keys=True) + "\n"
    (tmp_path / "out" / "settings.json").write_text(text)
    columns = {name: getattr(cell([True, False]), name) for name in ("positions", "label", "answer", "ticks")}
    save_file(columns | {name: torch.full((2,), 0.5) for name in ("certainty", "confidence", "ratio")}, kept)
    asked = [Asked("one", model, tmp_path / "weights")]
    suite = Suite("corruptions", None, (Shift("fog", 1),), None)  # type: ignore[arg-type]
    before = kept.read_bytes()
    found = ask(asked, suite, tmp_path / "out", settings)["one"][Shift("fog", 1)]
    assert (found.correct.tolist(), found.restricted) == ([True, False], None)
    noted = {**json.loads(text), "statistics": "training"}
    assert (kept.read_bytes(), json.loads((tmp_path / "out" / "settings.json").read_text())) == (before, noted)
    # Nor were the data noted: they are now, and compared from then on.
    ask(asked, replace(suite, checksum=10), tmp_path / "out", settings)
    assert json.loads((tmp_path / "out" / "settings.json").read_text()) == {**noted, "data": "0000000a"}
    ask(asked, replace(suite, checksum=10), tmp_path / "out", settings)
    with pytest.raises(CheckpointError, match="data '0000000a', not '0000000b'"):
        ask(asked, replace(suite, checksum=11), tmp_path / "out", settings)
    with pytest.raises(CheckpointError, match="statistics 'training', not 'batches of 2'"):
        ask(asked, suite, tmp_path / "out", settings, batch=2, batch_statistics=True)
    # Only a suite of a part of the classes asks again, for what is missing.
    images = ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([1, 2]), NAMES)
    part = Suite("corruptions", None, suite.shifts, lambda shift, positions: images, classes=torch.tensor([1, 2]))
    again = ask(asked, part, tmp_path / "out", settings)["one"][Shift("fog", 1)]
    assert set(again.among_classes().answer.tolist()) <= {1, 2}


def test_models_may_be_added_to_those_of_a_folder(tiny_model, tmp_path: Path) -> None:
    model = tiny_model(torch.float32).eval()
    images = ImageSet(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.arange(3), NAMES)
    suite = Suite("dark", None, (Shift("dark", 1),), lambda shift, positions: images)
    asked = {}
    for name, gain in (("a", 0), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        state = {key: value + gain if value.is_floating_point() else value for key, value in model.state_dict().items()}
        write_model(tmp_path / name, model.config, state)
        asked[name] = Asked(name, model, tmp_path / name)
    out, kept = tmp_path / "out", tmp_path / "out" / "cells" / "a" / "dark-1.safetensors"
    ask([asked["a"]], suite, out, {"images": 3})
    before = kept.stat().st_mtime_ns
    assert list(ask([asked["a"], asked["b"]], suite, out, {"images": 3})) == ["a", "b"]
    assert list(ask([asked["b"]], suite, out, {"images": 3})) == ["b"]
    assert kept.stat().st_mtime_ns == before
    assert list(json.loads((out / "settings.json").read_text())["weights"]) == ["a", "b"]
    with pytest.raises(CheckpointError, match="other weights of a"):
        ask([replace(asked["c"], name="a")], suite, out, {"images": 3})
    with pytest.raises(CheckpointError, match="images 3, not 4"):
        ask([asked["c"]], suite, out, {"images": 4})
    assert list(json.loads((out / "settings.json").read_text())["weights"]) == ["a", "b"]
    (out / "settings.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        ask([asked["a"]], suite, out, {"images": 3})
    assert "\n" not in str(caught.value)


def test_a_suite_of_some_classes_is_held_against_clean_images_of_these(
    tiny_model, tmp_path: Path, clean: ImageSet
) -> None:
    for shift in ("fog/1", "fog/5"):
        for label in NAMES[1:3]:
            (tmp_path / "some-c" / shift / label).mkdir(parents=True)
            Image.new("L", (8, 8), 100).save(tmp_path / "some-c" / shift / label / "0.png")
    suite = from_folder(tmp_path / "some-c", NAMES, 28, 1, lambda: clean)
    model = tiny_model(torch.float32).eval()
    write_model(tmp_path, model.config, model.state_dict())
    cells = ask([Asked("m", model, tmp_path)], suite, tmp_path / "out", {})["m"]
    assert cells[CLEAN].positions.tolist() == [1, 2, 5, 6]
    assert cells[CLEAN].label.tolist() == [1, 2, 1, 2]
    assert torch.equal(cells[CLEAN].answer, CellAnswers.of(collect_answers(model, clean)).answer[[1, 2, 5, 6]])
    assert "clean" in robustness({"m": cells}, suite, "m")["restricted"]["models"]["m"]["cells"]
    others = ImageSet(clean.images[:1], torch.tensor([0]), NAMES)
    assert from_folder(tmp_path / "some-c", NAMES, 28, 1, lambda: others).clean is None


def test_images_that_are_others_under_another_shift_are_not_averaged() -> None:
    suite = Suite("two", None, (Shift("fog", 1), Shift("snow", 1)), None)  # type: ignore[arg-type]
    moved = replace(cell([True, True], positions=[0, 2]), label=torch.tensor([0, 1]))
    cells = {Shift("fog", 1): cell([True] * 3), Shift("snow", 1): moved}
    with pytest.raises(InputError, match="got image 2 of class 1 in snow-1 and of class 0 before"):
        robustness({"a": cells}, suite, "a")


def test_the_report_by_hand() -> None:
    shifts = (Shift("fog", 1), Shift("fog", 2), Shift("snow", 1), Shift("snow", 2))
    suite = Suite("two", None, shifts, None, {"weather": ["fog", "snow"]})  # type: ignore[arg-type]
    base = dict(
        zip(
            (CLEAN, *shifts),
            [
                cell([True] * 4),
                cell([True, True, True, False]),
                cell([True, False, False, False]),
                cell([True, True, False, False]),
                cell([True, True, True, False]),
            ],
            strict=True,
        )
    )
    other = {shift: cell([True] * 4) for shift in base}
    wrong = {shift: cell([shift == CLEAN] * 4) for shift in base}
    result = robustness({"base": base, "other": other, "wrong": wrong}, suite, "base")
    assert result["models"]["wrong"]["groups"]["weather"]["accuracy_kept"] == 0
    rows = result["models"]["other"]["groups"]["weather"]
    assert rows["accuracy"] == 1
    assert rows["mce"] == 0
    assert rows["accuracy_kept"] == 1
    mine = result["models"]["base"]
    assert mine["groups"]["weather"]["accuracy"] == pytest.approx((0.75 + 0.25 + 0.5 + 0.75) / 4)
    assert (mine["groups"]["weather"]["mce"], mine["groups"]["weather"]["relative_mce"]) == (1, 1)
    assert mine["groups"]["weather"]["difference"] is None
    assert mine["rising"] == ["snow 1-2: +25.00"]
    assert rows["difference"]["mean"] == pytest.approx(1 - mine["groups"]["weather"]["accuracy"])
    text = markdown(result)
    assert "| fog | 50.00 | 100.00 | 0.00 | **+50.00 (" in text
    assert "- base: snow 1-2: +25.00" in text
    assert "| wrong | 100.00 | 0.00 | 0.00 |" in text


def test_differences_are_paired_over_images_whatever_shifts_they_are_in() -> None:
    fog, snow = Shift("fog", 1), Shift("snow", 1)
    base = {fog: cell([True, False]), snow: cell([False, False], positions=[1, 2])}
    mine = {fog: cell([True, True]), snow: cell([True, False], positions=[1, 2])}
    interval = paired_difference([mine], [base], [fog, snow])
    assert interval.mean == pytest.approx((0 + 1 + 0) / 3)  # image 1 was in both
    assert rising(mine, ["fog", "snow"]) == []


def test_models_that_saw_other_images_are_not_compared() -> None:
    suite = Suite("one", None, (Shift("fog", 1),), None)  # type: ignore[arg-type]
    cells = {"a": {Shift("fog", 1): cell([True, True])}, "b": {Shift("fog", 1): cell([True, True], positions=[0, 2])}}
    with pytest.raises(InputError, match="b and a must be asked about the same images, got other ones of fog-1"):
        robustness(cells, suite, "a")
