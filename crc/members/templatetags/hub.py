"""What templates say the same way everywhere: markings, severities, times."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext

from crc.members import retold as retelling

register = template.Library()

_SHAPES = {"info": "○", "low": "◔", "medium": "◑", "high": "◕", "critical": "●"}


@register.simple_tag
def tlp(level: str) -> SafeString:
    """A TLP label as FIRST prints it."""
    level = level.removeprefix("TLP:")
    return format_html(
        '<span class="tlp tlp-{}">TLP:{}</span>', level.lower().replace("+", "-"), level
    )


@register.simple_tag
def severity(level: str) -> SafeString:
    """A severity by colour, word and shape."""
    return format_html(
        '<span class="severity severity-{}"><span aria-hidden="true">{}</span> {}</span>',
        level,
        _SHAPES.get(level, "○"),
        severity_words(level),
    )


@register.filter
def severity_words(level: str) -> str:
    """A severity's name."""
    return {
        "info": gettext("Info"),
        "low": gettext("Low"),
        "medium": gettext("Medium"),
        "high": gettext("High"),
        "critical": gettext("Critical"),
    }.get(level, level.capitalize())


@register.filter
def retold(text: str) -> str:
    """A sentence that a row keeps in English, in the reader's language."""
    return retelling.retold(text)


@register.filter
def listed(words: Iterable[object]) -> str:
    """Words one after the other, as the reader's language parts them."""
    return ("、" if get_language() == "ja" else ", ").join(map(str, words))


@register.simple_tag
def when(moment: datetime | str | None) -> SafeString:
    """A time in the reader's zone, relative while it is recent, UTC on hover.

    None, and the empty text that a template makes of what is not there, is "never".
    """
    if not isinstance(moment, datetime):
        return format_html('<span class="quiet">{}</span>', gettext("never"))
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        _words(moment),
    )


@register.filter
def took(time: timedelta | None) -> str:
    """A length of time as somebody says it: two units at most."""
    if time is None:
        return ""
    seconds = max(0, round(time.total_seconds()))
    if seconds < 60:
        return gettext("%(seconds)d s") % {"seconds": seconds}
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60 and not seconds:
        return gettext("%(minutes)d min") % {"minutes": minutes}
    if minutes < 60:
        return gettext("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": seconds}
    hours, minutes = divmod(minutes, 60)
    return gettext("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}


def _words(moment: datetime) -> str:
    age = timezone.now() - moment
    if timedelta(0) <= age < timedelta(minutes=1):
        return gettext("just now")
    if timedelta(0) <= age < timedelta(hours=1):
        return gettext("%(minutes)s min ago") % {"minutes": age.seconds // 60}
    local = timezone.localtime(moment)
    if timedelta(0) <= age < timedelta(days=1):
        return gettext("%(hours)s h ago, %(time)s") % {
            "hours": age.seconds // 3600,
            "time": f"{local:%H:%M}",
        }
    return date_format(local, gettext("Y-m-d H:i"))
