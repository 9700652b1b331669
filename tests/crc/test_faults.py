"""Which errors of the database pass, told by the databases themselves."""

import sqlite3

import psycopg
import pytest
from django.db import DataError, IntegrityError, InterfaceError, OperationalError

from crc import faults


def wrapped(kind: type[Exception], cause: Exception | None) -> Exception:
    """As Django wraps what a driver raises."""
    try:
        raise kind from cause
    except kind as error:
        return error


@pytest.mark.parametrize(
    ("cause", "passes"),
    [
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.SerializationFailure(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.errors.ProgramLimitExceeded("index row size 9000 exceeds 2704"), False),
        (psycopg.errors.QueryCanceled("statement timeout"), False),
    ],
)
def test_postgresql_says_why(cause: Exception, passes: bool) -> None:
    assert faults.passes(wrapped(OperationalError, cause)) is passes


def test_sqlite_says_why() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as broken:
        connection.execute("SELECT json_extract('{', '$')")
    connection.close()
    assert not faults.passes(wrapped(OperationalError, broken.value))
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorname = "SQLITE_BUSY_SNAPSHOT"
    assert faults.passes(wrapped(OperationalError, busy))


def test_a_lost_connection_passes_and_what_was_given_stays() -> None:
    closed = psycopg.InterfaceError("the connection is closed")
    assert faults.passes(wrapped(InterfaceError, closed))
    for kind in (DataError, IntegrityError, ValueError):
        assert not faults.passes(kind())
