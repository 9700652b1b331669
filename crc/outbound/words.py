"""Why a call failed, in words for the member; no path and no query is in them: secrets live there.

English, with ``%(name)s`` for what is filled in; the pages that show them translate them.
"""

from typing import Final

NOT_PUBLIC: Final = (
    "This address leads into a private or reserved network; the hub calls public ones."
)
HTTPS_ONLY: Final = "The address must start with https://."
TLS_ONLY: Final = "Outside the operator's own networks the hub speaks https:// or TLS only."
NO_URL: Final = "The address is not a valid URL."
NO_PORT: Final = "The port must be between 1 and 65535."
NO_HOST: Final = "The address needs a valid host name."
ODD_CHARACTER: Final = "The address holds a space, a backslash or a control character."
USER_NAME: Final = "The address may not hold a user name or password."
ODD_ADDRESS: Final = "The address must be written in the usual form, like 192.0.2.1."
HOST_ONLY: Final = "The host may hold a name or an address, nothing else."
NOT_FOUND: Final = "The name %(host)s could not be found."
ODD_HEADER: Final = "A header holds a character it may not hold."
FRAMING: Final = "The header %(name)s may not be set."
CERTIFICATE: Final = "The certificate of %(host)s could not be verified: %(problem)s."
NO_TLS: Final = "%(host)s does not speak TLS in a way the hub can use."
TOO_SLOW: Final = "%(host)s did not answer in time."
REFUSED: Final = "%(host)s refused the connection."
CLOSED: Final = "%(host)s closed the connection without answering."
UNREACHED: Final = "%(host)s could not be reached."
UNREADABLE: Final = "%(host)s gave an answer the hub cannot read."
