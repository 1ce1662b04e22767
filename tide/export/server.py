"""The page on this machine's own address, with torch behind it for scripts.

::

    GET  /          the page of ``tide export --html``
    POST /predict   a PNG or JPEG file as the body -> {"models": [{"title", "label", "certainty", "ticks"}]}
                    (of a model of sequences 0110 or 0.3,-1.2,0.7)

Only 127.0.0.1 is listened on, and only requests that name it are answered: a page of somebody else, to which the
browser was led under another name, gets nothing.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tide.config import ImageConfig
from tide.errors import InputError
from tide.export.page import Shown
from tide.runs.reopen import read_sent, told

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
NAMES = [HOST, "localhost"]
MOST_BYTES = 20_000_000  # of an upload
MOST_PIXELS = 40_000_000  # of a photo, before it is scaled
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def listen(port: int) -> socket.socket:
    """Return a socket on a port of 127.0.0.1, 0 for any free one; raises :class:`InputError` where it is taken."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port is {port}, 0 to 65535 is wanted")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise InputError(f"port {port} is taken or not allowed ({error.strerror}); give another with --port") from error
    return listening


def application(page: str, shown: Sequence[Shown]) -> Starlette:
    """Return the server: the page as it is, and predictions of the models shown on it."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    async def index(request: Request) -> Response:
        return HTMLResponse(page, headers=HEADERS)

    async def predict(request: Request) -> Response:
        try:
            _check_origin(request)
            content = await _body(request)
            return JSONResponse({"models": await run_in_threadpool(answers, content, shown)}, headers=HEADERS)
        except InputError as error:
            return JSONResponse({"error": str(error)}, status_code=400, headers=HEADERS)

    return Starlette(
        routes=[Route("/", index), Route("/predict", predict, methods=["POST"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=NAMES, www_redirect=False)],
    )


def answers(content: bytes, shown: Sequence[Shown]) -> list[dict[str, str | float | int]]:
    """Return what each model says of a photo or a sequence; raises :class:`InputError` where it is unusable."""
    if isinstance(shown[0].model.config.input, ImageConfig):
        _check_pixels(content)
    found: list[dict[str, str | float | int]] = []
    for title, model, _ in shown:
        answer = model.predict(read_sent(model, content))
        label = told(model, answer)
        found.append({"title": title, "label": label, "certainty": float(answer.certainty), "ticks": int(answer.ticks)})
    return found


def _check_origin(request: Request) -> None:
    """Refuse what a page of another address sends."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}":
        raise InputError(f"the request comes from {origin}, this server's own page is wanted")


async def _body(request: Request) -> bytes:
    """Return the body; raises :class:`InputError` as soon as it is too long, whatever its header says."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise InputError(f"the upload has more than {MOST_BYTES // 10**6} MB, fewer are wanted: shrink the photo")
    return bytes(content)


def _check_pixels(content: bytes) -> None:
    """Read the size from the header of a photo, before anything is unpacked."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as photo:
            width, height = photo.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("the upload is no photo that can be read: send a PNG or JPEG file") from error
    if width * height > MOST_PIXELS:
        raise InputError(
            f"the photo has {width} x {height} pixels, {MOST_PIXELS // 10**6} million or fewer are wanted: shrink it"
        )
