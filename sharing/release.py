"""Sharing on purpose: the second graph, made for others, and the row that says who decided."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from crc.members import audit
from crc.members.models import Group, Organisation, User
from crc.members.retold import kept, told_in
from crc.members.roles import PortRole
from crc.ordering import take_the_pen
from sharing import signals
from sharing.doubts import NAMES_THE_SOURCE, doubts, telltales, withheld
from sharing.models import Collection, Release, Report, StixObject, Submission
from sharing.stix import compose, reading
from sharing.stix.markings import Json, Tlp
from sharing.stix.port import SYSTEMS, AttackKind, PortSystem
from sharing.stix.report import IncidentReport
from sharing.stix.telltales import leaks
from sharing.stix.titles import title_for
from sharing.store import Item, put
from sharing.understanding import incident, understood

VALID_DAYS: Final = 90
# In each language.
MAX_TITLE: Final = 200
MAX_ADVICE: Final = 4_000
# Who decides when the reporter's own wish does.
SOURCE: Final = "source"
MAX_TOLD_DOUBTS: Final = 10


class NotReleasable(ValueError):
    """This may not go out so; the message says why and what would help."""


@dataclass(frozen=True)
class Terms:
    """What is to be released to whom. Empty ``title`` means the standard one; ``withhold`` are
    indicator values to leave out, beside those that the reporter held back. Doubtful ones are left
    out too unless a person ``confirmed`` them."""

    group: Group
    tlp: Tlp
    title: str = ""
    advice: str = ""
    named: bool = False
    withhold: frozenset[str] = frozenset()
    confirmed: frozenset[str] = frozenset()


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
    title = terms.title or standard_title(report, named=named)
    graph = compose.release_graph(
        told_to_others(report, named=named),
        hub(),
        compose.ReleaseTerms(
            tlp=terms.tlp,
            words=_worded("en", title, terms.advice),
            released_at=at,
            valid_days=VALID_DAYS,
            named_as=source.name if named else "",
            translated={
                language: _worded(language, title, terms.advice)
                for language, _ in settings.LANGUAGES
            },
        ),
        withhold=left_out(report, terms),
    )
    found: list[str] = []
    if not named:
        found += leaks(graph, [*words.said, report.submission.reference])
    found += _given_away(_written(report, terms), report.submission, named=named)
    if found:
        raise NotReleasable(
            _(
                "The text names the member (%(words)s). Take it out, or ask the member "
                "whether it may be named."
            )
            % {"words": ", ".join(sorted(set(found)))}
        )
    return graph


def _worded(language: str, title: str, advice: str) -> compose.Words:
    return compose.Words(told_in(language, title), told_in(language, advice))


def left_out(report: Report, terms: Terms) -> frozenset[str]:
    """Indicator values that a release under these terms keeps back."""
    doubtful = doubts(report).keys() - terms.confirmed
    return withheld(report, telltales(report.submission.source)) | terms.withhold | doubtful


def _written(report: Report, terms: Terms) -> str:
    """What a person wrote for this release: the standard title is the hub's own words."""
    standard, languages = standard_title(report), [language for language, _ in settings.LANGUAGES]
    titles = {told_in(language, terms.title) for language in languages}
    titles -= {told_in(language, standard) for language in languages}
    return "\n".join([*sorted(titles), terms.advice])


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
    return title_for(told_to_others(report, named=named))


@dataclass(frozen=True)
class Draft:
    """A release ready to be placed, made before the pen is taken: the others would wait for it.

    ``rests_on`` is what else the graph was made from, which may change until then.
    """

    report: Report
    terms: Terms
    at: datetime
    title: str
    items: list[Item]
    rests_on: object


def draft(report: Report, terms: Terms) -> Draft:
    """Make the release graph for a report under these terms. Raises NotReleasable."""
    _may_release(report, terms)
    at, rests_on = timezone.now(), _rests_on(report)
    return Draft(
        report,
        terms,
        at,
        terms.title or standard_title(report, named=terms.named and report.may_name),
        _items(graph_for(report, terms, at=at), terms.tlp),
        rests_on,
    )


def _rests_on(report: Report) -> object:
    return telltales(report.submission.source), unsaid(report)


def release(ready: Draft, *, actor: User | str) -> Release:
    """Share a report: graph placed, decision recorded, all in one transaction.

    Raises NotReleasable: already decided, looser than the source allows, nowhere to put it, or a
    telltale word. ``actor`` is a desk user, or SOURCE when the reporter's own wish decides, which
    it does for nothing that may name the source, and settings.AUTOMATIC_WARNINGS_PER_HOUR times.
    """
    report, terms = ready.report, ready.terms
    with transaction.atomic():
        take_the_pen()
        report.refresh_from_db()
        _may_release(report, terms)
        if not isinstance(actor, User):
            _may_go_unseen(report)
        if _rests_on(report) != ready.rests_on:
            ready = draft(report, terms)
        made = Release.objects.create(
            submission=report.submission,
            group=terms.group,
            tlp=terms.tlp.value,
            title=ready.title,
            advice=terms.advice,
            named=terms.named and report.may_name,
            consent=report.consent.value,
            decided_by=actor if isinstance(actor, str) else actor.email,
            released_at=ready.at,
        )
        _put(ready.items, made)
        report.state, report.decided_at = Report.State.RELEASED, ready.at
        report.save(update_fields=["state", "decided_at"])
        audit.record(
            "report.released",
            actor=actor,
            subject=report.submission.reference,
            tlp=terms.tlp.value,
            group=terms.group.slug,
            release=str(made.pk),
            confirmed=len(terms.confirmed),
        )
    return made


def _may_release(report: Report, terms: Terms) -> None:
    if report.state != Report.State.OPEN:
        raise NotReleasable(
            _("This report is already decided: %(state)s.") % {"state": report.get_state_display()}
        )
    if Tlp.RED in (terms.tlp, report.consent):
        raise NotReleasable(
            _("TLP:RED stays between the reporter and the desk. Ask the reporter to allow more.")
        )
    if terms.tlp.rank < report.consent.rank:
        raise NotReleasable(
            _(
                "The reporter allows %(allowed)s at most, which is stricter than "
                "%(wanted)s. Only the reporter can loosen it."
            )
            % {"allowed": report.consent.label, "wanted": terms.tlp.label}
        )


def _may_go_unseen(report: Report) -> None:
    """Raises NotReleasable for what a person must look at first.

    A doubtful value stays behind and the rest goes: nearly every pasted text has some harmless link
    in it. Not so where it may name the source, or where nothing would be left to look for.
    """
    found = doubts(report)
    naming = {value: reason for value, reason in found.items() if reason == NAMES_THE_SOURCE}
    values = {indicator.value for indicator in understood(report).indicators}
    if naming or (found and not values - found.keys() - set(report.withheld)):
        stopping = list((naming or found).items())
        told = [
            kept("%(value)s (%(reason)s)") % {"value": value, "reason": reason}
            for value, reason in stopping[:MAX_TOLD_DOUBTS]
        ]
        if len(stopping) > MAX_TOLD_DOUBTS:
            told.append(kept("and %(count)s more") % {"count": len(stopping) - MAX_TOLD_DOUBTS})
        raise NotReleasable(
            kept("The desk must look at this before it goes to every firewall: %(values)s.")
            % {"values": ", ".join(told)}
        )
    most = settings.AUTOMATIC_WARNINGS_PER_HOUR
    if releases_at_once(report.submission.source).count() >= most:
        raise NotReleasable(
            kept(
                "The hub sends %(most)s warnings an hour of one member by itself; the "
                "desk decides about this one."
            )
            % {"most": most}
        )


def releases_at_once(source: Organisation) -> QuerySet[Release]:
    """What a member's own wish has released within the last hour."""
    return Release.objects.filter(
        submission__source=source,
        decided_by=SOURCE,
        released_at__gt=timezone.now() - timedelta(hours=1),
    )


def check_words(made: Release, text: str) -> None:
    """Raises NotReleasable for words about a release that give a source away."""
    found = _given_away(text, made.submission, named=made.named)
    if found:
        raise NotReleasable(
            _("The text names the member (%(words)s). Take it out: the release does not name it.")
            % {"words": ", ".join(found)}
        )


def _given_away(text: str, submission: Submission, *, named: bool) -> list[str]:
    """Words of a person's text that name the source, unless it may be, or others who saw it too."""
    sources: set[Organisation] = signals.ask(signals.corroborated, submission=submission)
    if not named:
        sources.add(submission.source)
    found = {word for source in sources for word in telltales(source).alluded_to_in(text)}
    return sorted({*found, *leaks([{"text": text}], [submission.reference])})


def place(graph: list[Json], made: Release) -> None:
    """Put a composed graph on its group's shelf. Raises NotReleasable when there is none."""
    _put(_items(graph, Tlp(made.tlp)), made)


def _items(graph: list[Json], default: Tlp) -> list[Item]:
    return [Item(obj, reading.facts(obj, default_tlp=default)) for obj in graph]


def _put(items: list[Item], made: Release) -> None:
    shelf = Collection.objects.filter(group=made.group, tlp=made.tlp)
    if not shelf:
        raise NotReleasable(
            _("%(group)s has no collection for TLP:%(tlp)s.")
            % {"group": made.group.title, "tlp": made.tlp}
        )
    put(items, into=[*shelf, Collection.objects.get(kind=Collection.Kind.DESK)], release=made)


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
            raise NotReleasable(_("This report has been decided meanwhile. Reload the page."))
        audit.record("report.declined", actor=actor, subject=report.submission.reference)


def allow_warning(report: Report, *, actor: User) -> bool:
    """The reporter, afterwards, allows an anonymous release at TLP:GREEN; triage runs again.

    False when that is allowed already, or the report is decided: the desk may know what the
    reporter does not, so its "keep this private" is not undone by a button.
    """
    with transaction.atomic():
        undecided = Report.objects.filter(pk=report.pk, warn_now=False, state=Report.State.OPEN)
        allowed = undecided.update(warn_now=True) > 0
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
