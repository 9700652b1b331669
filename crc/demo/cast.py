"""Who plays: six invented members, documentation address ranges, and a note from a printer."""

import io
import secrets
import sys
from dataclasses import dataclass
from typing import Final

from django.core.management import CommandError, call_command

from crc.demo.actors import Browser, HookSink, MailSink, Tool
from crc.demo.step import StepFailed

HASH: Final = "9f2c4a7be1d08356f4c1a2b39d7e6058c1f4a90b2d3e5f6718293a4b5c6d7e8f"
NOTE: Final = f"""All your files are locked. Do not call the police.
Write to unlock[at]dark-tide[.]example or hxxps://dark-tide[.]example/pay?id=4471
Printed by NQ-YARD-07.northquay.example at 07:30, ticket INC-88231.
dropper sha256 {HASH}, calls 203.0.113[.]66 and 2001:db8[:]66::1; OpenSSL 3.0.13.1 on 10.20.30.40
"""
# Words that would name the source. None may reach anybody else. They are long enough not to occur
# by chance in the random part of a link.
TELLTALES: Final = (
    "North Quay",
    "northquay",
    "NQ-YARD",
    "INC-88231",
    "Morikawa",
    "07:30",
    "10.20.30.40",
)


@dataclass(frozen=True)
class Member:
    """One organisation of the port, with its duty officer."""

    slug: str
    name: str
    role: str
    ceiling: str = "AMBER+STRICT"
    officer: str = "Duty officer"
    contacts: tuple[str, ...] = ()
    telltales: tuple[str, ...] = ()

    @property
    def email(self) -> str:
        """Where the duty officer logs in and is warned."""
        return f"duty@{self.slug}.example"


NORTH: Final = Member(
    "north",
    "North Quay Terminal",
    "terminal",
    officer="K. Morikawa",
    contacts=("soc@northquay.example",),
    telltales=("northquay", "NQ-YARD"),
)
SOUTH: Final = Member("south", "South Basin Terminal", "terminal")
ANCHOR: Final = Member("anchor", "Blue Anchor Line", "shipping-line")
RAIL: Final = Member("rail", "Harbour Railway", "railway")
KESTREL: Final = Member("kestrel", "Kestrel Trucking", "trucking", ceiling="AMBER")
AUTHORITY: Final = Member("authority", "Port Authority", "authority")
MEMBERS: Final = (NORTH, SOUTH, ANCHOR, RAIL, KESTREL, AUTHORITY)
OUTSIDER: Final = Member("outsider", "Outside Supplier", "service-provider", ceiling="CLEAR")
DESK: Final = "desk@hub.example"


@dataclass
class Cast:
    """The running hub's address, and what those who play hold."""

    base: str
    password: str
    siem: Tool
    outsider: Tool
    firewall: Tool
    mails: MailSink
    hooks: HookSink

    def officer(self, member: Member) -> Browser:
        """A member's duty officer, logged in."""
        return Browser(self.base).log_in(member.email, self.password)

    def desk(self) -> Browser:
        """The desk, logged in."""
        return Browser(self.base).log_in(DESK, self.password)


def command(name: str, *arguments: str, stdin: str = "") -> str:
    """One of the operator's commands; returns what it printed. Raises StepFailed."""
    out, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        call_command(name, *arguments, stdout=out)
    except CommandError as error:
        raise StepFailed(f"{name}: {error}") from None
    finally:
        sys.stdin = before
    return out.getvalue().strip()


def seed(base: str, mails: MailSink, hooks: HookSink) -> Cast:
    """Members, people, keys and the webhook, by the operator's own commands."""
    password = secrets.token_urlsafe(12)
    for member in (*MEMBERS, OUTSIDER):
        add_member(member)
        add_user(member.email, member.slug, "member-admin", password, name=member.officer)
    add_user(DESK, "desk", "desk-admin", password)
    hooks.secret = command("add_webhook", "--member", ANCHOR.slug, "--url", hooks.url)
    return Cast(
        base=base,
        password=password,
        siem=Tool(base, issue_key(SOUTH, "SIEM", "taxii:read", "taxii:write")),
        outsider=Tool(base, issue_key(OUTSIDER, "Scanner", "taxii:read", "taxii:write")),
        firewall=Tool(base, issue_key(KESTREL, "Firewall", "lists:read")),
        mails=mails,
        hooks=hooks,
    )


def add_member(member: Member) -> None:
    """The organisation, with its contacts and tell-tale words."""
    words = ["--slug", member.slug, "--role", member.role, "--ceiling", member.ceiling]
    words += repeated("--contact", member.contacts) + repeated("--telltale", member.telltales)
    command("add_member", member.name, *words)


def add_user(email: str, slug: str, role: str, password: str, *, name: str = "") -> None:
    """A person who may log in."""
    words = ("--member", slug, "--role", role, "--name", name, "--password-stdin")
    command("add_user", email, *words, stdin=f"{password}\n")


def issue_key(member: Member, label: str, *scopes: str) -> str:
    """A new API key of the member's."""
    words = ("--member", member.slug, "--label", label, *repeated("--scope", scopes))
    return command("issue_key", *words)


def repeated(option: str, values: tuple[str, ...]) -> list[str]:
    """The option once for each value."""
    return [word for value in values for word in (option, value)]
