"""Hostile requests, for test_hostile and for a long run: ``python -m tests.taxii.hostile``."""

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

from tests.sharing.test_reading import PLACES, put

COUNT = "CRC_HOSTILE_COUNT"
TAXII = "application/taxii+json;version=2.1"


@dataclass
class Hostile:
    """One request as it reaches WSGI; ``KEY`` and ``SHELF`` in it stand for real ones."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


LONG = st.sampled_from(["a" * 300, "ä" * 5_000, "/" * 3_000, "%00" * 900, "9" * 4_400])
# WSGI hands over bytes as Latin-1: these are NUL, a surrogate, invalid and overlong UTF-8.
ODD = st.sampled_from(
    [
        "\0",
        "a\0b",
        "\xed\xa0\x80",
        "\xff\xfe",
        "\xc0\xaf",
        "..",
        ".",
        "",
        " ",
        "'",
        '"',
        "\\",
        "%",
        "%zz",
        "{{7*7}}",
        "*",
        "null",
        "-1",
        "0",
        "1e309",
        "None",
        "\r\nX: y",
        "\u00a0",
        "é",
    ]
)
WORD = ODD | LONG | st.text(st.characters(max_codepoint=255), max_size=12)

SEGMENT = WORD | st.sampled_from(
    [
        "crc",
        "taxii2",
        "collections",
        "SHELF",
        "INBOX",
        "objects",
        "manifest",
        "versions",
        "status",
        "lists",
        "ipv4.txt",
        "OBJECT",
        "community-green",
        "00000000-0000-0000-0000-000000000000",
    ]
)
GOOD_PATH = st.sampled_from(
    [
        "/taxii2/",
        "/crc/",
        "/crc/collections/",
        "/crc/collections/SHELF/",
        "/crc/collections/SHELF/objects/",
        "/crc/collections/SHELF/manifest/",
        "/crc/collections/SHELF/objects/OBJECT/",
        "/crc/collections/SHELF/objects/OBJECT/versions/",
        "/crc/collections/INBOX/objects/",
        "/lists/ipv4.txt",
        "/lists/domain.txt",
    ]
)
PATH = st.one_of(
    GOOD_PATH,
    GOOD_PATH,
    st.builds("{}{}".format, GOOD_PATH, WORD),
    st.lists(SEGMENT, max_size=8).map(lambda parts: "/" + "/".join(parts)),
    st.builds("/crc/collections/{}/objects/{}/".format, SEGMENT, SEGMENT),
    st.builds("/crc/status/{}/".format, SEGMENT),
)

NAME = WORD | st.sampled_from(
    [
        "limit",
        "next",
        "added_after",
        "match[id]",
        "match[type]",
        "match[version]",
        "match[spec_version]",
        "match[",
        "match[]",
        "match[created]",
    ]
)
VALUE = WORD | st.sampled_from(
    [
        "1",
        "1000",
        "999999999",
        "2026-01-01T00:00:00Z",
        "0000-00-00T00:00:00Z",
        "last",
        "first,all",
        "9999-12-31T23:59:60.999999999Z",
        "0001-01-01T00:00:00Z",
        "all",
        "2.1",
        ",",
        ",".join("abc" * 900),
        "first,last,2026-01-01T00:00:00Z",
        "eyJhZnRlciI6MX0:abc",
        "x~y~z",
        "２",
        "١٢",
    ]
)
PAIR = st.tuples(NAME, VALUE)
QUERY = st.one_of(
    st.just(""),
    st.lists(PAIR, max_size=4).map(
        lambda pairs: "&".join(f"{quote(name, 'latin-1')}={quote(value)}" for name, value in pairs)
    ),
    st.lists(PAIR, max_size=3).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
    ),
    WORD,
).map(lambda text: text.encode("utf-8", "replace").decode("latin-1"))

HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_ACCEPT": WORD
        | st.sampled_from(
            ["*/*", TAXII, "application/taxii+json;version=", ";;;,,,", "*/*;q=x", "a/b;" * 2_000]
        ),
        "HTTP_ACCEPT_ENCODING": WORD
        | st.sampled_from(["gzip", "gzip;q=0", "*;q=nan", "gzip;q=1e9"]),
        "CONTENT_TYPE": WORD | st.sampled_from([TAXII, "application/json", "multipart/form-data"]),
        "CONTENT_LENGTH": WORD | st.sampled_from(["", "-1", "99999999999999999999", "5", "²", "٣"]),
        "HTTP_TRANSFER_ENCODING": st.sampled_from(["chunked", "gzip", "x"]),
        "HTTP_CONTENT_ENCODING": st.sampled_from(["gzip", "br", ""]),
        "HTTP_RANGE": WORD | st.just("bytes=0-" + "9" * 30),
        "HTTP_IF_NONE_MATCH": WORD,
        "HTTP_IF_MODIFIED_SINCE": WORD,
        "HTTP_EXPECT": WORD,
        "HTTP_X_FORWARDED_FOR": WORD,
        "HTTP_USER_AGENT": WORD,
        "HTTP_HOST": WORD,
        "HTTP_COOKIE": WORD,
        "HTTP_AUTHORIZATION": WORD
        | st.sampled_from(
            [
                "Bearer",
                "Basic",
                "Basic !!!!",
                "Basic OjoK",
                "Basic /////w==",
                "Bearer KEY\0",
                "Basic " + "A" * 9_000,
                "Bearer crc_\xff_\xff",
                "Digest a=b",
                "Bearer KEY KEY",
            ]
        ),
    },
)

SCALAR = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2**63,
        2**64,
        2**70,
        10**400,
        1e308,
        "",
        "\0",
        "x\0y",
        "\ud800",
        "a" * 9_000,
        "é",
        "indicator",
        "bundle",
        [],
        {},
        [[]],
        {"": {}},
        {"\0": "\0"},
        {"a" * 3_000: 1},
        [{}] * 50,
    ]
)
JUNK = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
CHANGED = st.builds(lambda place, value: put(*place, value), st.sampled_from(PLACES), JUNK)
ENVELOPES = st.one_of(
    st.lists(CHANGED | JUNK, max_size=5).map(lambda objects: {"objects": objects}),
    st.builds(lambda objects, more: {"objects": objects, "more": more}, JUNK, JUNK),
    JUNK,
)


def text_of(value: Any) -> bytes:
    return json.dumps(value).encode()


RAW = st.sampled_from(
    [
        b"",
        b"{",
        b"[]",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"\x1f\x8b\x08\x00",
        b"[" * 100_000,
        b"9" * 100_000,
        b'{"objects":' * 5_000,
        b'{"objects":[1],"objects":[2]}',
        b'{"objects":[NaN,Infinity,-0]}',
        b'{"objects":[{"id":"\xff"}]}',
        b'{"objects":["\\ud800"]}',
        b'{"objects":[1e99999]}',
        b'{"objects":[' + b'{"type":"x"},' * 9_000 + b"{}]}",
        b'{"objects":[' + b"[" * 40 + b"]" * 40 + b"]}",
        b'{"objects":[{"type":"indicator","type":"malware","id":"a","id":"b"}]}',
    ]
) | st.binary(max_size=60)
BODY = st.one_of(
    ENVELOPES.map(text_of),
    ENVELOPES.map(text_of),
    st.builds(lambda value, cut: text_of(value)[:cut], ENVELOPES, st.integers(0, 400)),
    RAW,
)

METHOD = st.sampled_from(
    ["GET"] * 8
    + ["POST"] * 8
    + ["DELETE"] * 3
    + ["HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "get", "X"]
)
SHELF_POST = st.builds(
    Hostile,
    st.just("POST"),
    st.sampled_from(["/crc/collections/INBOX/objects/", "/crc/collections/SHELF/objects/"]),
    st.just(""),
    st.just({}),
    BODY,
)
REQUESTS = st.builds(Hostile, METHOD, PATH, QUERY, HEADERS, BODY) | SHELF_POST


def main() -> int:
    """The long run: as many requests as asked for, in one pytest run."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--count", type=int, default=20_000)
    os.environ[COUNT] = str(asked.parse_args().count)
    return int(pytest.main(["-q", "-s", "tests/taxii/test_hostile.py"]))


if __name__ == "__main__":
    sys.exit(main())
