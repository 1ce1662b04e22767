"""What frames of an animation are drawn with: colours, and shapes in pixels of the finished frame."""

from __future__ import annotations

from PIL import ImageDraw, ImageFont

Colour = tuple[int, ...]
Point = tuple[float, float]

FINE = 2  # drawn so many times as large, then averaged
PAPER, INK, SOFT, TRACK = (250, 249, 246), (29, 33, 41), (108, 115, 128), (234, 230, 221)
ORANGE, BLUE, MIXED, GLOW = (213, 101, 10), (31, 111, 184), (150, 140, 160), (255, 154, 60)


class Pen:
    """Draws on a picture that is :data:`FINE` times as large as the frame it becomes."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def line(self, points: list[Point], colour: Colour, width: float) -> None:
        """Draw a line through points; of fewer than two, nothing."""
        if len(points) > 1:
            fine = [(FINE * x, FINE * y) for x, y in points]
            self._draw.line(fine, fill=colour, width=max(1, round(FINE * width)), joint="curve")

    def bar(self, box: tuple[float, float, float, float], share: float, colour: Colour) -> None:
        """Fill a share of a box (left, top, right, bottom) from the left."""
        left, top, right, bottom = (FINE * value for value in box)
        if share * (right - left) >= 1:
            self._draw.rounded_rectangle((left, top, left + share * (right - left), bottom), 4 * FINE, fill=colour)

    def tile(self, box: tuple[float, float, float, float], fill: Colour | None, outline: Colour) -> None:
        """Draw a box with a rim."""
        self._draw.rounded_rectangle([FINE * value for value in box], 3 * FINE, fill=fill, outline=outline, width=FINE)

    def dot(self, at: Point, radius: float, colour: Colour) -> None:
        """Draw a disk."""
        (x, y), radius = (FINE * at[0], FINE * at[1]), FINE * radius
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def text(self, at: Point, text: str, size: float, colour: Colour, *, anchor: str = "la") -> None:
        """Write text whose ``anchor`` (Pillow's; left and top as it is) lies at a point."""
        font = ImageFont.load_default(FINE * size)
        self._draw.text((FINE * at[0], FINE * at[1]), text, fill=colour, font=font, anchor=anchor)
