"""Whose fault an error of the database is: its own, which passes, or what it was given, which does
not.

Django puts both under one name: OperationalError is a lost connection, and a row too large for an
index.
"""

from typing import Final

from django.db import InterfaceError, OperationalError

# Classes of SQLSTATE: connections, deadlocks and other rollbacks, resources, locks, the operator,
# the machine.
_PASSING: Final = frozenset({"08", "40", "53", "55", "57", "58"})
# What was cut off for taking too long takes as long again.
_STAYING: Final = frozenset({"57014"})
_PASSING_ON_SQLITE: Final = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_IOERR",
    "SQLITE_FULL",
    "SQLITE_CANTOPEN",
    "SQLITE_NOMEM",
    "SQLITE_PROTOCOL",
)


def passes(error: BaseException) -> bool:
    """Whether the same again can succeed; nothing of it was stored."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    cause = error.__cause__
    state: str = getattr(cause, "sqlstate", None) or ""
    if state:
        return state[:2] in _PASSING and state not in _STAYING
    name: str = getattr(cause, "sqlite_errorname", None) or ""
    # Neither names a reason when there is no connection to have one.
    return not name or name.startswith(_PASSING_ON_SQLITE)
