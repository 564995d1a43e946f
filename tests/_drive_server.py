"""A stand-in for Google Drive: a shared folder of small files, read by the real client."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

HOST = "https://drive.google.com"


class DriveServer(ThreadingHTTPServer):
    """One folder, `{file: content}`.

    Attributes
    ----------
    files
        What is there.
    dropped
        Name of a file to how many times its connection is still to be dropped in the middle.
    moved
        Names of files that are answered by a redirect.
    seen
        Paths that were asked for.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.dropped: dict[str, int] = {}
        self.moved: set[str] = set()
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_drive() -> Iterator[DriveServer]:
    server = DriveServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: DriveServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        asked = urlparse(self.path)
        names = {_identifier(name): name for name in self.server.files}
        name = names.get(parse_qs(asked.query).get("id", [""])[0])
        if asked.path == "/embeddedfolderview":
            links = "".join(f'<a href="{HOST}/file/d/{id}/view">{name}</a>' for id, name in names.items())
            page = f"<html><head><title>scGPT_human</title></head><body>{links}</body></html>"
            self._send(200, page.encode(), {"Content-Type": "text/html"})
        elif name is None:
            self._send(404, b"", {"Content-Type": "text/html"})
        elif name in self.server.moved and asked.path == "/uc":
            self._send(303, b"", {"Location": f"{self.server.url}/download?{asked.query}", "Content-Type": "text/html"})
        else:
            self._send_file(name)

    def _send_file(self, name: str) -> None:
        content = self.server.files[name]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        is_cut = self.server.dropped.get(name, 0) > 0
        if is_cut:
            self.server.dropped[name] -= 1
        self._send(206 if start else 200, content[start:], headers, is_cut=is_cut)

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, is_cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if is_cut else body)
        if is_cut:
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


def _identifier(name: str) -> str:
    """As long as those of Drive."""
    return f"file-{name.replace('.', '-')}".ljust(33, "x")
