"""The only way to call an address a member typed.

Every connection is dialled by ``Outbound._dial``: one lookup, every answer judged, and the socket
goes to an address that was judged, so a name cannot change its answer in between. Nothing follows
redirects, retries, keeps cookies, decodes a body or looks at proxy variables.
"""

from crc.outbound.guard import Blocked, OutboundError, host_of
from crc.outbound.http import Outbound, Response

__all__ = ["Blocked", "Outbound", "OutboundError", "Response", "host_of"]
