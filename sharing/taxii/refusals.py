"""medallion's and werkzeug's refusals in words that say what to send instead.

In English alone, as all that is said to machines.
"""

import re
from typing import Final

import flask
from medallion.exceptions import ProcessingError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from crc.members.models import ApiKey
from crc.members.roles import Scope
from sharing import visibility
from sharing.addresses import API_ROOT
from sharing.models import Collection
from sharing.taxii import access
from sharing.taxii.backend import NOT_FOUND
from sharing.taxii.negotiation import TAXII
from sharing.taxii.paging import bad_limit

# Of what a client sent, repeated to it.
SHOWN_CHARS: Final = 100
_FORBIDDEN: Final = re.compile("Forbidden to (read|write) collection ")


def of_werkzeug(problem: HTTPException) -> str:
    """What to answer to a request that Flask would not pass on."""
    if problem.code == 404:
        return NOT_FOUND
    if isinstance(problem, MethodNotAllowed) and problem.valid_methods:
        takes = ", ".join(sorted(problem.valid_methods))
        return f"{flask.request.method} does not work at this address, which takes {takes}."
    return problem.description or problem.name


def of_medallion(problem: ProcessingError) -> str:
    """What to answer to a request that one of medallion's views, or our store, refuses.

    Whether something is missing or hidden must not show in the words (App. B).
    """
    asked = flask.request
    if problem.status == 404:
        return NOT_FOUND
    if problem.status == 400 and "limit" in asked.args:
        return bad_limit(asked.args["limit"])
    if problem.status == 406:
        return _other_type("Accept", f"ask for {TAXII}")
    if problem.status == 415:
        return _other_type("Content-Type", f"send {TAXII}")
    forbidden = _FORBIDDEN.match(str(problem.message))
    if forbidden:
        return _unreadable() if forbidden[1] == "read" else _unwritable()
    return str(problem.message)


def _other_type(header: str, instead: str) -> str:
    given = flask.request.headers.get(header, "")
    if not given.strip():
        return f"There is no {header} header; {instead}."
    return f'The {header} header is "{given[:SHOWN_CHARS]}"; {instead}.'


def _unreadable() -> str:
    """The caller knows the collection, so that its own member's rights may be told."""
    key, name = _asked()
    if name in _names(key, Scope.TAXII_READ):
        return _lacks(Scope.TAXII_READ, "read")
    return (
        "This collection takes posts and is read by nobody through TAXII. "
        f"/{API_ROOT}/collections/ lists those that can be read (can_read)."
    )


def _unwritable() -> str:
    key, name = _asked()
    if name in _names(key, Scope.TAXII_WRITE):
        return _lacks(Scope.TAXII_WRITE, "post to")
    said = "Your organisation may read this collection, and not post to it."
    inbox = visibility.writable_for(key.organisation).filter(kind=Collection.Kind.INBOX).first()
    if inbox is None:
        return said
    return (
        f"{said} Post to /{API_ROOT}/collections/{inbox.alias}/objects/ with a key that has the "
        f"scope {Scope.TAXII_WRITE}."
    )


def _asked() -> tuple[ApiKey, str]:
    found = access.find((flask.request.view_args or {}).get("collection_id", ""))
    return access.caller(), found.collection.alias if found else ""


def _names(key: ApiKey, scope: Scope) -> set[str]:
    """What this scope would open to the key, had it the scope that it lacks."""
    if key.allows(scope):
        return set()
    ask = visibility.collections_for if scope is Scope.TAXII_READ else visibility.writable_for
    return set(ask(key.organisation).values_list("alias", flat=True))


def _lacks(scope: Scope, what: str) -> str:
    return (
        f"This key lacks the scope {scope}, which it takes to {what} this collection. "
        "Issue a key that has it."
    )
