"""Who somebody is in the port, and what a user or a key may do."""

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class PortRole(models.TextChoices):
    """What an organisation does in the port."""

    TERMINAL = "terminal", _("Terminal operator")
    SHIPPING_LINE = "shipping-line", _("Shipping line")
    RAILWAY = "railway", _("Railway")
    TRUCKING = "trucking", _("Trucking")
    CARGO_HANDLER = "cargo-handler", _("Cargo handler")
    AUTHORITY = "authority", _("Authority")
    SERVICE_PROVIDER = "service-provider", _("Service provider")
    DESK = "desk", _("Desk")


class UserRole(models.TextChoices):
    """What a user may do. The analyst roles belong to the desk's organisation alone."""

    MEMBER = "member", _("Member")
    MEMBER_ADMIN = "member-admin", _("Member admin")
    ANALYST = "analyst", _("Analyst")
    DESK_ADMIN = "desk-admin", _("Desk admin")


DESK_ROLES: Final = frozenset({UserRole.ANALYST, UserRole.DESK_ADMIN})


class Markings(models.TextChoices):
    """The markings a tool understands: TLP 2.0, or also its twins of TLP 1.0 on each object."""

    TLP2 = "tlp2", "TLP 2.0"
    TLP1_2 = "tlp1+2", _("TLP 2.0 with TLP 1.0 beside it")


class Scope(models.TextChoices):
    """What an API key may do."""

    TAXII_READ = "taxii:read", _("Read TAXII collections")
    TAXII_WRITE = "taxii:write", _("Post to the TAXII collections the member may write")
    LISTS_READ = "lists:read", _("Read the plain lists")
    SIGHTINGS_WRITE = "sightings:write", _("Post sightings")


# Any one of these opens the TAXII server; each its own collections.
TAXII_SCOPES: Final = (Scope.TAXII_READ, Scope.TAXII_WRITE, Scope.SIGHTINGS_WRITE)
