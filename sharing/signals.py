"""The one thread from sharing to alerts."""

from django.dispatch import Signal

# Sent after commit, with ``submission_id`` (a UUID as text).
accepted = Signal()
