"""``tide export`` and ``tide demo``: a trained model for a machine without torch, as ONNX or as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import tyro

from tide.cli.options import Checkpoint, DataDir, Threads
from tide.cli.parse import parse
from tide.device import set_threads
from tide.errors import InputError
from tide.files import check_file, check_folder

if TYPE_CHECKING:
    from tide.data.sets import LabelledSet
    from tide.export.page import Shown

TITLES = {"tide": "TIDE", "ctm": "CTM", "lstm": "LSTM"}
HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Checkpoint, DataDir, Threads):
    """Options of an export."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or folders that save_pretrained wrote: one, or with --html several side by side."""
    out: Path | None = None
    """Folder for begin.onnx, tick.onnx, read.onnx and model.json."""
    html: Path | None = None
    """One file to open in a browser: draw, watch the model think, disturb it. Weights are rounded to half precision."""


def run(arguments: Sequence[str]) -> int:
    """Run the command: the paths of the files written, with their sizes."""
    options = parse(
        ExportOptions, arguments, prog="tide export", description="Write a trained model for a machine without torch."
    )
    if options.out is None and options.html is None:
        raise InputError("nothing to write: give --out FOLDER for ONNX, or --html FILE for a page")
    if not options.runs:
        raise InputError("no run given; name one before the options")
    if options.out is not None and len(options.runs) != 1:
        raise InputError(f"--out takes one run, got {len(options.runs)}; export them one by one")
    check_folder("--out", options.out)
    check_file("--html", options.html)
    set_threads(options.threads)
    written = []
    if options.out is not None:
        from tide.export.onnx import write_folder
        from tide.models.load import load

        written += write_folder(load(options.runs[0], checkpoint=options.checkpoint), options.out)
    if options.html is not None:
        from tide.export.page import write_page

        write_page(options.html, *_models_with_examples(options.runs, options.checkpoint, options.data_dir))
        written.append(options.html)
    for path in written:
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0


def _models_with_examples(
    runs: Sequence[Path], checkpoint: str, data_dir: Path | None
) -> tuple[list[Shown], LabelledSet | None]:
    """Return the models in ``runs`` and the test samples of the first, None where its data are not at hand.

    Raises :class:`InputError` as :func:`~tide.export.page.check_shown` does.
    """
    from tide.config import FolderConfig
    from tide.export.page import Shown, check_shown
    from tide.runs.reopen import open_with_source

    opened = [open_with_source(run, checkpoint, directory=data_dir) for run in runs]
    kinds = [TITLES.get(model.config.core.kind, model.config.core.kind) for model, _ in opened]
    titles = [kind if kinds.count(kind) == 1 else f"{kind}: {run.name}" for kind, run in zip(kinds, runs, strict=True)]
    data = [source.data.title if source.data is not None else None for _, source in opened]
    models = [Shown(title, model, name) for title, (model, _), name in zip(titles, opened, data, strict=True)]
    check_shown(models)
    source = opened[0][1]
    try:
        # Photos stay in their files: a few of them are needed, not a whole set in memory.
        if isinstance(source.data, FolderConfig):
            source = source._replace(data=FolderConfig(name=source.data.name, photos="streamed"))
        return models, source.read(runs[0]).test
    except InputError:
        return models, None


# The page, served on this machine.


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Checkpoint, DataDir, Threads):
    """Options of the demo."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, folders that save_pretrained wrote, or pretrained:NAME, side by side (none: pretrained:mnist)."""
    port: int = 8000
    """Port of 127.0.0.1, 0 for any free one."""
    open: bool = True
    """Open the page in the browser."""


def demo(arguments: Sequence[str]) -> int:
    """Serve the page until it is interrupted."""
    options = parse(
        DemoOptions, arguments, prog="tide demo", description="Draw, watch models think, disturb them: a page, here."
    )
    set_threads(options.threads)
    from tide.export.onnx import check_installed
    from tide.export.page import page

    check_installed("onnx", "onnxscript", "onnxruntime")
    with PageServer.on(options.port) as server:
        address = f"http://{HOST}:{server.server_address[1]}"
        print("making the page, about 20 seconds", flush=True)
        runs = options.runs or (Path("pretrained:mnist"),)
        server.page = page(*_models_with_examples(runs, options.checkpoint, options.data_dir)).encode()
        print(f"{address}  Ctrl-C ends it", flush=True)
        if options.open:
            import webbrowser

            webbrowser.open(address)
        server.serve_forever()
    return 0


class PageServer(ThreadingHTTPServer):
    """Serves one page, which computes by itself, and nothing else."""

    daemon_threads = True
    page = b""

    @classmethod
    def on(cls, port: int) -> Self:
        """Listen on a port of 127.0.0.1, 0 for any free one; raises :class:`InputError` where it is taken."""
        if not 0 <= port <= 65535:
            raise InputError(f"--port must be between 0 and 65535, got {port}")
        try:
            return cls((HOST, port), PageHandler)
        except OSError as error:
            reason = f"port {port} is taken or not allowed ({error.strerror})"
            raise InputError(f"{reason}; give another with --port") from error


class PageHandler(BaseHTTPRequestHandler):
    """Answers only requests that name this machine: a page to which another name led the browser gets nothing."""

    server: PageServer

    def do_GET(self) -> None:
        """Send the page."""
        if self.headers.get("Host", "").partition(":")[0] not in NAMES:
            self.send_error(400, f"the host must be {' or '.join(NAMES)}")
        elif self.path.partition("?")[0] != "/":
            self.send_error(404)
        else:
            self.send_response(200)
            for name, value in {**HEADERS, "Content-Length": str(len(self.server.page))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(self.server.page)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""
