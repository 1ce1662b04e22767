"""Pictures one after another as a file: GIF and WebP by Pillow, MP4 where ffmpeg is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tide.errors import InputError, one_line

KINDS = (".gif", ".webp", ".mp4")
TICK, REST = 140, 1600  # milliseconds that a tick is shown, and the last one
COLOURS = 192  # of a GIF: few enough to be small, enough for soft edges


def write_animation(path: Path, frames: Sequence[Image.Image]) -> None:
    """Write frames of one size as ``path`` ends: .gif, .webp or .mp4.

    Raises :class:`InputError` for another ending, where ffmpeg is missing or fails, and for a file that cannot be
    written.
    """
    check_kind(path)
    durations = [TICK] * (len(frames) - 1) + [REST]
    try:
        if path.suffix == ".mp4":
            _mp4(path, frames)
        elif path.suffix == ".gif":
            # One palette for all: a palette a frame would make colours flicker.
            palette = _side_by_side(frames[0], frames[len(frames) // 2], frames[-1]).quantize(COLOURS)
            reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
            reduced[0].save(path, save_all=True, append_images=reduced[1:], duration=durations, loop=0, optimize=True)
        else:
            rest = list(frames[1:])
            frames[0].save(path, save_all=True, append_images=rest, duration=durations, loop=0, quality=80, method=4)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or one_line(error)}; give another --animate") from error


def check_kind(path: Path) -> None:
    """Raise :class:`InputError` unless ``path`` ends as one of :data:`KINDS`, and for MP4 ffmpeg is there."""
    if path.suffix not in KINDS:
        raise InputError(
            f"{path} ends in {path.suffix or 'nothing'}, one of {', '.join(KINDS)} is wanted: --animate out.gif"
        )
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise InputError("ffmpeg is not installed, .mp4 wants it: install it, or write a .gif or .webp")


def _side_by_side(*frames: Image.Image) -> Image.Image:
    width, height = frames[0].size
    whole = Image.new("RGB", (width * len(frames), height))
    for number, frame in enumerate(frames):
        whole.paste(frame, (number * width, 0))
    return whole


def _mp4(path: Path, frames: Sequence[Image.Image]) -> None:
    width, height = frames[0].size
    still = round(REST / TICK)
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"{1000 / TICK:.3f}", "-i", "-", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    content = b"".join(frame.tobytes() for frame in (*frames, *[frames[-1]] * still))
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        told = " ".join(done.stderr.decode(errors="replace").split())[:200]
        raise InputError(f"ffmpeg cannot write {path} ({told}); write a .gif or .webp")
