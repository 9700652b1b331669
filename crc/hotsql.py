"""Statements that run thousands of times a second: prepared once, answered in binary.

The ORM takes longer to write such a statement than the database to answer it. Use it for reads that
a profile has named, and for nothing else.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import InterfaceError, OperationalError, connection


def row(statement: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
    """The first row, or None. ``statement`` marks its parameters with %s, for either database."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            return cursor.execute(statement, parameters, prepare=True, binary=True).fetchone()
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        found: tuple[Any, ...] | None = cursor.fetchone()
        return found


def first_row(statement: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
    """``row`` as the first question of a request: a connection that died meanwhile is replaced.

    That makes it the health check, which Django would else ask as a question of its own.
    """
    try:
        return row(statement, parameters)
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return row(statement, parameters)
