"""Sharing on purpose: the second graph, made for others, and the row that says who decided."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from crc.members import audit
from crc.members.models import Contact, Group, Organisation, User
from crc.members.roles import PortRole
from crc.ordering import take_the_pen
from sharing.intake import incident, own_names, understood
from sharing.models import Collection, Release, Report, StixObject, Submission
from sharing.stix import compose, reading
from sharing.stix.markings import Json, Tlp
from sharing.stix.port import SYSTEMS, AttackKind, PortSystem
from sharing.stix.report import IncidentReport
from sharing.store import Item, put

VALID_DAYS: Final = 90
MAX_TITLE: Final = 200
MAX_ADVICE: Final = 4_000


class NotReleasable(ValueError):
    """This may not go out so; the message says why and what would help."""


@dataclass(frozen=True)
class Terms:
    """What is to be released to whom. Empty ``title`` means the standard one; ``withhold`` are
    indicator values to leave out, beside those that the reporter held back."""

    group: Group
    tlp: Tlp
    title: str = ""
    advice: str = ""
    named: bool = False
    withhold: frozenset[str] = frozenset()


def hub() -> compose.Hub:
    """The hub as STIX names it: the desk's own organisation."""
    desk = Organisation.objects.get(port_role=PortRole.DESK)
    return compose.Hub(desk.identity_id, settings.HUB_NAME, desk.joined_at)


def graph_for(report: Report, terms: Terms, *, at: datetime) -> list[Json]:
    """The release graph under these terms: what others would see. Stores nothing.

    Raises NotReleasable when a word that gives the source away survives in it.
    """
    source = report.submission.source
    words = telltales(source)
    named = terms.named and report.may_name
    graph = compose.release_graph(
        told_to_others(report, named=named),
        hub(),
        compose.ReleaseTerms(
            tlp=terms.tlp,
            title=terms.title or standard_title(report, named=named),
            advice=terms.advice,
            released_at=at,
            valid_days=VALID_DAYS,
            named_as=source.name if named else "",
        ),
        withhold=withheld(report, words) | terms.withhold,
    )
    found = [] if named else compose.leaks(graph, [*words, report.submission.reference])
    if found:
        raise NotReleasable(
            f"The text names the member ({', '.join(sorted(set(found)))}). Take it out, or ask the "
            "member whether it may be named."
        )
    return graph


def told_to_others(report: Report, *, named: bool) -> IncidentReport:
    """The report with the systems that may be said to others."""
    told = incident(report)
    if named:
        return told
    hidden = unsaid(report)
    return replace(told, systems={s: i for s, i in told.systems.items() if s not in hidden})


def unsaid(report: Report) -> list[PortSystem]:
    """The report's systems that so few members run that naming one would name the member."""
    roles = Counter(Organisation.objects.filter(is_active=True).values_list("port_role", flat=True))
    return [
        system
        for system in report.impact_by_system
        if (run_by := SYSTEMS[system].run_by)
        and sum(roles[role] for role in run_by) < settings.SMALLEST_CROWD
    ]


def standard_title(report: Report, *, named: bool = False) -> str:
    """What the release is called unless the desk finds better words."""
    return compose.title_for(told_to_others(report, named=named))


def withheld(report: Report, words: Iterable[str]) -> frozenset[str]:
    """Indicator values that stay private: held back by the reporter, or naming the member."""
    lowered = [word.lower() for word in words if len(word) >= compose.SHORTEST_TELLTALE]
    return frozenset(report.withheld) | frozenset(
        indicator.value
        for indicator in understood(report).indicators
        if any(word in indicator.value.lower() for word in lowered)
    )


def telltales(organisation: Organisation) -> list[str]:
    """Words that would give this member away."""
    people: list[User | Contact] = [*organisation.users.all(), *organisation.contacts.all()]
    return sorted(
        {
            organisation.name,
            organisation.identity_id,
            *organisation.telltales,
            *own_names(organisation),
            *(person.email for person in people),
            *(person.name for person in people if person.name),
        }
    )


def release(report: Report, terms: Terms, *, actor: User | str) -> Release:
    """Share a report under these terms: graph placed, decision recorded, all in one transaction.

    Raises NotReleasable: already decided, looser than the source allows, nowhere to put it, or a
    telltale word. ``actor`` is a desk user, or ``"source"`` when the reporter's own wish decides.
    """
    with transaction.atomic():
        take_the_pen()
        report.refresh_from_db()
        _may_release(report, terms)
        at = timezone.now()
        graph = graph_for(report, terms, at=at)
        made = Release.objects.create(
            submission=report.submission,
            group=terms.group,
            tlp=terms.tlp.value,
            title=terms.title or standard_title(report, named=terms.named and report.may_name),
            advice=terms.advice,
            named=terms.named and report.may_name,
            consent=report.consent.value,
            decided_by=actor if isinstance(actor, str) else actor.email,
            released_at=at,
        )
        place(graph, made)
        report.state, report.decided_at = Report.State.RELEASED, at
        report.save(update_fields=["state", "decided_at"])
        audit.record(
            "report.released",
            actor=actor,
            subject=report.submission.reference,
            tlp=terms.tlp.value,
            group=terms.group.slug,
            release=str(made.pk),
        )
    return made


def _may_release(report: Report, terms: Terms) -> None:
    if report.state != Report.State.OPEN:
        raise NotReleasable(f"This report is already decided: {report.get_state_display()}.")
    if Tlp.RED in (terms.tlp, report.consent):
        raise NotReleasable(
            "TLP:RED stays between the reporter and the desk. Ask the reporter to allow more."
        )
    if terms.tlp.rank < report.consent.rank:
        raise NotReleasable(
            f"The reporter allows {report.consent.label} at most, which is stricter than "
            f"{terms.tlp.label}. Only the reporter can loosen it."
        )


def place(graph: list[Json], made: Release) -> None:
    """Put a composed graph on its group's shelf. Raises NotReleasable when there is none."""
    shelf = Collection.objects.filter(group=made.group, tlp=made.tlp)
    if not shelf:
        raise NotReleasable(f"{made.group.title} has no collection for TLP:{made.tlp}.")
    default = Tlp(made.tlp)
    put(
        [Item(obj, reading.facts(obj, default_tlp=default)) for obj in graph],
        into=[*shelf, Collection.objects.get(kind=Collection.Kind.DESK)],
        release=made,
    )


def topics(made: Release) -> tuple[str, list[str]]:
    """What a release tells of: the kind of attack, and the port systems that it says were hit.

    Read from its graph and nowhere else, so that what was kept back is not in it. Empty for what it
    does not say.
    """
    attack, systems = "", set[str]()
    told = StixObject.objects.filter(release=made, type__in=["report", "infrastructure"])
    for body in told.values_list("body", flat=True):
        obj = orjson.loads(body)
        if obj["type"] == "infrastructure":
            systems |= {s.value for s, words in SYSTEMS.items() if words.label == obj["name"]}
        else:
            attack = next((kind.value for kind in AttackKind if kind in obj["labels"]), attack)
    return attack, sorted(systems)


def decline(report: Report, *, reason: str, actor: User) -> None:
    """Keep a report private; the reason is shown to its reporter. Raises NotReleasable."""
    with transaction.atomic():
        open_reports = Report.objects.filter(pk=report.pk, state=Report.State.OPEN)
        changed = open_reports.update(
            state=Report.State.DECLINED, decision_reason=reason, decided_at=timezone.now()
        )
        if not changed:
            raise NotReleasable("This report has been decided meanwhile. Reload the page.")
        audit.record("report.declined", actor=actor, subject=report.submission.reference)


def allow_warning(report: Report, *, actor: User) -> bool:
    """The reporter, afterwards, allows an anonymous release at TLP:GREEN; triage runs again.

    False when that is allowed or released already.
    """
    with transaction.atomic():
        waiting = Report.objects.filter(pk=report.pk, warn_now=False).exclude(
            state=Report.State.RELEASED
        )
        allowed = waiting.update(warn_now=True, state=Report.State.OPEN) > 0
        if allowed:
            Submission.objects.filter(pk=report.pk).update(triaged_at=None)
            audit.record("report.consent", actor=actor, subject=report.submission.reference)
    return allowed


def add_sightings(made: Release, seen_by: Mapping[str, int]) -> None:
    """Say on the release's shelf how many members have seen its indicators; never who.

    ``seen_by`` counts members by indicator id. One sighting per indicator: a higher count is its
    next version.
    """
    at = timezone.now()
    said = {body["sighting_of_ref"]: body for body in _sightings(made)}
    place(
        [
            compose.recounted(said[stix_id], count=count, at=at)
            if stix_id in said
            else compose.corroborating_sighting(
                stix_id, hub=hub(), count=count, at=at, tlp=Tlp(made.tlp)
            )
            for stix_id, count in seen_by.items()
            if stix_id not in said or said[stix_id]["count"] < count
        ],
        made,
    )


def _sightings(made: Release) -> list[Json]:
    rows = StixObject.objects.filter(release=made, type="sighting").order_by("version")
    return [orjson.loads(body) for body in rows.values_list("body", flat=True)]
