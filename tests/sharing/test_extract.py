"""Indicators out of text: what is found, what is left out and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharing.stix.extract import (
    MAX_CHARS,
    IndicatorKind,
    TextTooLong,
    extract,
    without_suffix,
)
from sharing.stix.internet import Names, own_label
from tests.patience import assert_linear

SHA256 = "9f2c4a7be1d08356f4c1a2b39d7e6058c1f4a90b2d3e5f6718293a4b5c6d7e8f"


def values(text: str, own: frozenset[str] = frozenset()) -> list[str]:
    """``kind value`` of everything found."""
    return [f"{i.kind.value} {i.value}" for i in extract(text, own=Names(own)).indicators]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.7", "ipv4 203.0.113.7"),
        ("203.0.113[.]7", "ipv4 203.0.113.7"),
        ("203(.)0(.)113(.)7:443", "ipv4 203.0.113.7"),
        ("from 203。0。113。7.", "ipv4 203.0.113.7"),
        ("2001:DB8:0:0::1", "ipv6 2001:db8::1"),
        ("2001[:]db8[:][:]1", "ipv6 2001:db8::1"),
        ("dark-tide[.]example", "domain dark-tide.example"),
        ("Dark-Tide{.}Example,", "domain dark-tide.example"),
        ("evil[dot]com", "domain evil.com"),
        ("hxxps://dark-tide[.]example/Pay?id=1.", "url https://dark-tide.example/Pay?id=1"),
        ("(see hXXp://evil[.]com/a_(b))", "url http://evil.com/a_(b)"),
        ("hxxp[:]//evil[.]com:8080/x", "url http://evil.com:8080/x"),
        ("http://203.0.113.9/x", "url http://203.0.113.9/x"),
        ("unlock[at]dark-tide[.]example", "email unlock@dark-tide.example"),
        ("unlock(at)evil.com", "email unlock@evil.com"),
        ("d41d8cd98f00b204e9800998ecf8427e", "md5 d41d8cd98f00b204e9800998ecf8427e"),
        (
            "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
            "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        ),
        (SHA256.upper(), f"sha256 {SHA256}"),
        ("cve-2023-34362", "cve CVE-2023-34362"),
        ("２０３.０．113.７", "ipv4 203.0.113.7"),
        ("From: Pay Us <pay@evil.com>\r\nTo: duty@quay.com", "email pay@evil.com"),
        ("To: a@quay.com,\n\tb@quay.com\nReply-To: pay@evil.com", "email pay@evil.com"),
        ("Message-ID: <1@evil.com>\nReferences:\n <2@evil.com>\n 44.1.2.3", "ipv4 44.1.2.3"),
    ],
)
def test_found_defanged_or_not(text: str, expected: str) -> None:
    assert values(text) == [expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10.1.2.3", "private or reserved"),
        ("127.0.0.1", "private or reserved"),
        ("fe80::1", "private or reserved"),
        ("http://192.168.1.1/x", "private or reserved"),
        ("192.0.0.8", "private or reserved"),
        ("224.0.0.251", "private or reserved"),
        ("2002:7f00:1::1", "private or reserved"),
        ("OpenSSL 3.0.13.1", "version number"),
        ("version 1.2.3.4", "version number"),
        ("999.1.1.1", "each part must be"),
        ("install.sh", "file name"),
        ("backup.zip", "file name"),
        ("server.local", "top-level domain"),
        ("0" * 64, "filler"),
    ],
)
def test_left_out_with_a_reason(text: str, reason: str) -> None:
    found = extract(text)
    assert found.indicators == ()
    assert [reason in one.reason for one in found.ignored] == [True]


@pytest.mark.parametrize(
    "text", ["at 06:30:12", "00:1a:2b:3c:4d:5e", "e.g. this", "1.2.3", "", "a" * 33, f"x{SHA256}"]
)
def test_nothing_to_see(text: str) -> None:
    assert extract(text).indicators == ()


def test_the_reporters_own_names_are_left_out() -> None:
    text = (
        "NQ-7.northquay.example k.mori@northquay.example https://www.northquay.example/x "
        "198.51.100.9 44.7.0.9 http://44.7.255.1/x 2a00:1:2::9 44.8.0.1 evil.com"
    )
    own = frozenset({"northquay.example", "198.51.100.9", "44.7.0.0/16", "2a00:1:2::/48"})
    assert values(text, own) == ["ipv4 44.8.0.1", "domain evil.com"]
    assert all(
        "reporting organisation" in one.reason for one in extract(text, own=Names(own)).ignored
    )


def test_what_an_owner_chose_of_a_name() -> None:
    assert [own_label(d) for d in ("soc.quay.co.jp", "quay.example")] == ["quay", "quay"]
    found = extract("hxxps://pay.evil[.]one/one 203.0.113.7 a@evil.co.jp").indicators
    assert [without_suffix(i.kind, i.value) for i in found] == [
        "https://pay.evil/one",
        "203.0.113.7",
        "a@evil",
    ]


def test_each_value_once_at_its_first_place() -> None:
    text = "a 203.0.113.7 b 203.0.113[.]7"
    [found] = extract(text).indicators
    assert text[found.start : found.end] == "203.0.113.7"


def test_a_text_that_is_too_long_is_said() -> None:
    with pytest.raises(TextTooLong, match="262,144"):
        extract("x" * (MAX_CHARS + 1))


@pytest.mark.parametrize(
    "unit",
    [
        "[.",
        "hxxp",
        "@",
        "a.",
        "1.",
        "a-",
        ":",
        "f:",
        "a",
        "a@",
        "[at]",
        "http://",
        "(.)",
        "。",
        "a[at]",
        "1.2.3.4 ",
    ],
)
def test_hostile_text_is_read_in_linear_time(unit: str) -> None:
    assert_linear(lambda size: extract((unit * size)[:size]), MAX_CHARS)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_no_text_is_too_strange(text: str) -> None:
    for found in extract(text).indicators:
        assert text[found.start : found.end]


@given(
    st.lists(
        st.tuples(st.integers(1, 223), st.integers(0, 255), st.integers(0, 255)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([".", "[.]", "(.)", "{.}", "[dot]"]),
)
def test_finds_what_the_reference_tool_finds(numbers: list[tuple[int, int, int]], dot: str) -> None:
    from ioc_finder import find_iocs

    text = " and ".join(f"198.51.100.{c} evil{a}-{b}.com".replace(".", dot) for a, b, c in numbers)
    ours = {(i.kind, i.value) for i in extract(text).indicators}
    theirs = find_iocs(text)
    # Its e-mail and URL readings of plain host names are not compared: those are ours by design.
    assert {(IndicatorKind.IPV4, v) for v in theirs["ipv4s"]} <= ours
    assert {(IndicatorKind.DOMAIN, v) for v in theirs["domains"]} <= ours
