"""Statements that run thousands of times a second: prepared once, answered in binary, or in bulk.

The ORM takes longer to write such a statement than the database to answer it. Use this where a
profile has named the ORM, and nowhere else.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import psycopg
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Model


def row(statement: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
    """The first row, or None. ``statement`` marks its parameters with %s, for either database."""
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.wrap_database_errors:
            return _cursor().execute(statement, parameters, prepare=True, binary=True).fetchone()
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        found: tuple[Any, ...] | None = cursor.fetchone()
        return found


def _cursor() -> psycopg.Cursor[tuple[Any, ...]]:
    """One for each connection: making one takes as long as asking."""
    held: psycopg.Cursor[tuple[Any, ...]] | None = getattr(connection, "hot_cursor", None)
    if held is None or held.connection is not connection.connection:
        held = psycopg.Cursor(connection.connection)
        connection.hot_cursor = held  # type: ignore[attr-defined]
    return held


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


def rows_among(statement: str, wanted: Sequence[str], *parameters: Any) -> list[tuple[Any, ...]]:
    """All rows of a statement in which ``{among}`` stands for "is one of ``wanted``".

    One parameter however many there are: a thousand would be a new statement for each number.
    """
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        asked = statement.format(among="= ANY(%s)")
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            return cursor.execute(asked, [list(wanted), *parameters]).fetchall()
    asked = statement.format(among="IN (SELECT value FROM json_each(%s))")
    with connection.cursor() as plain:
        plain.execute(asked, [orjson.dumps(list(wanted)).decode(), *parameters])
        found: list[tuple[Any, ...]] = plain.fetchall()
        return found


def insert(model: type[Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Many rows at once, inside the caller's transaction; ``columns`` are names of the table's."""
    table, names = model._meta.db_table, ", ".join(columns)
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with (
            connection.wrap_database_errors,
            psycopg.Cursor(connection.connection) as cursor,
            cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
        ):
            for values in rows:
                copy.write_row(values)
        return
    fields = {field.column: field for field in model._meta.concrete_fields}
    ready = [fields[name].get_db_prep_save for name in columns]
    places = ", ".join(["%s"] * len(columns))
    with connection.cursor() as plain:
        plain.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608 - our own names
            [
                [prepare(value, connection) for prepare, value in zip(ready, values, strict=True)]
                for values in rows
            ],
        )


def update(
    model: type[Model],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    matching: int,
    setting: str,
) -> int:
    """Many rows changed by one statement, each to its own values; how many were.

    ``columns`` are names of the table's; the first ``matching`` of them find the row, the others
    are set. ``setting`` is SQL that changes all rows alike ("tries = tries + 1").
    """
    fields = {field.column: field for field in model._meta.concrete_fields}
    table = model._meta.db_table
    found = " AND ".join(f"{table}.{name} = given.{name}" for name in columns[:matching])
    given = ", ".join([*(f"{name} = given.{name}" for name in columns[matching:]), setting])
    parameters: list[Any]
    if connection.vendor == "postgresql":
        arrays = ", ".join(f"%s::{fields[name].db_type(connection)}[]" for name in columns)
        source = f"unnest({arrays}) AS given({', '.join(columns)})"
        parameters = [list(column) for column in zip(*rows, strict=True)]
    else:
        ready = [fields[name].get_db_prep_save for name in columns]
        values = [
            [prepare(value, connection) for prepare, value in zip(ready, row, strict=True)]
            for row in rows
        ]
        parts = ", ".join(
            f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns)
        )
        source = f"(SELECT {parts} FROM json_each(%s)) AS given"  # noqa: S608 - our own names
        parameters = [orjson.dumps(values).decode()]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {given} FROM {source} WHERE {found}",  # noqa: S608
            parameters,
        )
        return int(cursor.rowcount)


def next_ids(model: type[Model], count: int) -> list[int]:
    """Fresh primary keys for ``insert``. Holding the pen (crc.ordering)."""
    table = model._meta.db_table
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Nobody else takes any meanwhile: they would need the pen.
            cursor.execute(
                "SELECT setval(sequence, nextval(sequence) + %s - 1)"
                " FROM pg_get_serial_sequence(%s, 'id') AS sequence",
                [count, table],
            )
            [last] = cursor.fetchone()
            return list(range(last - count + 1, last + 1))
    with connection.cursor() as cursor:
        # What AUTOINCREMENT would give, also after the newest row was deleted.
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        last = cursor.fetchone()
    start = last[0] + 1 if last else 1
    return list(range(start, start + count))
