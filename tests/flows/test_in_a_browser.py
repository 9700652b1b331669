"""The walk in a real browser: keyboard alone, live update, no serious accessibility issue."""

import base64
import re
import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.hub import PASSWORD, RunningHub, people, running_hub

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.embedded,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: Chromium is not installed"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    """One hub for the whole walk."""
    with running_hub() as made:
        people(made)
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


def log_in(browser: Browser, hub: RunningHub, email: str, width: int = 1280) -> Page:
    """A page of a fresh browser, logged in; what its console complains of is collected."""
    page = browser.new_context(viewport={"width": width, "height": 844}).new_page()
    page.set_default_timeout(10_000)
    complaints: list[str] = []
    page.complaints = complaints  # type: ignore[attr-defined]
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.goto(f"{hub.base}/accounts/login/")
    page.keyboard.press("Tab")
    page.fill("#id_login", email)
    page.fill("#id_password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/(warnings|desk)/"))
    return page


def serious(page: Page) -> list[str]:
    """What axe finds serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {v['nodes'][0]['target']}"
        for v in found
        if v["impact"] in {"serious", "critical"}
    ]


# What a screen reader would say of the element that has the focus.
_FOCUS = "document.activeElement.ariaLabel || document.activeElement.innerText"


def overflows(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_a_report_by_keyboard_alone_reaches_the_others_live(
    hub: RunningHub, browser: Browser
) -> None:
    desk = log_in(browser, hub, "desk@hub.example")
    desk.locator("text=Nothing has come in yet").wait_for()
    rail = log_in(browser, hub, "duty@rail.example")
    rail.wait_for_timeout(500)  # the live line opens
    north = log_in(browser, hub, "duty@north.example")
    north.goto(f"{hub.base}/report/")
    press = north.keyboard.press

    def focus(name: str) -> None:
        """Tab until the field of this name has the focus."""
        for _ in range(60):
            if north.evaluate("document.activeElement.name") == name:
                return
            press("Tab")
        raise AssertionError(f"{name} cannot be reached with the Tab key")

    focus("attack")
    press("Space")
    focus("system_yard")
    north.keyboard.type("Stopped")
    focus("narrative")
    north.keyboard.type("The yard printer printed a ransom note.")
    focus("technical")
    north.keyboard.type("hxxps://dark-tide[.]example/pay 203.0.113[.]66")
    focus("warn_now")
    press("ArrowUp")
    focus("may_name")
    press("Tab")
    press("Enter")
    north.wait_for_url(re.compile("/reports/R-"))
    assert north.locator(".reference").inner_text().startswith("R-")
    assert "203.0.113.66" in north.content()

    # The desk's open page shows it without a reload: it looks by itself every half minute only.
    desk.locator("td a", has_text="R-").wait_for()
    assert desk.complaints == []  # type: ignore[attr-defined]

    # So does the railway's.
    rail.locator("a.item", has_text="Ransomware").wait_for()
    rail.click("a.item")
    rail.check("text=Not affected")
    rail.click("main form button[type=submit]")
    rail.locator("text=Your answer is with the desk").wait_for()
    assert rail.complaints == []  # type: ignore[attr-defined]
    assert north.complaints == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_have_no_serious_accessibility_issue(
    hub: RunningHub, browser: Browser, width: int
) -> None:
    north = log_in(browser, hub, "duty@north.example", width)
    desk = log_in(browser, hub, "desk@hub.example", width)
    rail = log_in(browser, hub, "duty@rail.example", width)
    if not desk.locator("td a").count():
        pytest.fail("the walk before this test left no case")
    looked_at = []
    for page, path, follow in (
        (north, "/report/", ""),
        (north, "/reports/", ""),
        (north, "/reports/", "a.item"),
        (rail, "/warnings/", ""),
        (rail, "/warnings/", "a.item"),
        (rail, "/ladder/", ""),
        (desk, "/desk/", ""),
        (desk, "/desk/", "td a"),
        (desk, "/desk/", "table >> nth=1 >> td a"),
        (desk, "/desk/?show=held", ""),
        (desk, "/accounts/2fa/", ""),
        (desk, "/accounts/password/change/", ""),
        (north, "/tools/", ""),
        (north, "/tools/", ".tiles a"),
        (desk, "/tools/new/", ""),
        (north, "/warnings/wishes/", ""),
        (north, "/warnings/wishes/mine/", ""),
        (north, "/warnings/assets/", ""),
        (desk, "/desk/assets/", ""),
    ):
        page.goto(hub.base + path)
        if follow:
            page.locator(follow).first.click()
            page.wait_for_load_state()
        assert serious(page) == [], page.url
        assert not overflows(page), page.url
        looked_at.append(page.url)
    north.goto(f"{hub.base}/report/")
    north.click("main form button[type=submit]")
    assert len(looked_at) == 19


def test_the_desk_moves_by_arrows_and_confirms_what_goes_out(
    hub: RunningHub, browser: Browser
) -> None:
    north = log_in(browser, hub, "duty@north.example")
    for words in ("Mails ask for a password.", "More of them."):
        north.goto(f"{hub.base}/report/")
        north.check("text=Phishing")
        north.select_option("#id_system_email", "degraded")
        north.fill("#id_narrative", words)
        north.click("main form button[type=submit]")
        north.wait_for_url(re.compile("/reports/R-"))
    desk = log_in(browser, hub, "desk@hub.example", 390)
    desk.goto(f"{hub.base}/desk/?show=open")
    first, second = desk.locator("td a").all()[:2]
    first.focus()
    desk.keyboard.press("ArrowDown")
    assert second.evaluate("link => link === document.activeElement")
    desk.keyboard.press("Enter")
    desk.click("text=Look at what goes out")
    desk.locator("text=will be warned").wait_for()
    assert serious(desk) == []
    assert not overflows(desk)
    desk.click("text=Change something")
    desk.fill("#id_title", "Phishing against the port")
    desk.click("text=Look at what goes out")
    desk.locator("h3", has_text="Phishing against the port").wait_for()
    desk.click("main form button:not(.second)")
    desk.locator("text=the warning is going out").wait_for()
    assert desk.complaints == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_ladder_is_changed_by_keyboard_and_the_desk_answers_for_a_member(
    hub: RunningHub, browser: Browser, width: int
) -> None:
    hub.manage(
        "shell",
        "-v0",
        "-c",
        "from crc.members.models import *; rail = Organisation.objects.get(slug='rail'); "
        "rail.users.update(role='member-admin'); rail.ladder.all().delete(); "
        "Contact.objects.get_or_create(organisation=rail, email='night@rail.example')",
    )
    rail = log_in(browser, hub, "duty@rail.example", width)
    rail.goto(f"{hub.base}/ladder/")

    def press(name: str) -> None:
        """Tab to the button of this name, and press it."""
        for _ in range(60):
            rail.keyboard.press("Tab")
            if name in str(rail.evaluate(_FOCUS)):
                with rail.expect_navigation():
                    rail.keyboard.press("Enter")
                return
        raise AssertionError(f"{name} cannot be reached with the Tab key")

    assert rail.locator(".ladder .whom").all_inner_texts()[0] == "E-mail: night@rail.example"
    press("Change it")
    press("Later: E-mail: night@rail.example")
    rail.locator(".ladder .whom >> nth=0", has_text="duty@rail.example").wait_for()
    assert serious(rail) == []
    assert not overflows(rail)
    press("Remove: E-mail: night@rail.example")
    rail.locator(".ladder .whom >> nth=1", has_text="The desk is told").wait_for()

    desk = log_in(browser, hub, "desk@hub.example", width)
    desk.goto(f"{hub.base}/desk/")
    desk.click("a[href^='/desk/warnings/']")
    with desk.expect_navigation():
        desk.click("text=Harbour Railway")
    assert serious(desk) == []
    assert not overflows(desk)
    desk.fill("#id_told_by", "Ms Sato")
    desk.check("input[value=contained]")
    desk.click("text=Write it down")
    desk.locator("text=Ms Sato by phone").first.wait_for()
    # The coverage shows it by itself, long before it would look of its own accord.
    desk.goto(f"{hub.base}/desk/")
    with desk.expect_navigation():
        desk.click("a[href^='/desk/warnings/']")
    desk.wait_for_timeout(500)  # the live line opens
    rail.goto(f"{hub.base}/warnings/")
    with rail.expect_navigation():
        rail.click("a.item")
    rail.check("input[value=seen]")
    rail.fill("#id_note", f"Looking into it at {width}")
    rail.click("main form button[type=submit]")
    desk.locator(f"text=Looking into it at {width}").wait_for()
    assert desk.complaints == []  # type: ignore[attr-defined]
    assert rail.complaints == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_behind_a_mails_link_is_good_too(
    hub: RunningHub, browser: Browser, width: int
) -> None:
    link = hub.manage(
        "shell",
        "-v0",
        "-c",
        "from alerts import answers; from alerts.models import Delivery; "
        "print(answers.link(Delivery.objects.filter(channel='email').first(), 'seen'))",
    ).split()[-1]
    page = browser.new_context(viewport={"width": width, "height": 844}).new_page()
    page.goto(link)
    assert page.locator("text=Send this answer").is_visible()
    assert serious(page) == []
    assert not overflows(page)


def test_a_key_is_issued_copied_and_tested_live(hub: RunningHub, browser: Browser) -> None:
    desk = log_in(browser, hub, "desk@hub.example")
    desk.goto(f"{hub.base}/tools/new/")
    desk.fill("#id_label", "Desk SIEM")
    desk.click("main form button[type=submit]")
    key = desk.locator("pre").inner_text()
    desk.click("[data-copy]")
    desk.locator("[data-copy]", has_text="Copied").wait_for()
    assert serious(desk) == []
    desk.click("text=Test my connection")
    desk.click("text=Start the test")
    desk.locator("text=Nothing yet").wait_for()
    for password in (key, key[:-1]):
        given = base64.b64encode(f"siem:{password}".encode()).decode()
        desk.request.get(f"{hub.base}/taxii2/", headers={"Authorization": f"Basic {given}"})
    desk.locator("text=2 requests so far").wait_for()
    desk.locator("text=secret after it is wrong").wait_for()
    assert serious(desk) == []
    assert not overflows(desk)
    assert desk.complaints == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_desk_takes_a_warning_back_and_who_was_warned_sees_it(
    hub: RunningHub, browser: Browser, width: int
) -> None:
    north = log_in(browser, hub, "duty@north.example", width)
    north.goto(f"{hub.base}/report/")
    north.check("input[name=attack][value=denial]")
    north.fill("#id_narrative", "The booking site is slow.")
    north.check("text=Yes, warn every member at once")
    north.click("main form button[type=submit]")
    north.wait_for_url(re.compile("/reports/R-"))
    north.locator("text=Members have been warned").wait_for()
    north.click("text=Should it be taken back?")
    north.fill("#id_reason", "It was our own load test.")
    assert serious(north) == []
    assert not overflows(north)
    north.click("text=Ask the desk")
    north.locator("text=You asked the desk to take it back").wait_for()

    desk = log_in(browser, hub, "desk@hub.example", width)
    desk.goto(f"{hub.base}/desk/?show=asked")
    desk.locator("td a").first.click()
    desk.locator("text=The reporter asks you to withdraw this").wait_for()
    desk.click("a >> text=Withdraw")
    desk.fill("#id_text", "It was a test, no attack.")
    desk.click("text=Look at what goes out")
    desk.locator("text=The hub takes this warning back").wait_for()
    assert serious(desk) == []
    assert not overflows(desk)
    desk.click("main form button.danger")
    desk.locator("text=those who were warned are being told").wait_for()

    rail = log_in(browser, hub, "duty@rail.example", width)
    rail.locator("a.item", has_text="Withdrawn").first.click()
    rail.locator("text=It asks for no answer any more").wait_for()
    for page in (desk, rail):
        assert serious(page) == []
        assert not overflows(page)
        assert page.complaints == []  # type: ignore[attr-defined]


_DRAFTS = "Object.keys(sessionStorage).filter((name) => name.startsWith('draft'))"


def test_a_draft_is_its_writers_alone(hub: RunningHub, browser: Browser) -> None:
    """On the shared machine of a control room."""
    page = log_in(browser, hub, "duty@north.example")
    form, restored = f"{hub.base}/report/", page.locator("[data-draft-restored]")
    page.goto(form)
    assert not restored.is_visible()
    page.fill("#id_narrative", "The crane stands still.")
    # A look elsewhere costs nothing, not even at the receipt of another report.
    page.goto(f"{hub.base}/reports/")
    page.locator("a.item").first.click()
    page.goto(form)
    assert restored.is_visible()
    assert page.input_value("#id_narrative") == "The crane stands still."
    restored.get_by_role("button").click()
    page.wait_for_load_state()
    assert page.input_value("#id_narrative") == ""
    assert not restored.is_visible()
    # A session that ended by itself, and somebody else who logs in.
    page.fill("#id_narrative", "The crane stands still.")
    page.context.clear_cookies()
    page.goto(f"{hub.base}/accounts/login/")
    page.fill("#id_login", "duty@rail.example")
    page.fill("#id_password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/warnings/"))
    assert page.evaluate(_DRAFTS) == []
    page.goto(form)
    assert page.input_value("#id_narrative") == ""
    page.fill("#id_narrative", "A train.")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_load_state()
    assert page.evaluate(_DRAFTS) == []
