"""Signing webhooks the Standard Webhooks way (standardwebhooks.com, specification 1.0.0)."""

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Sequence
from typing import NamedTuple

_PREFIX = "whsec_"


class _Headers(NamedTuple):
    id: str
    timestamp: str
    signature: str


HEADERS = _Headers("webhook-id", "webhook-timestamp", "webhook-signature")


def new_secret() -> str:
    """A fresh secret: ``whsec_`` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The signature header: one ``v1,<base64>`` per secret, so that a secret can be rotated.

    ``timestamp`` is Unix seconds and goes into its header unchanged, as ``message_id`` does.
    Raises ValueError without secrets, for one not made by ``new_secret``, or for an id with a full
    stop (the signed text joins id, time and body with full stops).
    """
    if not secrets:
        raise ValueError("signing needs at least one secret")
    if not message_id or "." in message_id:
        raise ValueError("a message id must not be empty or hold a full stop")
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_mac(secret, signed)}" for secret in secrets)


def _mac(secret: str, signed: bytes) -> str:
    if not secret.startswith(_PREFIX):
        # The secret itself must not reach a log.
        raise ValueError(f"a webhook secret starts with {_PREFIX}")
    key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    if not key:
        raise ValueError("a webhook secret must not be empty")
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
