"""What members own on the internet: claimed by them, confirmed by the desk, told to nobody else.

A warning that touches a confirmed asset reaches its owner whatever the owner has chosen to hear.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from publicsuffixlist import PublicSuffixList

from alerts.models import Asset
from crc.members import audit
from crc.members.models import AuditEntry, Organisation, User
from sharing.doubts import for_its_owner
from sharing.models import ListedValue, Release
from sharing.stix.extract import IndicatorKind
from sharing.stix.internet import Network, Networks, as_network, itself_and_parents

MAX_ASSETS: Final = 200
# The widest network that one member can claim by itself, by IP version.
WIDEST: Final = {4: 16, 6: 32}
# Used by everybody behind their own doors, so nobody's: RFC 1918, 6598, 1122, 3927, 4193, 4291.
_EVERYBODYS: Final = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 "
        "192.168.0.0/16 224.0.0.0/3 ::/16 fc00::/7 fe80::/10 ff00::/8"
    ).split()
]
_HOSTED: Final = {
    IndicatorKind.IPV4.value,
    IndicatorKind.IPV6.value,
    IndicatorKind.DOMAIN.value,
    IndicatorKind.URL.value,
    IndicatorKind.EMAIL.value,
}
# The column's, less the end of a list that was cut.
_MAX_CHARS: Final = 190


class NotClaimable(ValueError):
    """This cannot be one member's own; the message says why and what would help."""


class Claim(NamedTuple):
    """What somebody typed, in its one spelling."""

    kind: Asset.Kind
    value: str


def read(text: str) -> Claim:
    """A network (203.0.113.0/24, also a single address) or a domain. Raises NotClaimable."""
    text = text.strip().lower().rstrip(".")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return Claim(Asset.Kind.DOMAIN, _domain(text))
    if any(network.version == one.version and network.overlaps(one) for one in _EVERYBODYS):
        raise NotClaimable(_("%(value)s is no address on the internet.") % {"value": network})
    if network.prefixlen < WIDEST[network.version]:
        raise NotClaimable(
            _("%(value)s is too wide: /%(widest)d at most. Claim it in parts.")
            % {"value": network, "widest": WIDEST[network.version]}
        )
    return Claim(Asset.Kind.NETWORK, str(network))


def _domain(text: str) -> str:
    try:
        name = text.encode("idna").decode()
    except UnicodeError:
        name = ""
    labels = name.split(".")
    plain = all(label and label.replace("-", "").isalnum() for label in labels)
    if len(labels) < 2 or not plain or labels[-1].isdecimal():
        raise NotClaimable(
            _("“%(value)s” is neither a domain nor a network. Try acme.example or 203.0.113.0/24.")
            % {"value": text[:80]}
        )
    if _suffixes().is_public(name):
        raise NotClaimable(
            _("“%(value)s” is an ending that many share. Claim your name below it.")
            % {"value": name}
        )
    return name


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def claim(organisation: Organisation, claims: Collection[Claim], *, by: User) -> list[Asset]:
    """The assets that are new. Raises NotClaimable when there would be too many."""
    with transaction.atomic():
        known = set(organisation.assets.values_list("value", flat=True))
        fresh = [one for one in dict.fromkeys(claims) if one.value not in known]
        if len(known) + len(fresh) > MAX_ASSETS:
            raise NotClaimable(
                _("%(most)d addresses and domains at most. Give up some, or claim wider ones.")
                % {"most": MAX_ASSETS}
            )
        made = [
            Asset.objects.create(
                organisation=organisation, kind=kind, value=value, claimed_by=by.email
            )
            for kind, value in fresh
        ]
        for asset in made:
            _remember("asset.claimed", asset, by)
    return made


def confirm(asset: Asset, *, by: User) -> None:
    """The desk is sure that it is the member's."""
    asset.confirmed_at, asset.confirmed_by, asset.refused_at = timezone.now(), by.email, None
    _decided("asset.confirmed", asset, by)


def refuse(asset: Asset, *, by: User) -> None:
    """The desk does not think so."""
    asset.confirmed_at, asset.confirmed_by, asset.refused_at = None, "", timezone.now()
    _decided("asset.refused", asset, by)


def reopen(asset: Asset, *, by: User) -> None:
    """The desk takes its decision back."""
    asset.confirmed_at, asset.confirmed_by, asset.refused_at = None, "", None
    _decided("asset.reopened", asset, by)


def give_up(asset: Asset, *, by: User) -> dict[str, str]:
    """No longer the member's; what ``restore`` needs to put it back."""
    kept = {
        "kind": asset.kind,
        "value": asset.value,
        "claimed_by": asset.claimed_by,
        "confirmed_at": asset.confirmed_at.isoformat() if asset.confirmed_at else "",
        "confirmed_by": asset.confirmed_by,
        "refused_at": asset.refused_at.isoformat() if asset.refused_at else "",
        "given_up_at": timezone.now().isoformat(),
    }
    with transaction.atomic():
        _remember("asset.given_up", asset, by)
        asset.delete()
    return kept


def restore(organisation: Organisation, kept: dict[str, str], *, by: User) -> None:
    """Put back what was given up, as the desk had left it; as a claim if it has refused any since,
    for that may have been this one, claimed and given up again."""
    refusals = AuditEntry.objects.filter(
        action="asset.refused",
        detail__organisation=organisation.slug,
        at__gt=datetime.fromisoformat(kept["given_up_at"]),
    )
    stands = not refusals.exists()
    with transaction.atomic():
        asset, made = Asset.objects.get_or_create(
            organisation=organisation,
            value=kept["value"],
            defaults={
                "kind": kept["kind"],
                "claimed_by": kept["claimed_by"],
                "confirmed_at": kept["confirmed_at"] or None if stands else None,
                "confirmed_by": kept["confirmed_by"] if stands else "",
                "refused_at": kept["refused_at"] or None,
            },
        )
        if made:
            _remember("asset.restored", asset, by)


def _decided(action: str, asset: Asset, by: User) -> None:
    with transaction.atomic():
        asset.save(update_fields=["confirmed_at", "confirmed_by", "refused_at"])
        _remember(action, asset, by)


def _remember(action: str, asset: Asset, by: User) -> None:
    audit.record(action, actor=by, subject=str(asset.pk), organisation=asset.organisation.slug)


def confirmed(organisation: Organisation | None) -> list[str]:
    """The domains and networks of this member, or of any that is active."""
    owners = Q(organisation=organisation) if organisation else Q(organisation__is_active=True)
    rows = Asset.objects.filter(owners, confirmed_at__isnull=False)
    return list(rows.values_list("value", flat=True))


def open_claims() -> QuerySet[Asset]:
    """What waits for the desk."""
    return Asset.objects.filter(
        confirmed_at=None, refused_at=None, organisation__is_active=True
    ).select_related("organisation")


def also_claimed(claims: Collection[Asset]) -> dict[int, list[Asset]]:
    """What other members say is theirs and is the same as a claim, or around it, or within it."""
    rows = Asset.objects.filter(refused_at=None).select_related("organisation")
    return {
        one.pk: [
            other
            for other in rows
            if other.organisation_id != one.organisation_id and _overlap(one, other)
        ]
        for one in claims
    }


def _overlap(one: Asset, other: Asset) -> bool:
    if one.kind != other.kind:
        return False
    if one.kind == Asset.Kind.DOMAIN:
        names = f".{one.value}", f".{other.value}"
        return names[0].endswith(names[1]) or names[1].endswith(names[0])
    nets = [ipaddress.ip_network(asset.value) for asset in (one, other)]
    return nets[0].version == nets[1].version and nets[0].overlaps(nets[1])


def touched(release: Release, organisations: Collection[int]) -> dict[int, str]:
    """Which of these members' confirmed assets a release touches, in words, by member id.

    What stayed behind because it is a member's own counts too: nobody needs to know more than its
    owner. What the reporter kept back counts for nothing.
    """
    owned = Asset.objects.filter(organisation__in=organisations, confirmed_at__isnull=False)
    rows = list(owned.values_list("organisation_id", "kind", "value"))
    if not rows:
        return {}
    owners = _Owners(rows)
    found: dict[int, dict[str, None]] = defaultdict(dict)
    listed = ListedValue.objects.filter(object__release=release).values_list("kind", "value")
    values = {*listed, *for_its_owner(release.submission.report)}
    for kind, value in sorted(one for one in values if one[0] in _HOSTED):
        for organisation, asset in owners.of(kind, value):
            found[organisation][asset] = None
    return {pk: _in_words(list(assets)) for pk, assets in found.items()}


def _in_words(found: list[str]) -> str:
    """A few of them, as many as one line and the column hold."""
    said = found[0][:_MAX_CHARS]
    for asset in found[1:]:
        if len(said) + len(asset) > _MAX_CHARS:
            return f"{said} …"
        said += f", {asset}"
    return said


class _Owners:
    """Assets found by what lies in them, without a look at each."""

    def __init__(self, rows: list[tuple[int, str, str]]) -> None:
        self._domains: dict[str, list[int]] = defaultdict(list)
        self._networks: dict[Network, list[int]] = defaultdict(list)
        for organisation, kind, value in rows:
            if kind == Asset.Kind.NETWORK:
                self._networks[ipaddress.ip_network(value)].append(organisation)
            else:
                self._domains[value].append(organisation)
        self._all = Networks(self._networks)

    def of(self, kind: str, value: str) -> Iterator[tuple[int, str]]:
        """Owner and asset for each asset that holds the value."""
        host = _host(kind, value)
        network = as_network(host)
        if network is None:
            for name in itself_and_parents(host):
                for organisation in self._domains.get(name, ()):
                    yield organisation, name
            return
        for holds in self._all.touching(network):
            for organisation in self._networks[holds]:
                yield organisation, str(holds)


def _host(kind: str, value: str) -> str:
    """The address or name inside a value, in the spelling of a claim."""
    host = value
    if kind == IndicatorKind.URL:
        try:
            host = urlsplit(value).hostname or ""
        except ValueError:
            return ""
    elif kind == IndicatorKind.EMAIL:
        host = value.rpartition("@")[2]
    host = host.lower().rstrip(".")
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return ""
