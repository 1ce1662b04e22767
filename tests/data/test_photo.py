"""Decoding single photos."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from tide.data import decode


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
    ("image", "options", "rgb", "gray"),
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
def test_every_mode_becomes_opaque_8_bit(image, options, rgb, gray):
    for channels, wanted in ((3, rgb), (1, (gray,))):
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


def test_draft_decoding_of_large_jpegs_stays_close():
    ramp = np.linspace(0, 255, 512).astype(np.uint8)[None].repeat(512, 0)
    pixels = decode(saved(Image.fromarray(ramp), "JPEG", quality=95), 16, 1)[0].float()
    assert (pixels - torch.from_numpy(ramp.reshape(512, 16, 32).mean((0, 2)))).abs().max() < 3


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


def test_refuses_impossible_formats(refuses):
    with refuses("photo size 0"):
        decode(saved(colours("L", 0)), 0, 3)
    with refuses("photo channels 4", "1 or 3"):
        decode(saved(colours("L", 0)), 8, 4)
