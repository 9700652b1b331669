"""TLP 2.0: the five levels, their fixed STIX objects, and how strict each is.

The ids and bodies are those of the OASIS extension definition (TLP 2.0 is an extension, not core
STIX 2.1), so these objects must travel with whatever they mark.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Any, Final

Json = dict[str, Any]


class Tlp(StrEnum):
    """A TLP 2.0 level; the value is the label FIRST prints, without the ``TLP:`` prefix."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"
    AMBER_STRICT = "AMBER+STRICT"
    RED = "RED"

    @property
    def rank(self) -> int:
        """0 for CLEAR to 4 for RED; larger is stricter."""
        return _RANK[self]

    @property
    def label(self) -> str:
        """The label as FIRST prints it, such as ``TLP:AMBER+STRICT``."""
        return f"TLP:{self.value}"

    def up_to(self) -> list["Tlp"]:
        """This level and every laxer one, laxest first."""
        return _ORDER[: self.rank + 1]


_ORDER: Final = list(Tlp)
_RANK: Final = {tlp: rank for rank, tlp in enumerate(Tlp)}

EXTENSION_ID: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
_CREATED: Final = "2022-10-01T00:00:00.000Z"

MARKING_IDS: Final[dict[Tlp, str]] = {
    Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Tlp.AMBER_STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}

# TLP 1.0 is built into STIX 2.1 (7.2.1.4). OpenCTI writes AMBER+STRICT under an id of its own.
_FOREIGN_IDS: Final[dict[str, Tlp]] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
    "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37": Tlp.AMBER_STRICT,
}
_TLP1_BY_TLP2: Final = {
    MARKING_IDS[Tlp.CLEAR]: "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    MARKING_IDS[Tlp.GREEN]: "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    MARKING_IDS[Tlp.AMBER]: "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
}
_TLP1_IDS: Final = frozenset(_TLP1_BY_TLP2.values())

# Published statements about copyright and terms of use (7.2.1.3). Statements say nothing about who
# may see an object, so they neither loosen nor tighten.
STATEMENT_IDS: Final = frozenset(
    {
        "marking-definition--fa42a846-8d90-4e51-bc29-71d5b4802168",  # MITRE ATT&CK
        "marking-definition--17d82bb2-eeeb-4898-bda5-3ddbcd2b799d",  # MITRE CAPEC
    }
)

_LEVEL_BY_ID: Final = {marking: tlp for tlp, marking in MARKING_IDS.items()} | _FOREIGN_IDS


def definition(tlp: Tlp) -> Json:
    """The marking-definition object of one level, exactly as OASIS publishes it."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": MARKING_IDS[tlp],
        "created": _CREATED,
        "name": tlp.label,
        "extensions": {
            EXTENSION_ID: {
                "extension_type": "property-extension",
                "tlp_2_0": tlp.value.lower(),
            }
        },
    }


def strictest(
    marking_refs: list[str], *, default: Tlp, statements: Collection[str] = STATEMENT_IDS
) -> Tlp:
    """The strictest level among the refs (STIX 7.2 leaves combining to the consumer).

    ``default`` is for objects that no marking ranks: there is none, or only ``statements``. What
    nobody here can rank counts as RED: the desk alone sees it, until its sender says who may.
    """
    if not marking_refs:
        return default
    if len(marking_refs) == 1 and marking_refs[0] in _LEVEL_BY_ID:
        return _LEVEL_BY_ID[marking_refs[0]]
    levels = [_LEVEL_BY_ID[ref] for ref in marking_refs if ref in _LEVEL_BY_ID]
    if unranked(marking_refs, statements):
        levels.append(Tlp.RED)
    return max(levels, key=lambda tlp: tlp.rank, default=default)


def unranked(marking_refs: list[str], statements: Collection[str] = STATEMENT_IDS) -> str:
    """The first of the refs that nobody here can rank; empty when there is none."""
    unknown = (ref for ref in marking_refs if ref not in _LEVEL_BY_ID and ref not in statements)
    return next(unknown, "")


def with_tlp1(obj: Json) -> Json:
    """The object with the TLP 1.0 twin behind each TLP 2.0 marking that has one.

    For tools that read TLP 1 alone. AMBER+STRICT has no twin: such objects are for nobody who would
    take them for AMBER, so the caller leaves them out.
    """
    twinned = dict(obj)
    if "object_marking_refs" in obj:
        twinned["object_marking_refs"] = _twinned(obj["object_marking_refs"])
    if "granular_markings" in obj:
        twinned["granular_markings"] = [
            {**part, "marking_ref": ref} if "marking_ref" in part else part
            for part in obj["granular_markings"]
            for ref in _twinned([part.get("marking_ref", "")])
        ]
    return twinned


def _twinned(refs: list[str]) -> list[str]:
    """One TLP 1.0 marking at most: the twin of the strictest."""
    twins = [twin for ref, twin in _TLP1_BY_TLP2.items() if ref in refs]
    if not twins or not _TLP1_IDS.isdisjoint(refs):
        return refs
    return [*refs, twins[-1]]
