"""A stand-in for the Hugging Face hub: enough of its interface to send and fetch small files with the real client."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "a" * 40


class HubServer(ThreadingHTTPServer):
    """Repositories in memory, `{repository: {file: content}}`.

    Attributes
    ----------
    repositories
        What is there.
    broken
        Names of files whose content is cut short.
    dropped
        Name of a file to how many times its connection is still to be dropped in the middle.
    moved
        Names of files that are answered by a redirect, as the hub does with large ones.
    seen
        Methods and paths that were asked for.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.broken: set[str] = set()
        self.dropped: dict[str, int] = {}
        self.moved: set[str] = set()
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_hub() -> Iterator[HubServer]:
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer_get(with_body=True)

    def do_HEAD(self) -> None:
        self._answer_get(with_body=False)

    def do_POST(self) -> None:
        body = self._body()
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.server.repositories.setdefault(name, {})
            self._json({"url": f"{self.server.url}/{name}", "id": name, "name": name})
        elif parts == ["api", "validate-yaml"]:
            self._json({"errors": [], "warnings": []})
        elif parts[:2] == ["api", "models"] and parts[4:5] == ["preupload"]:
            files = json.loads(body)["files"]
            modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
            self._json({"files": modes, "commitOid": COMMIT})
        elif parts[:2] == ["api", "models"] and parts[4:5] == ["commit"]:
            name = "/".join(parts[2:4])
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    content = base64.b64decode(item["value"]["content"])
                    self.server.repositories[name][item["value"]["path"]] = content
            self._json({"success": True, "commitUrl": f"{self.server.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self._json({"error": "not found"}, 404)

    def _answer_get(self, *, with_body: bool) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        is_moved = parts[0] == "moved"
        parts = parts[is_moved:]
        is_api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if is_api else parts[:2])
        files = self.server.repositories.get(name)
        if files is None:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif is_api and parts[4:5] == ["tree"]:
            tags = {file: hashlib.sha1(content, usedforsecurity=False).hexdigest() for file, content in files.items()}
            self._json([{"type": "file", "path": file, "size": len(files[file]), "oid": tags[file]} for file in files])
        elif is_api:
            siblings = [{"rfilename": file} for file in files]
            self._json({"_id": "1", "id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []})
        elif parts[2] == "resolve" and parts[4] in files:
            content = files[parts[4]]
            tag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Content-Type": "application/octet-stream"}
            if parts[4] in self.server.moved and not is_moved:
                place = f"{self.server.url}/moved{self.path}"
                of_file = {"Location": place, "X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{tag}"'}
                self._send(302, b"", {**headers, **of_file}, with_body=False)
                return
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            is_dropped = with_body and self.server.dropped.get(parts[4], 0) > 0
            if is_dropped:
                self.server.dropped[parts[4]] -= 1
            self._send(
                206 if start else 200,
                content[start:],
                headers,
                with_body=with_body,
                is_cut=is_dropped or parts[4] in self.server.broken,
            )
        else:
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self._send(status, body, {"Content-Type": "application/json", **(headers or {})}, with_body=True)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool, is_cut: bool = False
    ) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body and self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
        if is_cut:
            self.close_connection = True

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *args: Any) -> None:
        pass
