"""What went wrong with a request, and what its owner can change, in words."""

from typing import Final

from crc.members.models import ApiKey
from crc.members.retold import kept, retold

_ADVICE: Final = {
    400: kept("Look at the parameters: the reason names the one that cannot be used."),
    401: kept("Paste the whole key again, as the password of HTTP Basic or as a Bearer token."),
    403: kept(
        "The key lacks the right for this. Issue one with the scope that is "
        "named, or choose another address."
    ),
    404: kept(
        "Check the address: the collection's id is on the settings page. A "
        "collection this key may not read looks the same as one that does not "
        "exist."
    ),
    405: kept("This address does not take that method. Check the address."),
    406: kept(
        "Set the Accept header to application/taxii+json;version=2.1. A tool "
        "that asks for STIX 2.0 cannot read TAXII 2.1: give it a plain list."
    ),
    408: kept("The tool was too slow in sending. Send less at a time."),
    413: kept("Send less at a time; the API root names the limit as max_content_length."),
    415: kept("Set the Content-Type header to application/taxii+json;version=2.1."),
    416: kept("Leave the Range header out; TAXII 2.1 pages with next."),
    422: kept('Send an envelope: {"objects": [...]}, each object valid STIX 2.1.'),
    429: kept("Poll less often."),
}
_HUB: Final = kept(
    "The hub's fault, not the tool's: it may try again. Tell the desk if it stays so."
)
AS_USER_NAME: Final = kept("The key came as the user name. Put it into the password field.")


def advice(status: int, reason: str = "") -> str:
    """What to change, empty when nothing is wrong."""
    if status < 400:
        return ""
    if reason == AS_USER_NAME:
        return retold(kept("The user name may be anything; only the password counts."))
    return retold(_HUB if status >= 500 else _ADVICE.get(status, kept("Look at the reason.")))


def refused(key: ApiKey) -> str:
    """Why a request that named this key got 401; the hub tells the caller no more than that."""
    if key.revoked_at:
        return kept("This key was revoked on %(day)s. Issue a new one.") % {
            "day": f"{key.revoked_at:%Y-%m-%d}"
        }
    if not key.organisation.is_active:
        return kept("%(member)s is no longer a member.") % {"member": key.organisation}
    if not key.is_live:
        return kept("This key expired on %(day)s. Issue a new one.") % {
            "day": f"{key.expires_at:%Y-%m-%d}"
        }
    return kept("The first part of the key is known, but the secret after it is wrong or cut off.")
