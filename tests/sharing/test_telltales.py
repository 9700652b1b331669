"""Words that name somebody: what is found under which disguise, and what is no such word."""

import base64

import pytest

from sharing.stix.telltales import Telltales, brand, rare_words

NAME = "North Quay Terminal"
OWN = Telltales(
    [NAME, "k.mori@northquay.example", "MSC", "ONE", "Köln Hafen", "名古屋埠頭", "198.51.100.9"],
    hints=[brand(NAME), "apex"],
    chosen=["MSC", "ONE"],
)


def encoded(text: str, charset: str = "utf-8") -> str:
    """In Base64."""
    return base64.b64encode(text.encode(charset)).decode()


@pytest.mark.parametrize(
    "value",
    [
        "northquayterminal.com",
        "north-quay-terminal.evil.com",
        "north.quay.evil.com",
        "my-northquay-login.evil.com",
        "https://evil.com/?v=North%20Quay",
        "https://evil.com/?v=North%2520Quay",
        "https://evil.com/%6e%6f%72%74%68quay",
        "https://evil.com/NORTH_QUAY.zip",
        "https://evil.com/ｎｏｒｔｈ\N{ZERO WIDTH SPACE}quay",
        f"https://evil.com/pay/{encoded('k.mori@northquay.example')}",
        f"https://evil.com/a{encoded('North Quay')}",
        f"https://evil.com/?c={encoded('north quay', 'utf-16-le')}",
        f"https://evil.com/{b'northquay'.hex()}",
        "k.mori.northquay.example@evil.com",
        "koln-hafen.evil.com",
        "xn--klnhafen-n4a.evil.com",
        "https://evil.com/%E5%90%8D%E5%8F%A4%E5%B1%8B%E5%9F%A0%E9%A0%AD",
        "msc.evil.com",
        "https://evil.com/one/pay",
        "apex-login.evil.com",
    ],
)
def test_a_disguised_word_is_found(value: str) -> None:
    assert list(OWN.disguised_in(["evil.com", value])) == [value]


@pytest.mark.parametrize(
    "value",
    [
        "evil.com",
        "northern-quarry.evil.com",
        "terminal.evil.com",
        "phone.evil.com",
        "mscorlib.evil.com",
        "apexes.evil.com",
        "https://evil.com/?q=aGVsbG8gd29ybGQsIGhvdyBhcmUgeW91",
        "198.51.100.94",
        "https://evil.com/%",
        "xn--.evil.com",
    ],
)
def test_what_only_looks_alike_is_not(value: str) -> None:
    assert OWN.disguised_in([value]) == {}


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("No one of us is alone; phone the desk.", []),
        ("A customer of ONE was hit.", ["ONE"]),
        ("Ships of MSC.", ["MSC"]),
        ("The apex of the wave", []),
        ("NorthQuay's yard", ["north quay"]),
        ("Check.\nNorth  Quay Terminal", ["North Quay Terminal", "north quay"]),
        ("名古屋埠頭で停止", ["名古屋埠頭"]),
    ],
)
def test_a_sentence_may_use_ordinary_words(prose: str, found: list[str]) -> None:
    assert OWN.alluded_to_in(prose) == found


def test_what_is_left_of_a_name() -> None:
    names = ["North Quay Terminal", "Port Authority", "The Kestrel Trucking Co., Ltd.", "MSC"]
    assert [brand(name) for name in names] == ["north quay", "", "kestrel", "msc"]
    assert rare_words("K. Morikawa, duty officer") == ["morikawa"]
