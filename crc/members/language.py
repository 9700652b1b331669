"""The languages of the hub, and how a reader changes theirs."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from crc.members.models import User
from crc.members.retold import told_in


@dataclass(frozen=True)
class Reading:
    """Words as they are read in one language; ``name`` is what it calls itself."""

    language: str
    name: str
    title: str
    body: str


def readings(title: str, body: str) -> list[Reading]:
    """The same words in every language of the hub."""
    return [
        Reading(code, str(name), told_in(code, title), told_in(code, body))
        for code, name in settings.LANGUAGES
    ]


def spoken(language: str) -> str:
    """The language, or English for one that the hub does not speak."""
    return language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


@require_POST
def language(request: HttpRequest) -> HttpResponseBase:
    """Change it and go back: for somebody logged in on the account, so that mails follow; else in
    a cookie, which nobody's account takes over, as a duty room's browser has many readers."""
    answer = set_language(request)
    if isinstance(request.user, User):
        answer.cookies.clear()
        chosen = spoken(request.POST.get("language", ""))
        User.objects.filter(pk=request.user.pk).update(language=chosen)
    return answer
