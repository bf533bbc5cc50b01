"""`alula serve` in a process of its own. In: its words. Out: the process and a connection to it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 60


@contextmanager
def served(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], http.client.HTTPConnection]]:
    """`alula serve WORD... --port 0` in a process of its own, and a connection to it."""
    command = [sys.executable, "-m", "alula.cli.main", "serve", *map(str, words), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            place = json.loads(process.stdout.readline())
            with closing(http.client.HTTPConnection(place["host"], place["port"], timeout=PATIENCE)) as connection:
                yield process, connection
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def ask(connection: http.client.HTTPConnection, body: bytes, kind: str = "image/png") -> tuple[int, dict[str, Any]]:
    """POST /v1/predict."""
    connection.request("POST", "/v1/predict", body, {"Content-Type": kind})
    response = connection.getresponse()
    return response.status, json.loads(response.read())
