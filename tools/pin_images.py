"""Pin the images in deploy/ to digests: `make pin-images`.

A tag such as `python:3.13-slim-trixie` names another image with each update; with `@sha256:...`
behind it, everybody gets the same one. Docker's registry is asked for what the tags name now. Run
it before a release, and whenever the images have been updated.
"""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

ROOT = Path(__file__).parent.parent
FILES = (ROOT / "deploy" / "Dockerfile", ROOT / "deploy" / "compose.yaml")
REGISTRY = "https://registry-1.docker.io"
AUTH = "https://auth.docker.io/token?service=registry.docker.io"
TIMEOUT = 20
_IMAGE = re.compile(r"(?m)^(FROM |\s+image: )([a-z]+):([\w.-]+)(?:@sha256:[0-9a-f]{64})?")
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class RegistryError(Exception):
    """The registry gave no digest; the text is one line."""


def images(text: str) -> set[tuple[str, str]]:
    """Return the names and tags of the images that a file takes from the registry."""
    return {(name, tag) for _, name, tag in _IMAGE.findall(text) if name != "elecdata"}


def pinned(text: str, digests: Mapping[tuple[str, str], str]) -> str:
    """Return the file with these digests behind the tags."""

    def with_digest(found: re.Match[str]) -> str:
        before, name, tag = found.groups()
        digest = digests.get((name, tag))
        return f"{before}{name}:{tag}@{digest}" if digest else found[0]

    return _IMAGE.sub(with_digest, text)


def current_digest(name: str, tag: str, *, registry: str = REGISTRY, auth: str = AUTH) -> str:
    """Return the digest of what a tag names now, for all platforms; raise RegistryError."""
    try:
        scope = quote(f"repository:library/{name}:pull")
        token = json.loads(_get(f"{auth}&scope={scope}", {}))["token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": ", ".join(_INDEXES)}
        index = _get(f"{registry}/v2/library/{name}/manifests/{tag}", headers)
        is_index = json.loads(index)["mediaType"] in _INDEXES
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        raise RegistryError(f"{name}:{tag}: {error or type(error).__name__}") from error
    if not is_index:
        raise RegistryError(f"{name}:{tag} is of one platform only")
    # The digest is of the content itself, so that the answer need not be believed.
    return f"sha256:{hashlib.sha256(index).hexdigest()}"


def _get(url: str, headers: Mapping[str, str]) -> bytes:
    with urlopen(Request(url, headers=dict(headers)), timeout=TIMEOUT) as response:  # noqa: S310 - of the addresses above
        body: bytes = response.read()
        return body


def main() -> int:
    """Pin all images, or none; return the exit status."""
    texts = {file: file.read_text() for file in FILES}
    named = sorted(set().union(*map(images, texts.values())))
    try:
        digests = {image: current_digest(*image) for image in named}
    except RegistryError as error:
        print(f"the registry gives no digest, and nothing was changed: {error}", file=sys.stderr)
        return 1
    for file, text in texts.items():
        file.write_text(pinned(text, digests))
    for (name, tag), digest in digests.items():
        print(f"{name}:{tag}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
