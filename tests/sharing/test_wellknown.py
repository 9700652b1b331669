"""What everybody needs is known as that; what an attacker may own is not."""

import pytest

from sharing.stix.extract import extract
from sharing.stix.wellknown import known_as


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("8.8.8.8", "a public DNS service"),
        ("http://8.8.8.8/x", "a public DNS service"),
        ("2001:4860:4860:0::8888", "a public DNS service"),
        ("198.41.0.4", "a root server of the DNS"),
        ("microsoft.com", "a site that the port's work needs"),
        ("login.microsoftonline.com", "a site that the port's work needs"),
        ("https://www.microsoft.com./x", "a site that the port's work needs"),
        ("security@microsoft.com", "a site that the port's work needs"),
        ("gmail.com", "a service where anybody can publish"),
        ("https://drive.google.com/", "a service where anybody can publish"),
        ("sharepoint.com", "a service whose customers have names of their own in it"),
        ("d41d8cd98f00b204e9800998ecf8427e", "the hash of an empty file"),
        # An attacker's own corner of a place that is open to anybody.
        ("https://drive.google.com/uc?id=3", ""),
        ("unlock@gmail.com", ""),
        ("payload.sharepoint.com", ""),
        ("notmicrosoft.com", ""),
        ("microsoft.com.evil.com", ""),
        ("https://microsoft.com@evil.com/", ""),
        # Documentation ranges stand in for attackers, here and in exercises.
        ("203.0.113.66", ""),
        ("2001:db8::66", ""),
    ],
)
def test_known_as(value: str, known: str) -> None:
    [found] = extract(value).indicators
    assert known_as(found.kind, found.value) == known
