"""That the person who reads at an address wants warnings there: the link in the first message."""

import base64
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from alerts.models import Alert, Delivery, Endpoint
from crc.members import audit

LINK_LASTS: Final = timedelta(days=2)
# Bytes of the signature: the link has to fit into a text message.
_SIGNED: Final = 15


def link(delivery: Delivery, endpoint: Endpoint) -> str:
    """The page on which the reader of this test says that the address is right."""
    return f"{settings.BASE_URL}/ok/{endpoint.pk}-{_signature(delivery, endpoint)}/"


def _signature(delivery: Delivery, endpoint: Endpoint) -> str:
    signed = salted_hmac(
        "alerts.confirming", f"{endpoint.pk} {delivery.pk}", algorithm="sha256"
    ).digest()
    return base64.urlsafe_b64encode(signed[:_SIGNED]).decode()


def opened(token: str) -> Endpoint | None:
    """The address that a link stands for; None for one that is wrong, too old, or not its."""
    number, _, signature = token.partition("-")
    if not number.isascii() or not number.isdecimal() or len(number) > 18:
        return None
    endpoints = Endpoint.objects.select_related("organisation")
    endpoint = endpoints.filter(pk=int(number), organisation__is_active=True).first()
    if endpoint is None:
        return None
    tests = Delivery.objects.filter(
        alert__kind=Alert.Kind.TEST,
        organisation=endpoint.organisation,
        channel=endpoint.channel,
        address=endpoint.address,
        raised_at__gt=timezone.now() - LINK_LASTS,
    )
    good = any(constant_time_compare(_signature(test, endpoint), signature) for test in tests)
    return endpoint if good else None


@transaction.atomic
def verify(endpoint: Endpoint, *, actor: str) -> None:
    """Warnings may go there from now on."""
    unverified = Endpoint.objects.filter(pk=endpoint.pk, verified_at=None)
    if unverified.update(verified_at=timezone.now()):
        audit.record(
            "endpoint.verified",
            actor=actor,
            subject=str(endpoint.pk),
            organisation=endpoint.organisation.slug,
            channel=endpoint.channel,
        )
