"""What an Authorization header says, read the same way by every door that tools knock at."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

_TOKENS: Final = frozenset({"bearer", "token"})
# A header longer than this holds no key of ours.
_MAX_HEADER: Final = 500


@dataclass(frozen=True)
class Credentials:
    """``scheme`` is in lower case; ``user`` is Basic's alone; all are empty when nothing came."""

    scheme: str = ""
    user: str = ""
    secret: str = ""

    @property
    def is_basic(self) -> bool:
        """Whether the key came as a password."""
        return self.scheme == "basic"

    @property
    def token(self) -> str:
        """What ``ApiKey.authenticate`` should look at: nothing under a scheme we do not take."""
        return self.secret if self.is_basic or self.scheme in _TOKENS else ""


def read(header: str) -> Credentials:
    """Basic with the key as its password, Bearer and Token, in any letter case.

    What cannot be read is empty, never an error. The user name is free: it may be in any encoding.
    """
    scheme, _, rest = header.strip().partition(" ")
    if len(header) > _MAX_HEADER:
        return Credentials()
    if scheme.lower() != "basic":
        return Credentials(scheme.lower(), "", rest.strip())
    try:
        said = base64.b64decode(rest.strip(), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return Credentials()
    user, _, password = said.partition(":")
    return Credentials("basic", user, password)
