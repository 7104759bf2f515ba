"""`make pin-images`, with a registry of this machine."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tools import pin_images
from tools.pin_images import FILES, RegistryError, current_digest, images, pinned

INDEX = json.dumps({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
OF_ONE_PLATFORM = json.dumps({"mediaType": "application/vnd.oci.image.manifest.v1+json"})
DIGEST = f"sha256:{hashlib.sha256(INDEX.encode()).hexdigest()}"


@contextmanager
def registry(index: str) -> Iterator[dict[str, str]]:
    """A registry that gives its token to everybody, and an index for every tag but `none`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"token": "a token"}) if self.path.startswith("/token") else index
            is_let_in = self.headers["Authorization"] == "Bearer a token"
            is_found = "/token" in self.path or (is_let_in and not self.path.endswith("/none"))
            self.send_response(200 if is_found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield {"registry": address, "auth": f"{address}/token?service=x"}
        server.shutdown()
        thread.join()


def test_digest_is_that_of_the_content_for_all_platforms() -> None:
    with registry(INDEX) as addresses:
        assert current_digest("python", "3.13-slim-trixie", **addresses) == DIGEST
        with pytest.raises(RegistryError, match=r"^python:none: HTTP Error 404"):
            current_digest("python", "none", **addresses)
    with (
        registry(OF_ONE_PLATFORM) as addresses,
        pytest.raises(RegistryError, match="of one platform only"),
    ):
        current_digest("python", "3.13-slim-trixie", **addresses)


def test_every_image_of_the_deployment_is_pinned_and_pinned_again() -> None:
    texts = [file.read_text() for file in FILES]
    named = set().union(*map(images, texts))
    assert {name for name, _ in named} == {"python", "mariadb", "redis"}
    for digit in ("a", "b"):
        texts = [pinned(text, dict.fromkeys(named, f"sha256:{digit * 64}")) for text in texts]
        lines = [line for text in texts for line in text.splitlines() if "@sha256:" in line]
        assert len(lines) == 4
        assert all(line.partition("@")[2].startswith(f"sha256:{digit * 64}") for line in lines)
    assert set().union(*map(images, texts)) == named


def test_nothing_is_changed_if_one_digest_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python:3.13\nFROM redis:none\n")
    monkeypatch.setattr(pin_images, "FILES", (file,))
    with registry(INDEX) as addresses:
        monkeypatch.setattr(
            pin_images, "current_digest", lambda *image: current_digest(*image, **addresses)
        )
        assert pin_images.main() == 1
        assert "redis:none" in capsys.readouterr().err
        assert file.read_text() == "FROM python:3.13\nFROM redis:none\n"
        file.write_text("FROM python:3.13\n")
        assert pin_images.main() == 0
    assert file.read_text() == f"FROM python:3.13@{DIGEST}\n"
