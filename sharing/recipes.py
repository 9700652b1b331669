"""Settings to copy into each security tool, made for one member: its collections, its lists.

A tool is a line here and a template of its name in ``templates/sharing/tools/``. The key itself is
nowhere: people put theirs in the place of KEY.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext_noop as _

from crc.members.models import Organisation
from crc.members.roles import Scope
from sharing import addresses, visibility
from sharing.stix.extract import IndicatorKind

KEY: Final = "KEY"
# In the order in which a firewall is set up.
LISTS: Final = tuple(kind for kind in IndicatorKind if kind is not IndicatorKind.CVE)


@dataclass(frozen=True)
class Recipe:
    """One tool. ``tested`` says that the settings were run as they are, in our own tests."""

    slug: str
    name: str
    what: str
    scope: Scope
    tested: bool = False

    @property
    def template(self) -> str:
        """Where its settings are."""
        return f"sharing/tools/{self.slug}.html"


_READ, _LISTS = Scope.TAXII_READ, Scope.LISTS_READ
RECIPES: Final = {
    recipe.slug: recipe
    for recipe in (
        Recipe("sentinel", "Microsoft Sentinel", _("Threat intelligence, TAXII"), _READ),
        Recipe("splunk", "Splunk Enterprise Security", _("TAXII threat source"), _READ),
        Recipe("elastic", "Elastic Security", _("Custom threat intelligence"), _READ),
        Recipe("opencti", "OpenCTI", _("TAXII feed, or connector"), _READ),
        Recipe("xsoar", "Cortex XSOAR", "TAXII 2 Feed", _READ),
        Recipe("misp", "MISP", _("TAXII server"), _READ),
        Recipe("fortigate", "FortiGate", _("External threat feeds"), _LISTS),
        Recipe("paloalto", "Palo Alto Networks", _("External dynamic lists"), _LISTS),
        Recipe("curl", "curl", _("From a shell, to try it"), _READ, tested=True),
        Recipe("python", "Python", _("With taxii2-client"), _READ, tested=True),
    )
}


@dataclass(frozen=True)
class Shelf:
    """A collection as settings name it."""

    id: str
    title: str
    objects: str


@dataclass(frozen=True)
class PlainList:
    """A list as settings name it."""

    kind: str
    url: str


def ingredients(organisation: Organisation) -> dict[str, Any]:
    """What the templates are filled with, for this member."""
    return {
        "key": KEY,
        "discovery": addresses.discovery(),
        "api_root": addresses.api_root(),
        "root_name": addresses.API_ROOT,
        "base": addresses.base(),
        "shelves": [
            Shelf(str(found.pk), found.title, addresses.objects_of(found))
            for found in visibility.collections_for(organisation).order_by("alias")
        ],
        "lists": [PlainList(kind.value, addresses.list_of(kind.value)) for kind in LISTS],
        "list_url": {kind.value: addresses.list_of(kind.value) for kind in LISTS},
    }
