"""Who somebody is in the port, and what a user or a key may do."""

from typing import Final

from django.db import models


class PortRole(models.TextChoices):
    """What an organisation does in the port."""

    TERMINAL = "terminal", "Terminal operator"
    SHIPPING_LINE = "shipping-line", "Shipping line"
    RAILWAY = "railway", "Railway"
    TRUCKING = "trucking", "Trucking"
    CARGO_HANDLER = "cargo-handler", "Cargo handler"
    AUTHORITY = "authority", "Authority"
    SERVICE_PROVIDER = "service-provider", "Service provider"
    DESK = "desk", "Desk"


class UserRole(models.TextChoices):
    """What a user may do. The analyst roles belong to the desk's organisation alone."""

    MEMBER = "member", "Member"
    MEMBER_ADMIN = "member-admin", "Member admin"
    ANALYST = "analyst", "Analyst"
    DESK_ADMIN = "desk-admin", "Desk admin"


DESK_ROLES: Final = frozenset({UserRole.ANALYST, UserRole.DESK_ADMIN})


class Markings(models.TextChoices):
    """The markings a tool understands: TLP 2.0, or also its twins of TLP 1.0 on each object."""

    TLP2 = "tlp2", "TLP 2.0"
    TLP1_2 = "tlp1+2", "TLP 2.0 with TLP 1.0 beside it"


class Scope(models.TextChoices):
    """What an API key may do."""

    TAXII_READ = "taxii:read", "Read TAXII collections"
    TAXII_WRITE = "taxii:write", "Post to the TAXII collections the member may write"
    LISTS_READ = "lists:read", "Read the plain lists"
    SIGHTINGS_WRITE = "sightings:write", "Post sightings"


# Any one of these opens the TAXII server; each its own collections.
TAXII_SCOPES: Final = (Scope.TAXII_READ, Scope.TAXII_WRITE, Scope.SIGHTINGS_WRITE)
