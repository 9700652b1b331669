"""The morning of 4 July 2023, step by step: a report, the warnings, the answers, what stays hidden.

Nagoya's container terminals went down that day; everything told here is invented.
"""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from crc.demo.actors import Browser, Tool
from crc.demo.cast import (
    ANCHOR,
    HASH,
    KESTREL,
    MEMBERS,
    NORTH,
    NOTE,
    RAIL,
    SOUTH,
    TELLTALES,
    Cast,
    command,
)
from crc.demo.step import Clock, find, hold, row, say, wait_for

# Milliseconds from the click on "send" that each kind of receiver may wait.
LIMITS: Final = {"taxii": 1000, "webhook": 2000, "mail": 3000}
LISTS: Final = ("ipv4", "ipv6", "domain", "url", "email", "sha256")


def play(cast: Cast) -> dict[str, float]:
    """The whole morning; returns the milliseconds by receiver. Raises StepFailed."""
    times = first_report(cast)
    answers(cast)
    times["corroboration"] = corroboration(cast)
    hidden(cast)
    for name, limit in LIMITS.items():
        if times[name] >= limit:  # a busy machine is no broken step; bench/walk.py measures
            say(f"\nSlow: {name} took {times[name]:.0f} ms, and should take less than {limit}.")
    return times


# --- the first report -----------------------------------------------------------------------------
def first_report(cast: Cast) -> dict[str, float]:
    """North reports; everyone else learns. Returns the milliseconds by receiver."""
    shelf = cast.siem.community()
    hold(shelf is not None, "the south terminal sees no community collection")
    north = cast.officer(NORTH)
    fields = report_fields(
        north.get("/report/"),
        warn=True,
        technical=NOTE,
        narrative="North Quay Terminal: printer NQ-YARD-07 printed a ransom note. K. Morikawa",
    )
    row("0 ms", NORTH.name, "presses “Send the report”: the yard system prints a ransom note")
    clock = Clock()
    times = {
        "receipt": receipt(north, fields, clock),
        "taxii": siem_polls(shelf, clock),
        "webhook": webhook_arrives(cast, clock),
        "mail": mails_arrive(cast, clock),
    }
    firewall_fetches(cast, clock)
    hold(
        not any(mail.to in {NORTH.email, *NORTH.contacts} for mail in cast.mails.mails),
        "the source was warned of its own report",
    )
    return times


def report_fields(page: str, *, warn: bool, technical: str, narrative: str) -> dict[str, str]:
    """The form as the duty officer fills it."""
    return {
        "token": find(r'name="token" value="([^"]+)"', page, "the form carries no token"),
        "attack": "ransomware",
        "system_yard": "down",
        "noticed_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M}",
        "time_zone": "UTC",
        "narrative": narrative,
        "technical": technical,
        "warn_now": "yes" if warn else "no",
        "tlp": "AMBER+STRICT",
    }


def receipt(north: Browser, fields: dict[str, str], clock: Clock) -> float:
    """The reporter sees a reference, and what the hub understood."""
    page = north.post("/report/", fields)
    reference = find(r"(R-[0-9A-Z]{4}-[0-9A-Z]{4})", page, "the receipt shows no reference")
    hold(HASH in page, "the receipt does not show that the hash was understood")
    return clock.tell(NORTH.name, f"has its receipt, {reference}")


def siem_polls(shelf: Any, clock: Clock) -> float:
    """The hash is in an indicator on the community's shelf."""

    def hash_on_shelf() -> bool:
        objects = shelf.get_objects(type="indicator").get("objects", [])
        return any(HASH in indicator["pattern"] for indicator in objects)

    wait_for(hash_on_shelf, "the indicator over TAXII")
    return clock.tell(SOUTH.name, "its SIEM polls the new indicators over TAXII (taxii2-client)")


def webhook_arrives(cast: Cast, clock: Clock) -> float:
    """The shipping line's receiver has the warning."""
    wait_for(lambda: cast.hooks.events, "the webhook")
    return clock.tell(ANCHOR.name, "its receiver verified the signed webhook")


def mails_arrive(cast: Cast, clock: Clock) -> float:
    """Every other member has a mail."""
    wait_for(lambda: len(cast.mails.mails) >= len(MEMBERS) - 1, "the mails")
    return clock.tell("Everyone else", f"{len(cast.mails.mails)} mails are in the sink")


def firewall_fetches(cast: Cast, clock: Clock) -> None:
    """The hash is on the plain list."""
    hold(HASH in plain_list(cast.firewall, "sha256"), "the firewall's list lacks the hash")
    clock.tell(KESTREL.name, "its firewall fetched /lists/sha256.txt with the new hash")


def plain_list(firewall: Tool, kind: str) -> str:
    """The list of one kind. Raises StepFailed when the hub does not give it."""
    status, body = firewall.get(f"/lists/{kind}.txt")
    hold(status == 200, f"/lists/{kind}.txt: status {status}")
    return body


# --- the answers ----------------------------------------------------------------------------------
def answers(cast: Cast) -> None:
    """By the link out of the mail, and in the inbox; the desk sees both."""
    clock = Clock()
    answer_by_mail(cast)
    clock.tell(RAIL.name, "answers from the mail, without a login: not affected")
    answer_in_the_hub(cast)
    clock.tell(SOUTH.name, "answers in the hub: affected")
    desk_follows(cast)
    clock.tell("The desk", "sees who was sent what, and who has answered")


def answer_by_mail(cast: Cast) -> None:
    """The railway follows the link of its mail, and presses the button there."""
    text = next((mail.text for mail in cast.mails.mails if mail.to == RAIL.email), "")
    link = find(r"Not affected:\s+(\S+)", text, "the mail carries no link to answer by")
    path = urlsplit(link).path
    rail = Browser(cast.base)
    rail.get(path)
    page = rail.post(path, {"choice": "not-affected"})
    hold("Thank you" in page, "the one-tap answer was not taken")


def answer_in_the_hub(cast: Cast) -> None:
    """The south terminal opens the warning in its inbox."""
    south = cast.officer(SOUTH)
    warning = find(
        r'href="(/warnings/[0-9a-f-]{36}/)"',
        south.get("/warnings/"),
        "the south terminal's inbox is empty",
    )
    south.get(warning)
    page = south.post(warning, {"choice": "affected", "note": "two machines in the gatehouse"})
    hold("Your answer is with the desk" in page, "the inbox answer was not taken")
    hold('name="narrative"' in page, "who is affected was not led to the report form")
    hold("Affected" in south.get(warning), "the warning does not show the answer")


def desk_follows(cast: Cast) -> None:
    """The desk's page of the warning shows both answers."""
    desk = cast.desk()
    coverage = find(
        r'href="(/desk/warnings/[0-9a-f-]{36}/)"', desk.get("/desk/"), "the desk sees no warning"
    )
    page = desk.get(coverage)
    hold("Not affected" in page and "gatehouse" in page, "the desk does not see who answered")


# --- the second report ----------------------------------------------------------------------------
def corroboration(cast: Cast) -> float:
    """The railway sees the same hash and keeps its report private; everybody is told it is two."""
    before = len(cast.hooks.events)
    rail = cast.officer(RAIL)
    fields = report_fields(
        rail.get("/report/"),
        warn=False,
        technical=f"found {HASH}",
        narrative="The same file on the planner's machine.",
    )
    clock = Clock()
    page = rail.post("/report/", fields)
    hold("What happens next" in page, "the railway has no receipt")
    clock.tell(RAIL.name, "reports the same hash, privately")
    event = wait_for(lambda: cast.hooks.events[before:], "the corroboration warning")[0]
    title, severity = event["data"]["title"], event["data"]["severity"]
    hold(
        event["type"] == "alert.corroboration" and "2 members" in title,
        "the second warning does not say that two members saw it",
    )
    elapsed = clock.tell("Everyone", f"“{title}” ({severity})")
    time.sleep(1)  # for a second one to show
    hold(len(cast.hooks.events) == before + 1, "more than one corroboration warning went out")
    return elapsed


# --- what stayed hidden ---------------------------------------------------------------------------
def hidden(cast: Cast) -> None:
    """Who reported, from everybody; the community's shelf, from those outside it."""
    shelf = cast.siem.community()
    texts = reached_others(cast, shelf)
    no_telltale_in(texts)
    row("", "hidden", f"none of {len(TELLTALES)} identifying words in {', '.join(texts)}")
    strangers_are_refused(cast, f"/crc/collections/{shelf.id}/objects/")
    row("", "hidden", "outsider's key gets 404, no key 401, a wrong key 401")
    hold(cast.hooks.forged == 0, "a webhook came without a valid signature")
    row("", "audit", f"{command('verify_audit')[:60]}…")


def reached_others(cast: Cast, shelf: Any) -> dict[str, str]:
    """All that anybody but the source got to read, by the way that it came."""
    return {
        "TAXII": json.dumps(shelf.get_objects()),
        "webhooks": json.dumps(cast.hooks.events),
        "mails": "\n".join(f"{mail.subject}\n{mail.text}" for mail in cast.mails.mails),
        "pages": cast.officer(ANCHOR).get("/warnings/"),
        "lists": "".join(plain_list(cast.firewall, kind) for kind in LISTS),
    }


def no_telltale_in(texts: dict[str, str]) -> None:
    """Raises StepFailed with the word that would name the source, and where it is."""
    for where, text in texts.items():
        for word in TELLTALES:
            # A time of day occurs by chance in our own time stamps; there it must stand alone.
            alone = rf".{{0,30}}(?<![\d:T]){re.escape(word)}(?![\d:]).{{0,30}}"
            leak = re.search(alone, text, re.IGNORECASE)
            hold(not leak, f"“{word}” reached others in {where}: {leak and leak[0]}")


def strangers_are_refused(cast: Cast, path: str) -> None:
    """The community's objects are not there for an outsider, and not for nobody."""
    hold(cast.outsider.community() is None, "the outsider sees the community's collection")
    nobody, forger = Tool(cast.base, ""), Tool(cast.base, f"{cast.siem.key}x")
    for caller, expected in ((cast.outsider, 404), (nobody, 401), (forger, 401)):
        status, _ = caller.get(path)
        hold(status == expected, f"expected {expected} for a wrong caller, got {status}")
