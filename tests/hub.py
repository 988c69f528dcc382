"""A stand-in for the model hub: serves the bundled models under hub ids, over HTTP, as the hub's own API does."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

BUNDLED = Path(__file__).resolve().parent.parent / "inference" / "bundled"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Answers `/api/models/org/name/...` and `/org/name/resolve/main/file`, where name is that of a bundled model."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["api", "models", "org", name, *rest] if (BUNDLED / name).is_dir():
                self.answer_json(self.listing(BUNDLED / name, is_tree=rest[:1] == ["tree"], folder=rest[2:]))
            case ["org", name, "resolve", _, *file] if (BUNDLED / name).joinpath(*file).is_file():
                self.answer_file((BUNDLED / name).joinpath(*file).read_bytes())
            case _:
                self.answer_nothing()

    def listing(self, directory: Path, *, is_tree: bool, folder: list[str]) -> object:
        """Return what the hub says of a repository, or of a folder in it: there are none."""
        files = [] if folder else sorted(directory.iterdir())
        if is_tree:
            return [{"type": "file", "path": file.name, "size": file.stat().st_size, "oid": COMMIT} for file in files]
        name = f"org/{directory.name}"
        return {"id": name, "modelId": name, "sha": COMMIT, "siblings": [{"rfilename": file.name} for file in files]}

    def answer_json(self, body: object) -> None:
        self.respond(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def answer_file(self, data: bytes) -> None:
        self.respond(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def answer_nothing(self) -> None:
        self.respond(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    def respond(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def hub() -> Iterator[str]:
    """Serve until the block ends; gives the address for HF_ENDPOINT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
