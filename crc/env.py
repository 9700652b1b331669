"""Reading the environment: typed, and loud about junk.

A secret may come as ``NAME`` or as a file named by ``NAME_FILE`` (Docker and Kubernetes secrets).
"""

import ipaddress
import os
import secrets
import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit


class BadSetting(ValueError):
    """A variable holds something the hub cannot use; the message names the variable."""


def text(name: str, default: str = "") -> str:
    """The variable's value, stripped; ``default`` when unset or empty."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool) -> bool:
    """A yes/no variable. Raises BadSetting on anything else."""
    value = text(name).lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise BadSetting(f"{name} is {value!r}; say yes or no")


def number(name: str, default: int, *, at_least: int = 0) -> int:
    """A whole number, ``at_least`` or more. Raises BadSetting."""
    value = text(name)
    if not value:
        return default
    if not value.isdecimal() or int(value) < at_least:
        raise BadSetting(f"{name} is {value!r}; it must be a whole number, {at_least} or more")
    return int(value)


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list without empty entries."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    """One of ``allowed``, in whatever case it was typed. Raises BadSetting."""
    value = text(name, default)
    found = next((word for word in allowed if word.lower() == value.lower()), "")
    if not found:
        raise BadSetting(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    return found


def zone(name: str, default: str) -> str:
    """A time zone's name. Raises BadSetting."""
    value = text(name, default)
    if value not in zoneinfo.available_timezones():
        raise BadSetting(f"{name} is {value!r}; it must be a time zone such as Europe/Amsterdam")
    return value


def address(name: str, url: str) -> SplitResult:
    """The parts of a URL. Raises BadSetting, without the URL, which may hold a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises when it is none
    except ValueError as error:
        raise BadSetting(f"{name} is no address: {str(error).split(' as ')[0]}") from None
    return parts


def networks(name: str) -> list[str]:
    """A comma-separated list of networks. Raises BadSetting."""
    found = words(name)
    for word in found:
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise BadSetting(f"{name} holds {word!r}: {error}") from None
    return found


def headers(name: str) -> dict[str, str]:
    """``Name: value`` pairs, one a line, which may come as a secret. Raises BadSetting."""
    found = {}
    for line in secret(name).splitlines():
        key, colon, value = line.partition(":")
        if line.strip() and not (colon and key.strip()):
            raise BadSetting(f"{name} must hold lines of the form Name: value")
        if line.strip():
            found[key.strip()] = value.strip()
    return found


def secret(name: str) -> str:
    """``NAME``, or the content of the file named by ``NAME_FILE``; empty when neither is set."""
    path = text(f"{name}_FILE")
    if not path:
        return text(name)
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise BadSetting(f"{name}_FILE names {path}, which cannot be read: {error}") from None


def secret_kept_in(path: Path) -> str:
    """A random secret made on first use and kept in ``path``, readable by the owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    # Written in one call under O_EXCL: two processes starting together agree on one secret,
    # except for the instant in which the loser could read an empty file.
    with os.fdopen(handle, "w") as file:
        file.write(made := secrets.token_urlsafe(48))
    return made


def database(name: str, *, default_file: Path) -> dict[str, object]:
    """Django's DATABASES entry from a URL (postgresql:// or sqlite:///path).

    SQLite runs with WAL and IMMEDIATE transactions: with Django's defaults a quarter of concurrent
    read-then-write transactions fail with "database is locked".
    """
    url = secret(name) or f"sqlite:///{default_file}"
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(url.removeprefix("sqlite:///")),
            "CONN_MAX_AGE": 60,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
                "PRAGMA temp_store=MEMORY;PRAGMA mmap_size=268435456;PRAGMA cache_size=-16000;",
            },
        }
    if parts.scheme in {"postgres", "postgresql"}:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            # For crc.hotsql, whose statements are worth preparing.
            "OPTIONS": {"prepare_threshold": 5, **dict(parse_qsl(parts.query))},
        }
    raise BadSetting(f"{name} must start with sqlite:/// or postgresql://, not {parts.scheme}://")
