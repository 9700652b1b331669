"""What the tools' pages say the same way everywhere: lights, spans, hours, things to copy."""

from datetime import timedelta

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop

from sharing.models import ToolHour
from sharing.tooluse import words as told
from sharing.tooluse.rhythm import State

register = template.Library()

_LIGHTS = {
    State.NEVER: ("○", gettext_noop("Never used")),
    State.FINE: ("●", gettext_noop("Fine")),
    State.LATE: ("◐", gettext_noop("Late")),
    State.SILENT: ("■", gettext_noop("Silent")),
    State.FAILING: ("▲", gettext_noop("Failing")),
    State.ENDED: ("✕", gettext_noop("Ended")),
}
_BAR, _HIGH = 10, 40


@register.simple_tag
def light(state: State) -> SafeString:
    """A tool's state by colour, word and shape."""
    shape, word = _LIGHTS[state]
    return format_html(
        '<span class="light light-{}"><span aria-hidden="true">{}</span> {}</span>',
        state.value,
        shape,
        gettext(word),
    )


@register.filter
def span(length: timedelta) -> str:
    """A length of time in its largest unit."""
    seconds = round(length.total_seconds())
    for unit, words in (
        (86_400, gettext("%(count)s days")),
        (3_600, gettext("%(count)s h")),
        (60, gettext("%(count)s min")),
    ):
        if seconds >= 2 * unit:
            return words % {"count": round(seconds / unit)}
    return gettext("%(count)s s") % {"count": max(1, seconds)}


@register.simple_tag
def advice(status: int, reason: str) -> str:
    """What to change after a failed request."""
    return told.advice(status, reason)


@register.simple_tag
def day(hours: list[ToolHour]) -> SafeString:
    """The last 24 hours as bars: requests, and what of them failed. The words say the same."""
    requests, failed = sum(h.requests for h in hours), sum(h.failed for h in hours)
    most = max([1, *(h.requests for h in hours)])
    bars: list[tuple[str, int, int, int]] = []
    for place, hour in enumerate(hours):
        for name, count in (("all", hour.requests), ("failed", hour.failed)):
            high = -(-_HIGH * count // most)
            bars.append((name, place * _BAR + 1, _HIGH - high, high))
    drawn = format_html_join(
        "", '<rect class="{}" x="{}" y="{}" width="8" height="{}"/>', (b for b in bars if b[3])
    )
    return format_html(
        '<svg class="day" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>',
        _BAR * len(hours),
        _HIGH + 1,
        gettext("%(requests)s requests in the last 24 hours, %(failed)s failed")
        % {"requests": requests, "failed": failed},
        drawn,
    )


@register.simple_tag
def setting(name: str, value: str, *, copy: bool = True) -> SafeString:
    """One field of a tool's settings, with a button to copy it unless it is a choice to make."""
    if not copy:
        return format_html("<div><dt>{}</dt><dd>{}</dd></div>", name, value)
    return format_html(
        '<div><dt>{}</dt><dd class="copy"><code>{}</code> <button class="second" type="button" '
        'data-copy hidden aria-label="{}">{}</button></dd></div>',
        name,
        value,
        gettext("Copy %(name)s") % {"name": name},
        gettext("Copy"),
    )


@register.simple_block_tag
def copyable(content: SafeString, name: str) -> SafeString:
    """Lines to copy as they are. The content comes escaped out of the template."""
    return format_html(
        '<div class="copy block"><pre data-name="{}">{}</pre><button class="second" type="button" '
        'data-copy hidden aria-label="{}">{}</button></div>',
        name,
        SafeString(content.strip("\n")),
        gettext("Copy the lines for %(name)s") % {"name": name},
        gettext("Copy"),
    )
