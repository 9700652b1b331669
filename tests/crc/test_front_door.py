"""Logging in, and what comes to the door that is no request of ours."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.core.cache import caches
from django.test import Client

from tests.conftest import Port
from tests.hub import ROOT

RIGHT = "harbour-lantern-42"


def log_in(email: str, password: str, address: str = "192.0.2.1", **more: Any) -> int:
    """The status of one try."""
    credentials = {"login": email, "password": password}
    page = Client(REMOTE_ADDR=address).post("/accounts/login/", credentials, **more)
    return page.status_code


@pytest.fixture
def counters(settings: Any) -> Iterator[None]:
    """The real cache, at a broker that is not there; its limits are kept in this process."""
    settings.CACHES = {
        "default": {
            "BACKEND": "crc.cache.BrokerOrMemory",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }
    memory = caches["default"]._cache._memory
    memory.clear()
    yield
    memory.clear()


def test_without_a_broker_people_log_in_and_tries_are_limited(port: Port, counters: None) -> None:
    assert log_in("duty@north.example", RIGHT) == 302
    wrong = [log_in("duty@north.example", "wrong") for _ in range(6)]
    assert wrong == [200] * 6
    assert log_in("duty@north.example", RIGHT) == 200  # this address has to wait


def test_a_stranger_cannot_lock_an_account(port: Port, counters: None) -> None:
    for _ in range(9):
        log_in("duty@desk.example", "wrong", address="198.51.100.66")
    assert log_in("duty@desk.example", RIGHT, address="198.51.100.66") == 200
    assert log_in("duty@desk.example", RIGHT, address="192.0.2.1") == 302


def test_one_address_tries_so_many_accounts(port: Port, counters: None) -> None:
    for number in range(10):
        log_in(f"guess{number}@north.example", "wrong", address="198.51.100.66")
    assert log_in("duty@north.example", RIGHT, address="198.51.100.66") == 200


def test_mailed_links_lead_to_the_hub_whatever_the_host_says(port: Port, settings: Any) -> None:
    settings.BASE_URL = "https://hub.port.example"
    Client().post(
        "/accounts/password/reset/",
        {"email": "duty@north.example"},
        headers={"host": "evil.example"},
    )
    (letter,) = mail.outbox
    assert "evil.example" not in f"{letter.subject} {letter.body}"
    links = re.findall(r"https?://[^/\s]+", letter.body)
    assert set(links) == {"https://hub.port.example"}


def test_pages_are_kept_by_nobody(port: Port) -> None:
    for path in ("/report/", "/warnings/", "/accounts/login/"):
        assert port.client("north").get(path, follow=True)["Cache-Control"] == "private, no-store"


def test_a_link_out_of_a_mail_is_told_to_no_log_as_referer(port: Port) -> None:
    for path in ("/mails/x/", "/answer/x/", "/ok/x/", "/accounts/login/"):
        answer = port.client("north").get(path, follow=True)
        # Not no-referrer: browsers would then send "Origin: null", which the CSRF check refuses.
        assert answer["Referrer-Policy"] == "strict-origin", path


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "shift_jis", "no-such"])
@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_charset_is_a_clear_error(port: Port, charset: str, media: str) -> None:
    sent = f"{media}; boundary=x; charset={charset}"
    page = port.client("north").generic("POST", "/report/", b"attack=+AAA-", sent)
    assert page.status_code == 400
    assert "UTF-8 alone" in page.content.decode()


def test_too_many_answers_are_a_clear_error(port: Port) -> None:
    page = port.client("north").post("/report/", {"withheld": ["44.1.2.3"] * 1_001})
    assert page.status_code == 400
    assert "more than 1,000 answers" in page.content.decode()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CRC_OUTBOUND_ALLOWED_NETWORKS", "10.0.0.0/8,lan", "holds 'lan'"),
        ("CRC_TIME_ZONE", "Mars/Olympus", "must be a time zone"),
        ("CRC_LOG_LEVEL", "LOUD", "must be one of DEBUG"),
        ("CRC_SMTP_URL", "smtp://user:secret", "is no address"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, name: value, "DJANGO_SETTINGS_MODULE": "crc.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(name)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
