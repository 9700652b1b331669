"""What the operator's commands share: finding members, and answering people or machines."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_slug
from django.db import DatabaseError, OperationalError, ProgrammingError, connection
from django.db.models import Model

from crc.members.models import Organisation


class HubCommand(BaseCommand):
    """A command with ``--json``: then the answer is one JSON object on standard output."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Raises CommandError where there is no hub yet; whatever else ails a database is shown as
        it is."""
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError):
            if not _never_started():
                raise
        where, setting = f"the folder {settings.DATA_DIR}", "CRC_DATA_DIR"
        if connection.vendor != "sqlite":
            where, setting = "this database", "DATABASE_URL"
        raise CommandError(
            f"There is no hub in {where} yet: start it once (make run), or run manage.py migrate "
            "and manage.py bootstrap. "
            f"If your hub is elsewhere, name it in {setting}."
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Subclasses add theirs and call this."""
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def answer(self, options: dict[str, Any], text: str, **facts: Any) -> None:
        """Say it in words, or as JSON when asked."""
        self.stdout.write(orjson.dumps(facts).decode() if options["json"] else text)

    def table(self, options: dict[str, Any], name: str, rows: list[dict[str, Any]]) -> None:
        """A list in columns, or as JSON under ``name``: text, numbers, yes or no, times, lists."""
        widths: dict[str, int] = {}
        lines = [{column: _cell(value) for column, value in row.items()} for row in rows]
        for line in lines:
            for column, cell in line.items():
                widths[column] = max(widths.get(column, len(column)), len(cell))
        heading = "  ".join(column.ljust(width) for column, width in widths.items())
        text = [
            "  ".join(cell.ljust(widths[column]) for column, cell in line.items()).rstrip()
            for line in lines
        ]
        self.answer(
            options, "\n".join([heading.rstrip(), *text] if text else ["None."]), **{name: rows}
        )

    def warn(self, text: str) -> None:
        """On standard error, so that what machines read stays as it is."""
        self.stderr.write(self.style.WARNING(f"Careful: {text}"))


def _never_started() -> bool:
    """Whether the database can be asked and has no table of ours."""
    try:
        return Organisation._meta.db_table not in connection.introspection.table_names()
    except DatabaseError:
        return False


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value in (None, "") else str(value)


def member(slug: str) -> Organisation:
    """The organisation of this slug. Raises CommandError that lists what there is."""
    found = Organisation.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Organisation.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no member {slug!r}. Members: {known}.")
    return found


def active_member(slug: str) -> Organisation:
    """The same, if it has not been removed. Raises CommandError."""
    found = member(slug)
    if not found.is_active:
        raise CommandError(
            f"{found} has been removed. add_member with the slug {slug!r} makes it a member again."
        )
    return found


def checked_slug(slug: str, model: type[Model]) -> str:
    """A slug that the model can hold. Raises CommandError: SQLite itself would take anything."""
    limit = longest(model, "slug")
    try:
        validate_slug(slug)
    except ValidationError:
        raise CommandError(
            f"{slug!r} is not a valid slug: letters, digits, hyphens and underscores only."
        ) from None
    if len(slug) > limit:
        raise CommandError(f"{slug!r} is too long: {limit} characters at most.")
    return slug


def checked_name(text: str, model: type[Model], field: str) -> str:
    """A text with something in it that the model can hold. Raises CommandError."""
    name, limit = text.strip(), longest(model, field)
    if not 1 <= len(name) <= limit:
        raise CommandError(f"A {field} has 1 to {limit} characters.")
    return name


def longest(model: type[Model], field: str) -> int:
    """How many characters a text column holds."""
    return int(getattr(model._meta.get_field(field), "max_length"))  # noqa: B009 - for mypy
