"""Decoding single photos."""

import io
import math
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tide.data import decode
from tide.data.photos.decode import _expect_large, decode_part
from tide.errors import DataError


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


def test_the_middle_of_the_longer_side_is_kept():
    stripes = np.zeros((10, 30, 3), dtype=np.uint8)
    stripes[:, 10:20] = (9, 99, 199)
    assert decode(saved(Image.fromarray(stripes)), 10, 3).amin((1, 2)).tolist() == [9, 99, 199]
    assert decode(saved(Image.fromarray(stripes.transpose(1, 0, 2))), 10, 3).amin((1, 2)).tolist() == [9, 99, 199]


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
@pytest.mark.parametrize(("size", "large"), [(12, 2**26), (6, 0)], ids=["", "large"])
def test_a_part_of_every_kind_of_photo_has_the_right_corners(image, options, kind, wanted, size, large, monkeypatch):
    monkeypatch.setattr("tide.data.photos.decode._LARGE", large)
    seen = []

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
        "tide.data.photos.decode._flatten", lambda image, mode: loaded.append(image.size) or image.convert(mode)
    )
    for box, size in (((0, 0, 512, 512), (64, 64)), ((128, 0, 256, 128), (128, 128)), ((0, 0, 40, 40), (512, 512))):
        pixels = decode_part(saved(Image.fromarray(ramp), "JPEG", quality=95), 16, 1, lambda *_, box=box: box)[0]
        wanted = torch.from_numpy(ramp[0, box[0] : box[2]].astype(np.float32))
        wanted = torch.nn.functional.adaptive_avg_pool1d(wanted[None], 16)[0]
        assert (pixels.float() - wanted).abs().max() < 4
        assert loaded.pop() == size  # at least twice the pixels wanted, in the part


def test_draft_decoding_of_large_jpegs_stays_close():
    ramp = np.linspace(0, 255, 512).astype(np.uint8)[None].repeat(512, 0)
    pixels = decode(saved(Image.fromarray(ramp), "JPEG", quality=95), 16, 1)[0].float()
    assert (pixels - torch.from_numpy(ramp.reshape(512, 16, 32).mean((0, 2)))).abs().max() < 3


@pytest.mark.parametrize(("mode", "bits"), [("RGBA", 8), ("LA", 8), ("P", 8), ("I;16", 16)])
@pytest.mark.parametrize("large", [2**26, 0])
def test_a_photo_is_converted_piece_by_piece_without_a_difference(mode, bits, large, monkeypatch):
    """Whole copies of the largest photos would take gigabytes."""
    noise = np.random.default_rng(4).integers(0, 2**bits, (83, 121) if bits > 8 else (83, 121, 4), dtype=f"uint{bits}")
    image = Image.fromarray(noise) if bits > 8 else Image.fromarray(noise, "RGBA").convert(mode)
    options = {"transparency": bytes(range(256))} if mode == "P" else {}
    monkeypatch.setattr("tide.data.photos.decode._LARGE", large)
    composite, sizes = Image.alpha_composite, []
    monkeypatch.setattr(
        Image, "alpha_composite", lambda under, over: sizes.append(math.prod(over.size)) or composite(under, over)
    )
    found = []
    for pixels in (2**20, 500):
        monkeypatch.setattr("tide.data.photos.decode._AT_ONCE", pixels)
        sizes.clear()
        found.append(decode(saved(image, **options), 8, 3))
        assert max(sizes, default=0) <= pixels
    assert torch.equal(*found)
    assert found[0].float().std() > 1


def test_the_largest_photos_are_refused_and_large_ones_taken_in_silence(tmp_path, refuses, monkeypatch, recwarn):
    path = tmp_path / "large.png"
    Image.new("RGB", (150, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    _expect_large.cache_clear()  # pytest restores the filters of warnings after each test
    assert decode(path, 8, 3).sum() == 0
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    with refuses(path, "too large a photo", "scale it down"):
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


@pytest.mark.parametrize("error", [RuntimeError, OSError, SyntaxError, ValueError, EOFError])
def test_whatever_a_damaged_photo_raises_is_one_line(error, monkeypatch, refuses):
    def fails(image: Image.Image, mode: str) -> None:
        raise error("two\nlines")

    monkeypatch.setattr("tide.data.photos.decode._flatten", fails)
    for read in (decode, partial(decode_part, choose=lambda width, height: (0, 0, 1, 1))):
        with refuses("photo: unreadable photo (two lines)"):
            read(saved(colours("L", 0)), 8, 3)


def test_refuses_impossible_formats(refuses):
    with refuses("photo size is 0"):
        decode(saved(colours("L", 0)), 0, 3)
    with refuses("photo channels are 4", "1 or 3"):
        decode(saved(colours("L", 0)), 8, 4)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 4095]], np.uint16), [0, 255]),  # 12 bits in a file of 16
        (np.array([[0, 1023]], np.uint16), [0, 255]),
        (np.array([[257, 65535]], np.uint16), [1, 255]),
        (np.array([[0, 200]], np.uint16), [0, 200]),
        (np.array([[0.0, 1.0]], np.float32), [0, 255]),
        (np.array([[0.0, 255.0]], np.float32), [0, 255]),
    ],
)
def test_gray_of_more_than_eight_bits_is_scaled_by_its_own_range(tmp_path, values, expected):
    path = tmp_path / "photo.tiff"
    Image.fromarray(np.repeat(np.repeat(values, 4, 0), 2, 1)).save(path)
    assert decode(path, 4, 1)[0, 0, [0, -1]].tolist() == expected


@pytest.mark.parametrize("values", [[-3.0, 1.0], [0.0, 300.0], [0.0, float("nan")]])
def test_gray_of_an_unknown_scale_is_refused(tmp_path, values):
    path = tmp_path / "photo.tiff"
    Image.fromarray(np.repeat(np.array([values], np.float32), 4, 0)).save(path)
    with pytest.raises(DataError, match=r"unreadable photo \((grey values from|pixels that are not finite)"):
        decode(path, 4, 1)
