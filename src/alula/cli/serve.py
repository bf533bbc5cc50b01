"""`alula serve MODEL`: predictions over HTTP until Ctrl-C.

In: a model or plan, labels, preprocessing. Out: a server; its address on stdout.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from urllib.parse import urlsplit

from alula.cli.options import add_model, add_picture, parse_shapes, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(parser, threads="1 for each worker")
    add_picture(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: only this machine)")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for any free one (default: 8000)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="requests computed at a time (default: 2)")
    parser.add_argument("--queue", type=int, default=64, metavar="N", help="requests that may wait (default: 64)")
    parser.add_argument("--deadline", type=float, default=30.0, metavar="SECONDS", help="longest answer (default: 30)")
    parser.add_argument("--json", action="store_true", help="announce the address as one line of JSON")


def run(options: argparse.Namespace) -> int:
    """Open the model and serve it."""
    from alula.base.errors import MissingError
    from alula.base.session import OpenOptions
    from alula.cli.progress import Progress
    from alula.serving.server import run as run_server
    from alula.serving.settings import ServeSettings
    from alula.workbench.bundle import BundleFiles, open_bundle

    settings = settings_of(options)
    path = Path(options.model)
    serving = ServeSettings(
        host=options.host,
        port=options.port,
        model=path.stem,
        workers=options.workers,
        queue=options.queue,
        deadline_seconds=options.deadline,
    )
    files, shapes = BundleFiles(options.preprocess, options.labels), parse_shapes(options.shape)
    # Each worker computes one request at a time; threads beyond one for each would only wait for processors.
    threads = settings.threads or 1
    with Progress(f"compiling {path.name}") as progress:
        choices = OpenOptions(threads=threads, shapes=shapes, target=settings.target, progress=progress)
        bundle = open_bundle(path, choices, settings, files)
    if bundle.preprocessing is None:
        hint = "say --preprocess FILE, or compile it into the plan"
        raise MissingError(f"model {path.name}", "needs a preprocessing declaration", "it has none", hint)

    def announce(url: str) -> None:
        if options.json:
            place = urlsplit(url)
            print(json.dumps({"url": url, "host": place.hostname, "port": place.port}), flush=True)
        else:
            print(f"serving {path.name} at {url}", flush=True)
            print(f"  try: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' {url}/v1/predict", flush=True)

    run_server(bundle.session, bundle.preprocessing, bundle.labels, serving, announce)
    return 0
