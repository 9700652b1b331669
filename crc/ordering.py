"""One writer at a time, where the order of commits is itself a promise.

The store's clock (``date_added``), the audit chain and the corroboration rule all need the same
thing: whoever holds the pen sees every earlier holder's commit, and is seen by every later one.
One lock serves all three, so that no two of them can be taken in opposite orders.
"""

from django.db import connection, transaction

# Any constant will do, as long as nothing else in the database uses it.
_LOCK = 0x4352_4300


def take_the_pen() -> None:
    """Wait until this transaction is the only ordered writer; released when it ends.

    SQLite transactions are IMMEDIATE (crc.env), so there the transaction itself is the lock.
    Raises TransactionManagementError outside a transaction.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("take_the_pen() needs a transaction")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
