"""A limit on how long the database may work for one question.

The third place, beside crc.ordering and sharing.store, where the two databases need code of their
own: neither understands the other's way to cut a query off.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection, transaction

# How many steps of SQLite's machine between two looks at the clock: well under a millisecond.
_STEPS: Final = 1_000


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Queries inside that take longer raise OperationalError. For reading alone."""
    limited = _on_postgresql if connection.vendor == "postgresql" else _on_sqlite
    with limited(seconds):
        yield


@contextmanager
def _on_postgresql(seconds: float) -> Iterator[None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Local to the transaction: the connection is used for other work afterwards. To start
            # parallel workers, as is planned with ten million rows, takes longer than a page.
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true),"
                " set_config('max_parallel_workers_per_gather', '0', true)",
                [str(int(seconds * 1_000))],
            )
        yield


@contextmanager
def _on_sqlite(seconds: float) -> Iterator[None]:
    # No transaction: ours are IMMEDIATE, and readers must not wait for writers.
    connection.ensure_connection()
    database = connection.connection
    deadline = time.monotonic() + seconds
    database.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)
