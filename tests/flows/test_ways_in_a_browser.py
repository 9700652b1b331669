"""The page of a member's addresses, in a real browser: a test's outcome shows by itself."""

import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import Receiver
from tests.conftest import receiver as receiver
from tests.flows.test_in_a_browser import CHROMIUM, log_in, overflows, serious
from tests.flows.test_in_a_browser import browser as browser
from tests.hub import PASSWORD, RunningHub, people, running_hub

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.embedded,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: Chromium is not installed"),
]
PICTURES = os.environ.get("CRC_PICTURES")


def look(page: Page, name: str, width: int) -> None:
    """The page has no serious issue; kept as a picture where CRC_PICTURES says."""
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}-{width}.png", full_page=True)
    assert serious(page) == [], name
    assert not overflows(page), name


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    """One hub for both walks, each with a member of its own."""
    with running_hub(CRC_OUTBOUND_ALLOWED_NETWORKS="127.0.0.1/32") as made:
        people(made)
        for slug in ("rail", "north"):
            words = ["add_user", f"admin@{slug}.example", "--member", slug]
            words += ["--role", "member-admin", "--password-stdin"]
            made.manage(*words, stdin=f"{PASSWORD}\n")
        yield made


@pytest.mark.parametrize(("slug", "width"), [("rail", 1280), ("north", 390)])
def test_an_address_is_added_and_tested_live(
    hub: RunningHub, browser: Browser, receiver: Receiver, slug: str, width: int
) -> None:
    page = log_in(browser, hub, f"admin@{slug}.example", width)
    page.click("text=How they reach you")
    page.locator("text=Nothing yet besides").wait_for()
    look(page, "empty", width)
    page.click("text=Add the first address")
    look(page, "choose", width)
    page.click("a.item >> text=Slack")
    page.fill("#id_address", "https://hooks.example.com/services/T0/B0/x")
    page.click("main form button[type=submit]")
    page.locator("text=must be at hooks.slack.com").wait_for()
    look(page, "refused", width)
    page.goto(f"{hub.base}/warnings/ways/add/webhook/")
    page.fill("#id_address", receiver.url)
    page.fill("#id_label", "Night watch SIEM")
    look(page, "add", width)
    page.click("main form button[type=submit]")
    page.locator("pre").wait_for()
    look(page, "secret", width)
    page.click("text=I have it: send a test")
    page.locator("text=The test was taken").wait_for()
    look(page, "one", width)
    receiver.status = 404
    page.goto(f"{hub.base}/warnings/ways/add/mattermost/")
    page.fill("#id_address", f"{receiver.url}s/hooks/abcdefghijklmnopqrstu")
    page.click("main form button[type=submit]")
    page.click("button >> text=Send a test")
    page.locator("strong", has_text="The test failed").wait_for()
    look(page, "failed", width)
    page.click("text=Remove this address")
    look(page, "remove", width)
    page.goto(f"{hub.base}/warnings/ways/")
    look(page, "list", width)
    page.click("text=Night watch SIEM")
    page.click("text=Replace the secret")
    look(page, "replace", width)
    script = (
        "from alerts import mailing; from crc.members.models import Organisation as O; "
        "print(mailing.link(O.objects.get(slug='rail'), 'duty@rail.example'))"
    )
    page.goto(hub.manage("shell", "-v0", "-c", script).split()[-1])
    look(page, "mails", width)
    assert not [one for one in page.complaints if not re.search("422", one)]  # type: ignore[attr-defined]
