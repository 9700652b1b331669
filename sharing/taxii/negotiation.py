"""What has to be settled about a request before medallion's views look at it.

Functions here change a WSGI environment into one that medallion 3.0.0 reads as the standard means
it, whatever the client's dialect (docs/taxii.md lists the clients that need each).
"""

import base64
from io import BytesIO
from typing import Any, Final

from django.conf import settings

from crc.members import credentials

TAXII: Final = "application/taxii+json;version=2.1"
STIX: Final = "application/stix+json;version=2.1"
MAX_CONTENT_LENGTH: Final = 10 * 1024 * 1024
# Below this a packet holds it anyway.
WORTH_COMPRESSING: Final = 1_400
_MEDIA: Final = "application/taxii+json"
_VERSION: Final = "2.1"
_CHUNK: Final = 64 * 1024
_LENGTH_CHARS: Final = 20
# A client that is refused while it still sends sees a broken connection, not the reason.
_DRAINED: Final = 4 * MAX_CONTENT_LENGTH

Environ = dict[str, Any]


class TooLarge(ValueError):
    """The body is longer than MAX_CONTENT_LENGTH."""


def prepare(environ: Environ) -> None:
    """Settle path, method, credentials, media types and body. Raises TooLarge."""
    # Answered as if the slash were there: a redirect would turn a POST into a GET (3.1, T012).
    if not environ["PATH_INFO"].endswith("/"):
        environ["PATH_INFO"] += "/"
    environ["PATH_INFO"] = environ["PATH_INFO"].replace("\0", " ")  # PostgreSQL takes no NUL
    if environ["REQUEST_METHOD"] == "HEAD":
        environ["REQUEST_METHOD"] = "GET"
    environ["HTTP_AUTHORIZATION"] = _basic(environ.get("HTTP_AUTHORIZATION", ""))
    if accepts(environ.get("HTTP_ACCEPT", "")):
        environ["HTTP_ACCEPT"] = TAXII
    if environ["REQUEST_METHOD"] == "POST":
        if _is_taxii(environ.get("CONTENT_TYPE", "")):
            environ["CONTENT_TYPE"] = TAXII
        _body(environ)


def _basic(header: str) -> str:
    """The key as Basic, the one scheme medallion knows; empty when none came."""
    given = credentials.read(header)
    if not given.token or (given.is_basic and not settings.TAXII_BASIC):
        return ""
    return "Basic " + base64.b64encode(f"key:{given.token}".encode()).decode()


def password_in(header: str) -> str:
    """The key in an Authorization header of any scheme taken here; empty when there is none."""
    try:
        pair = base64.b64decode(_basic(header).removeprefix("Basic "), validate=True)
    except ValueError:
        return ""
    return pair.decode(errors="replace").partition(":")[2]


def accepts(header: str) -> bool:
    """Whether the client takes TAXII 2.1. No version, or a wildcard, means the newest (1.6.8)."""
    for part in header.split(",") if header.strip() else ["*/*"]:
        media, parameters = _media(part)
        if _is_zero(parameters.get("q", "1")):
            continue
        if media in {"*/*", "application/*"} or _is_taxii(part):
            return True
    return False


def takes_gzip(environ: Environ) -> bool:
    """Whether the client reads gzip."""
    for part in environ.get("HTTP_ACCEPT_ENCODING", "").split(","):
        coding, parameters = _media(part)
        if coding in {"gzip", "x-gzip", "*"}:
            return not _is_zero(parameters.get("q", "1"))
    return False


def _is_taxii(header: str) -> bool:
    media, parameters = _media(header)
    return media == _MEDIA and parameters.get("version", _VERSION) == _VERSION


def _media(part: str) -> tuple[str, dict[str, str]]:
    media, *parameters = [word.strip() for word in part.lower().split(";")]
    pairs = (word.partition("=") for word in parameters)
    return media, {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _is_zero(quality: str) -> bool:
    return quality.strip("0.") == "" and quality != ""


def _body(environ: Environ) -> None:
    """See that the body has a length medallion can read, and is not too long."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdecimal():
        # Numbers of thousands of digits Python refuses to read.
        if len(length) > _LENGTH_CHARS or int(length) > MAX_CONTENT_LENGTH:
            _drain(environ["wsgi.input"])
            raise TooLarge
        if int(length) == 0:  # which medallion calls too large
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(b" "), "1"
    elif environ["HTTP_AUTHORIZATION"]:  # nobody else makes us hold ten megabytes
        taken = environ["wsgi.input"].read(MAX_CONTENT_LENGTH + 1)
        if len(taken) > MAX_CONTENT_LENGTH:
            _drain(environ["wsgi.input"])
            raise TooLarge
        environ["wsgi.input"] = BytesIO(taken or b" ")
        environ["CONTENT_LENGTH"] = str(len(taken) or 1)
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # it would hide the length


def _drain(stream: Any) -> None:
    left = _DRAINED
    while left > 0 and (taken := stream.read(_CHUNK)):
        left -= len(taken)
