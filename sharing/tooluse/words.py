"""What went wrong with a request, and what its owner can change, in words."""

from typing import Final

from crc.members.models import ApiKey

_ADVICE: Final = {
    400: "Look at the parameters: the reason names the one that cannot be used.",
    401: "Paste the whole key again, as the password of HTTP Basic or as a Bearer token.",
    403: "The key lacks the right for this. Issue one with the scope that is named, or choose "
    "another address.",
    404: "Check the address: the collection's id is on the settings page. A collection this key "
    "may not read looks the same as one that does not exist.",
    405: "This address does not take that method. Check the address.",
    406: "Set the Accept header to application/taxii+json;version=2.1. A tool that asks for "
    "STIX 2.0 cannot read TAXII 2.1: give it a plain list.",
    408: "The tool was too slow in sending. Send less at a time.",
    413: "Send less at a time; the API root names the limit as max_content_length.",
    415: "Set the Content-Type header to application/taxii+json;version=2.1.",
    416: "Leave the Range header out; TAXII 2.1 pages with next.",
    422: 'Send an envelope: {"objects": [...]}, each object valid STIX 2.1.',
    429: "Poll less often.",
}
_HUB: Final = "The hub's fault, not the tool's: it may try again. Tell the desk if it stays so."
AS_USER_NAME: Final = "The key came as the user name. Put it into the password field."


def advice(status: int, reason: str = "") -> str:
    """What to change, empty when nothing is wrong."""
    if status < 400:
        return ""
    if reason == AS_USER_NAME:
        return "The user name may be anything; only the password counts."
    return _HUB if status >= 500 else _ADVICE.get(status, "Look at the reason.")


def refused(key: ApiKey) -> str:
    """Why a request that named this key got 401; the hub tells the caller no more than that."""
    if key.revoked_at:
        return f"This key was revoked on {key.revoked_at:%Y-%m-%d}. Issue a new one."
    if not key.organisation.is_active:
        return f"{key.organisation} is no longer a member."
    if not key.is_live:
        return f"This key expired on {key.expires_at:%Y-%m-%d}. Issue a new one."
    return "The first part of the key is known, but the secret after it is wrong or cut off."
