"""What may stand on a firewall's list, at its borders."""

import ipaddress

import pytest

from sharing.stix.extract import IndicatorKind
from sharing.stix.internet import is_public
from sharing.stix.listable import is_listable


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("0.255.255.255", "1.0.0.0"),
        ("10.0.0.0", "9.255.255.255"),
        ("10.255.255.255", "11.0.0.0"),
        ("100.64.0.0", "100.63.255.255"),
        ("127.0.0.1", "126.255.255.255"),
        ("169.254.169.254", "169.255.0.0"),
        ("172.31.255.255", "172.32.0.0"),
        ("192.0.0.8", "192.0.1.0"),
        ("192.168.255.255", "192.169.0.0"),
        ("198.19.255.255", "198.20.0.0"),
        ("224.0.0.1", "223.255.255.255"),
        ("255.255.255.255", "203.0.113.255"),
        ("::1", "2000::"),
        ("::ffff:8.8.8.8", "2001:200::"),
        ("2002:808:808::1", "2003::"),
        ("fe80::1", "2a00::1"),
        ("ff02::1", "3ffe::1"),
        ("3fff:fff::1", "3fff:1000::"),
    ],
)
def test_the_borders_of_what_is_nobodys_to_attack_from(inside: str, outside: str) -> None:
    assert not is_public(ipaddress.ip_address(inside))
    assert is_public(ipaddress.ip_address(outside))


@pytest.mark.parametrize("exercise", ["192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::1"])
def test_exercises_live_on_the_networks_for_documentation(exercise: str) -> None:
    assert is_public(ipaddress.ip_address(exercise))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (IndicatorKind.IPV4, "45.83.0.1"),
        (IndicatorKind.IPV4, "45.83.0.0/16"),
        (IndicatorKind.IPV6, "2a00:1450::/32"),
        (IndicatorKind.IPV6, "2a00:1450::8"),
        (IndicatorKind.DOMAIN, "gate.evil-port.com"),
        (IndicatorKind.URL, "https://gate.evil-port.com/a"),
        (IndicatorKind.EMAIL, "bill@evil-port.com"),
        (IndicatorKind.MD5, "0" * 32),
    ],
)
def test_what_a_firewall_can_use(kind: IndicatorKind, value: str) -> None:
    assert is_listable(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (IndicatorKind.IPV4, "45.83.0.1/8"),
        (IndicatorKind.IPV4, "45.0.0.0/8"),
        (IndicatorKind.IPV4, "192.168.1.0/24"),
        (IndicatorKind.IPV4, "45.83.0.1\n10.0.0.1"),
        (IndicatorKind.IPV4, "2a00:1450::8"),
        (IndicatorKind.IPV4, "045.83.0.1"),
        (IndicatorKind.IPV6, "45.83.0.1"),
        (IndicatorKind.IPV6, "2a00:1450::8%eth0"),
        (IndicatorKind.IPV6, "2a00::/16"),
        (IndicatorKind.DOMAIN, "com"),
        (IndicatorKind.DOMAIN, "co.jp"),
        (IndicatorKind.DOMAIN, "10.0.0.1"),
        (IndicatorKind.URL, "javascript://x"),
        (IndicatorKind.MD5, "0" * 31),
        (IndicatorKind.CVE, "CVE-2026-0001"),
    ],
)
def test_what_would_stop_a_firewall_or_the_port(kind: IndicatorKind, value: str) -> None:
    assert not is_listable(kind, value)
