"""What a report's values would give away, and what blocking them would break.

What plainly names the source is left out of a release. What may name it, is a member's or the hub's
own, or is needed by everybody is doubtful: it is left out too unless the desk confirms it. Only a
value that may name the source stops a report from going out by itself, see ``sharing.release``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from crc.members.models import Contact, Organisation, User
from crc.members.retold import kept
from crc.members.roles import PortRole
from sharing.models import ListedValue, Report
from sharing.stix.extract import (
    HASHES,
    IndicatorKind,
    host_of,
    without_suffix,
)
from sharing.stix.internet import Names, as_network, itself_and_parents, own_label
from sharing.stix.telltales import LONG, Telltales, brand, rare_words
from sharing.stix.wellknown import known_as
from sharing.understanding import mail_domains, own_names, owned, understood

NAMES_THE_SOURCE: Final = kept("it may name the reporter")
NAMES_A_MEMBER: Final = kept("it may name a member of the port")
A_MEMBERS: Final = kept("a member's own")
THE_HUBS: Final = kept("the hub's own")


def telltales(organisation: Organisation) -> Telltales:
    """Words that would give this member away."""
    people: list[User | Contact] = [*organisation.users.all(), *organisation.contacts.all()]
    own = own_names(organisation)
    # "Duty officer" is nobody's name.
    names = [person.name for person in people if brand(person.name)]
    return Telltales(
        [
            organisation.name,
            organisation.identity_id,
            *organisation.telltales,
            *own,
            *(person.email for person in people),
            *names,
        ],
        hints=[
            brand(organisation.name),
            *_telling_slug(organisation),
            *(brand(own_label(name)) for name in own if not as_network(name)),
            *(word for name in names for word in rare_words(name)),
        ],
        chosen=organisation.telltales,
    )


def _telling_slug(organisation: Organisation) -> list[str]:
    """The slug, unless it is one word that the name begins a word with: "rail" tells nothing."""
    slug, words = organisation.slug.lower(), organisation.name.lower().split()
    return [] if any(word.startswith(slug) for word in words) else [slug]


def withheld(report: Report, words: Telltales) -> frozenset[str]:
    """Indicator values that stay private: held back by the reporter, or naming the source."""
    return frozenset(report.withheld) | frozenset(
        found.value for found in understood(report).indicators if words.plainly_in(found.value)
    )


def doubts(report: Report) -> dict[str, str]:
    """The values of a report that only a person may release, each with the reason."""
    words = telltales(report.submission.source)
    private = withheld(report, words)
    found = [i for i in understood(report).indicators if i.value not in private]
    # A hash is noise: letters that stand together in it say nothing.
    texts = {i.value: without_suffix(i.kind, i.value) for i in found if i.kind not in HASHES}
    claims = _claims()
    alike, telling = claims.names.disguised_in(texts.values()), words.disguised_in(texts.values())
    named = {value: NAMES_A_MEMBER for value, text in texts.items() if text in alike}
    named |= {value: NAMES_THE_SOURCE for value, text in texts.items() if text in telling}
    reasons = {
        i.value: named.get(i.value) or claims.owner(i.kind, i.value) or known_as(i.kind, i.value)
        for i in found
    }
    return {value: reason for value, reason in reasons.items() if reason}


def stayed_behind(report: Report) -> dict[str, str]:
    """The doubtful values of a released report that did not go out, each with the reason."""
    told = ListedValue.objects.filter(object__release__submission=report.submission)
    gone = set(told.values_list("value", flat=True))
    return {value: reason for value, reason in doubts(report).items() if value not in gone}


def for_its_owner(report: Report) -> list[tuple[str, str]]:
    """Kind and value of what stayed behind because it is some member's: that one should know."""
    behind = stayed_behind(report)
    return [
        (found.kind.value, found.value)
        for found in understood(report).indicators
        if behind.get(found.value) in {A_MEMBERS, NAMES_A_MEMBER}
    ]


@dataclass(frozen=True)
class _Claims:
    """What belongs to whom, what is above that, and what members are called."""

    owners: dict[str, str]
    above: dict[str, str]
    own: Names
    names: Telltales

    def owner(self, kind: IndicatorKind, value: str) -> str:
        """Whose own this is, or is below it: lists block what is below a name with it."""
        host = host_of(kind, value)
        name = self.own.holding(host)
        return self.owners[name] if name else self.above.get(host, "")


def _claims() -> _Claims:
    """What every active member and the hub is known to have, as far as the hub was told."""
    members = Organisation.objects.filter(is_active=True)
    emails = [
        *User.objects.filter(organisation__in=members).values_list("email", flat=True),
        *Contact.objects.filter(organisation__in=members).values_list("email", flat=True),
    ]
    told = [word.lower() for row in members for word in row.telltales if "." in word or ":" in word]
    claimed = dict.fromkeys((*mail_domains(emails), *told, *owned(None)), A_MEMBERS)
    claimed |= dict.fromkeys(_hub_hosts(), THE_HUBS)
    above = {up: owner for name, owner in claimed.items() for up in itself_and_parents(name)}
    names = Telltales(_long_names(members.exclude(port_role=PortRole.DESK)))
    return _Claims(claimed, above, Names(claimed), names)


def _hub_hosts() -> set[str]:
    mail = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">")
    names = {host_of(IndicatorKind.URL, settings.BASE_URL), mail, *settings.ALLOWED_HOSTS}
    return {name.lower().strip(".") for name in names} - {"*", ""}


def _long_names(members: Iterable[Organisation]) -> Iterator[str]:
    """Full names, and brands of several words: one word of another's name is no name yet."""
    for member in members:
        for name in (member.name, brand(member.name)):
            if len(name) >= LONG and (name == member.name or " " in name):
                yield name
