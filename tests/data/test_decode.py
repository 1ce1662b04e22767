"""Single photos: where they are cropped, against slow and obvious versions, and how they are decoded."""

import io
import math
import sys
from fractions import Fraction
from functools import partial
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tide.data import decode
from tide.data.decode import _accept_large_photos, centre_crop, decode_part, random_crop


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    stream.seek(0)
    return stream


def colours(mode: str, value: object) -> Image.Image:
    return Image.new(mode, (40, 20), value)


def with_palette() -> Image.Image:
    image = Image.new("P", (40, 20), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


GRAY_OF_10_20_30 = 18


@pytest.mark.parametrize(
    ("image", "options", "rgb", "grey"),
    [
        (colours("L", 77), {}, (77, 77, 77), 77),
        (colours("1", 1), {}, (255, 255, 255), 255),
        (colours("RGB", (10, 20, 30)), {}, (10, 20, 30), GRAY_OF_10_20_30),
        (colours("RGBA", (10, 20, 30, 0)), {}, (255, 255, 255), 255),
        (colours("RGBA", (10, 20, 30, 255)), {}, (10, 20, 30), GRAY_OF_10_20_30),
        (colours("LA", (0, 51)), {}, (204, 204, 204), 204),
        (with_palette(), {}, (10, 20, 30), GRAY_OF_10_20_30),
        (with_palette(), {"transparency": 1}, (255, 255, 255), 255),
        (colours("I;16", 77 * 257), {}, (77, 77, 77), 77),
    ],
)
def test_every_mode_becomes_opaque_8_bit(image, options, rgb, grey):
    for channels, wanted in ((3, rgb), (1, (grey,))):
        pixels = decode(saved(image, **options), 8, channels)
        assert pixels.dtype == torch.uint8
        assert pixels.is_contiguous()
        assert torch.equal(pixels, torch.tensor(wanted, dtype=torch.uint8)[:, None, None].expand(-1, 8, 8))


def test_scaling_down_is_antialiased():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = decode(saved(Image.fromarray(board)), 8, 1).int()
    assert (pixels - 127).abs().max() <= 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_respected(orientation):
    upright = np.zeros((16, 16), dtype=np.uint8)
    upright[:4, :8] = 255
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns, counter-clockwise, that the camera made
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright, turns)))
    pixels = decode(saved(stored, exif=exif), 16, 1)
    assert torch.equal(pixels[0], torch.from_numpy(upright))
    part = decode_part(saved(stored, exif=exif), 4, 1, lambda width, height: (6, 0, 10, 4))
    assert torch.equal(part[0], torch.from_numpy(upright[:4, 6:10]))


FOUR = np.array([[(250, 0, 0), (0, 250, 0)], [(0, 0, 250), (250, 250, 0)]], dtype=np.uint8)  # corners of a photo


def quarters(height: int = 40, width: int = 60) -> Image.Image:
    """A photo of four colours, each in one quarter."""
    return Image.fromarray(FOUR.repeat(height // 2, 0).repeat(width // 2, 1))


def turned() -> tuple[Image.Image, dict[str, object]]:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise to stand upright
    return quarters().transpose(Image.Transpose.ROTATE_90), {"exif": exif}


def clear_palette() -> tuple[Image.Image, dict[str, object]]:
    image = quarters().quantize(4)
    image.paste(image.getpixel((0, 0)), (0, 0, *image.size))
    return image, {"transparency": image.getpixel((0, 0))}


WHITE = np.full((2, 2, 3), 255, dtype=np.uint8)
GRAY = (FOUR @ [0.299, 0.587, 0.114]).round().astype(np.uint8)[..., None].repeat(3, 2)


@pytest.mark.parametrize(
    ("image", "options", "kind", "wanted"),
    [
        (quarters(), {}, "PNG", FOUR),
        (quarters(), {"quality": 100, "subsampling": 0}, "JPEG", FOUR),
        (quarters().convert("CMYK"), {"quality": 100}, "JPEG", FOUR),
        (quarters().convert("L"), {}, "PNG", GRAY),
        (Image.fromarray(np.array(quarters().convert("L")).astype(np.uint16) * 257), {}, "PNG", GRAY),
        (quarters().quantize(4), {}, "PNG", FOUR),
        (*clear_palette(), "PNG", WHITE),
        (turned()[0], turned()[1], "PNG", FOUR),
        (turned()[0], {**turned()[1], "quality": 100, "subsampling": 0}, "JPEG", FOUR),
        (turned()[0], turned()[1], "TIFF", FOUR),  # of which Pillow tells the upright size before it is decoded
    ],
    ids=["rgb", "jpeg", "cmyk", "grey", "16 bits", "palette", "transparent palette", "turned", "turned jpeg", "tiff"],
)
def test_a_part_of_every_kind_of_photo_has_the_right_corners(image, options, kind, wanted):
    size, seen = 12, []

    def choose(width: int, height: int) -> tuple[int, int, int, int]:
        seen.append((width, height))
        return 10, 0, 50, 40

    for channels, colours in ((3, wanted), (1, (wanted @ [0.299, 0.587, 0.114]).round()[..., None])):
        for mirrored in (False, True):
            pixels = decode_part(saved(image, kind, **options), size, channels, choose, mirrored=mirrored)
            assert pixels.dtype == torch.uint8
            assert pixels.shape == (channels, size, size)
            corners = pixels[:, :: size - 1, :: size - 1].permute(1, 2, 0).double()
            expected = torch.from_numpy(colours.astype(float))
            assert (corners - (expected.flip(1) if mirrored else expected)).abs().max() <= 6
    assert set(seen) == {(60, 40)}


@pytest.mark.parametrize(("width", "height", "size"), [(64, 64, 56), (96, 64, 28), (64, 96, 28), (37, 37, 28)])
def test_a_part_is_what_cropping_the_scaled_photo_gives(width, height, size):
    noise = np.random.default_rng(3).integers(0, 256, (height, width), dtype=np.uint8)
    pixels = decode(saved(Image.fromarray(noise)), size, 1, crop=0.875)
    scale = round(size * 256 / 224) / min(width, height)
    scaled = Image.fromarray(noise).resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    slow = np.array(scaled.crop((left, top, left + size, top + size)))
    assert (pixels[0].int() - torch.from_numpy(slow).int()).abs().max() <= 1  # pixels outside the part count, too


def test_draft_decoding_of_a_part_stays_close_and_is_used(monkeypatch):
    ramp = np.linspace(0, 255, 512).astype(np.uint8)[None].repeat(512, 0)
    loaded = []
    monkeypatch.setattr(
        sys.modules["tide.data.decode"], "_opaque", lambda image, mode: loaded.append(image.size) or image.convert(mode)
    )
    for box, size in (((0, 0, 512, 512), (64, 64)), ((128, 0, 256, 128), (128, 128)), ((0, 0, 40, 40), (512, 512))):
        pixels = decode_part(saved(Image.fromarray(ramp), "JPEG", quality=95), 16, 1, lambda *_, box=box: box)[0]
        wanted = torch.from_numpy(ramp[0, box[0] : box[2]].astype(np.float32))
        wanted = torch.nn.functional.adaptive_avg_pool1d(wanted[None], 16)[0]
        assert (pixels.float() - wanted).abs().max() < 4
        assert loaded.pop() == size  # at least twice the pixels wanted, in the part


def test_the_largest_photos_are_refused_and_large_ones_taken_in_silence(tmp_path, refuses, monkeypatch, recwarn):
    path = tmp_path / "large.png"
    Image.new("RGB", (150, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    _accept_large_photos.cache_clear()  # pytest restores the filters of warnings after each test
    assert decode(path, 8, 3).sum() == 0
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    with refuses(path, "must have at most 0 megapixels", "scale it down"):
        decode(path, 8, 3)


def test_refuses_what_is_no_photo(tmp_path, refuses):
    path = tmp_path / "cat.jpg"
    with refuses(path, "unreadable photo", "No such file"):
        decode(path, 8, 3)
    path.write_bytes(b"no photo")
    with refuses(path, "unreadable photo", "replace or remove it"):
        decode(path, 8, 3)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        data = saved(Image.fromarray(noise), kind).getvalue()
        path.write_bytes(data[: len(data) // 2])
        with refuses(path, "unreadable photo"):
            decode(str(path), 8, 3)
        with refuses("photo: unreadable"):
            decode(io.BytesIO(data[: len(data) // 2]), 8, 3)


@pytest.mark.parametrize("error", [RuntimeError, OSError, ZeroDivisionError, ValueError])
def test_whatever_a_damaged_photo_raises_is_one_line(error, monkeypatch, refuses):
    def fails(image: Image.Image, mode: str) -> None:
        raise error("two\nlines")

    monkeypatch.setattr(sys.modules["tide.data.decode"], "_opaque", fails)
    for read in (decode, partial(decode_part, choose=lambda width, height: (0, 0, 1, 1))):
        with refuses("photo: unreadable photo (two lines)"):
            read(saved(colours("L", 0)), 8, 3)


def test_refuses_impossible_formats(refuses):
    with refuses("photo size must be at least 1, got 0"):
        decode(saved(colours("L", 0)), 0, 3)
    with refuses("photo channels must be 1 for grey or 3 for colour, got 4"):
        decode(saved(colours("L", 0)), 8, 4)


def test_gray_of_sixteen_bits_is_scaled_and_other_depths_are_refused(tmp_path, refuses):
    path = tmp_path / "photo.tiff"
    values = np.repeat(np.repeat(np.array([[0, 257, 4095, 65535]], np.uint16), 4, 0), 1, 1)
    for kind in ("tiff", "png"):
        Image.fromarray(values).save(tmp_path / f"photo.{kind}")
        assert decode(tmp_path / f"photo.{kind}", 4, 1)[0, 0].tolist() == [0, 1, 16, 255]
    for other in (values.astype(np.int32), values.astype(np.float32)):
        Image.fromarray(other).save(path)
        with refuses(path, "unreadable photo", "8 or 16 bits a channel"):
            decode(path, 4, 1)


@pytest.mark.parametrize("start", [b"\x89HDF\r\n\x1a\n", b"GRIB\0\0\0\1", b"BUFR\0\0\0\1"])
def test_a_file_that_pillow_knows_by_name_only_is_one_line(start, tmp_path, refuses):
    (tmp_path / "stub.jpg").write_bytes(start + bytes(64))
    with refuses(tmp_path / "stub.jpg", "unreadable photo", "replace or remove it"):
        decode(tmp_path / "stub.jpg", 8, 3)


SIDES = st.integers(1, 600)
DRAWS = st.floats(0, 1, exclude_max=True)


class Listed(Random):
    """Gives the numbers of a list, over and over, and counts how many were taken."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__(0)
        self.numbers, self.taken = numbers, 0

    def random(self) -> float:
        self.taken += 1
        return self.numbers[(self.taken - 1) % len(self.numbers)]


def slow_crop(width: int, height: int, numbers: list[float]) -> tuple[int, int, int, int]:
    """Search the whole photo for the crop that the definition names: no formula for sizes or places."""
    position = 0

    def uniform(low: float, high: float) -> float:
        nonlocal position
        position += 1
        return low + (high - low) * numbers[(position - 1) % len(numbers)]

    for _ in range(10):
        area = uniform(0.08, 1) * (width * height)
        ratio = math.exp(uniform(math.log(3 / 4), math.log(4 / 3)))
        side = math.sqrt(area)
        wide, tall = round(side * math.sqrt(ratio)), round(side / math.sqrt(ratio))
        lefts, tops = range(width - wide + 1), range(height - tall + 1)
        if wide > 0 and tall > 0 and len(lefts) and len(tops):
            left = lefts[min(math.floor(uniform(0, len(lefts))), len(lefts) - 1)]
            top = tops[min(math.floor(uniform(0, len(tops))), len(tops) - 1)]
            return left, top, left + wide, top + tall
    if Fraction(width, height) < Fraction(3, 4):
        wide, tall = width, round(Fraction(width * 4, 3))
    elif Fraction(width, height) > Fraction(4, 3):
        wide, tall = round(Fraction(height * 4, 3)), height
    else:
        wide, tall = width, height
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


@given(SIDES, SIDES, st.lists(DRAWS, min_size=40, max_size=40))
def test_agrees_with_the_slow_version(width, height, numbers):
    crop, slow = random_crop(width, height, Listed(numbers)), slow_crop(width, height, numbers)
    # The square root of a product and the product of square roots may fall on two sides of a half.
    assert all(abs(a - b) <= 1 for a, b in zip(crop, slow, strict=True))


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [(300, 100, (83, 0, 216, 100)), (100, 300, (0, 83, 100, 216)), (7, 1, (3, 0, 4, 1)), (1, 7, (0, 3, 1, 4))],
)
def test_after_ten_tries_the_largest_crop_in_the_middle_is_taken(width, height, wanted):
    draws = Listed([0.9999, 0.5])  # always the whole area in a square, which fits into no long photo
    assert random_crop(width, height, draws) == wanted
    assert draws.taken == 20


def test_the_area_is_uniform_the_ratio_log_uniform_and_the_place_uniform_where_all_fits():
    # In a square photo of 1000 pixels every draw with up to half of the area fits: none is drawn anew.
    draws, shares, ratios, places = Random(1), [], [], []
    for _ in range(20_000):
        left, top, right, bottom = random_crop(1000, 1000, draws)
        wide, tall = right - left, bottom - top
        if wide * tall < 500_000:
            shares.append((wide * tall / 1e6 - 0.08) / 0.42)
            ratios.append((math.log(wide / tall) / math.log(4 / 3) + 1) / 2)
            places += [(left + 0.5) / (1000 - wide + 1), (top + 0.5) / (1000 - tall + 1)]
    for values in (shares, ratios, places):
        assert largest_gap(values) < 1.95 / math.sqrt(len(values))  # Kolmogorov and Smirnov at a level of 0.1 %


def largest_gap(values: list[float]) -> float:
    """Return how far the distribution of values is from the uniform one on 0..1 (Kolmogorov, Smirnov)."""
    count = len(values)
    return max(max((k + 1) / count - value, value - k / count) for k, value in enumerate(sorted(values)))


@given(SIDES, SIDES, st.integers(1, 300), st.floats(0.01, 1))
def test_the_middle_square_has_the_share_of_the_shorter_side(width, height, size, share):
    left, top, right, bottom = centre_crop(width, height, size, share)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == pytest.approx(min(width, height) * size / round(size / share))
    assert bottom - top == pytest.approx(right - left)
    assert left == pytest.approx(width - right, abs=1e-9)
    assert top == pytest.approx(height - bottom, abs=1e-9)


def test_the_middle_square_is_whole_or_at_the_published_size_seven_eighths():
    assert centre_crop(512, 256, 224) == (128, 0, 384, 256)
    assert centre_crop(512, 256, 224, 0.875) == (144, 16, 368, 240)
