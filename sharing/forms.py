"""The report form: plain words in, limits said, nothing lost."""

import unicodedata
import uuid
import zoneinfo
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from crc import clock
from crc.members.models import User
from crc.members.roles import Markings, Scope
from sharing.models import Door, Report, Submission
from sharing.stix.extract import MAX_INDICATORS
from sharing.stix.markings import Tlp
from sharing.stix.port import ATTACKS, IMPACTS, SYSTEMS, AttackKind, Impact, PortSystem
from sharing.stix.values import MAX_VALUE
from sharing.withdrawal import MAX_REASON

MAX_NARRATIVE: Final = 10_000
# Both texts are read together, within the extractor's MAX_CHARS.
MAX_TECHNICAL: Final = 250_000
# A clock a little ahead of ours is no reason to refuse a report.
CLOCK_SLACK: Final = timedelta(minutes=15)
_KEPT_CONTROLS: Final = frozenset("\t\n\r")

WORDS_BY_TLP: Final = {
    Tlp.GREEN: _("The whole port community (TLP:GREEN)"),
    Tlp.AMBER: _("Members, and those of their clients who need to know (TLP:AMBER)"),
    Tlp.AMBER_STRICT: _("Members only (TLP:AMBER+STRICT)"),
    Tlp.RED: _("Nobody but the desk (TLP:RED)"),
}


class PlainText(forms.CharField):
    """Text in which a control character is an error that says where it is.

    The browser is not told the limit: it would cut a long paste without a word.
    """

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """Without maxlength."""
        return {}

    def clean(self, value: Any) -> str:
        """Raises ValidationError for control characters other than tab and line breaks."""
        text: str = super().clean(value)
        for place, char in enumerate(text):
            if char < " " and char not in _KEPT_CONTROLS:
                line = text.count("\n", 0, place) + 1
                raise forms.ValidationError(
                    gettext(
                        "Line %(line)s holds a control character (code %(code)s). Paste it as "
                        "plain text."
                    )
                    % {"line": line, "code": ord(char)},
                    code="control",
                )
        return text


class Values(forms.Field):
    """Indicator values ticked in the preview; those that the text does not hold mean nothing, and
    it holds no more than MAX_INDICATORS, none with a control character."""

    def clean(self, value: Any) -> list[str]:
        """Each once, sorted."""
        ticked = {str(one)[:MAX_VALUE] for one in (value or ())[:MAX_INDICATORS]}
        return sorted(one for one in ticked if one.isprintable())


class TypedText(forms.CharField):
    """A short text as keyboards of East Asia may write it: full-width digits count as digits."""

    def to_python(self, value: Any) -> str:
        """In its plain form (NFKC)."""
        return unicodedata.normalize("NFKC", super().to_python(value) or "")


class AskWithdrawalForm(forms.Form):
    """Why the source wants its release taken back; the desk reads it."""

    reason = forms.CharField(
        label=_("Why it should be taken back, for the desk"),
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class ReportForm(forms.Form):
    """One incident, as a duty officer tells it."""

    token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)
    attack = forms.ChoiceField(
        label=_("What kind of thing happened?"),
        widget=forms.RadioSelect,
        choices=[(kind.value, _(words.label)) for kind, words in ATTACKS.items()],
        error_messages={"required": _("Choose what comes closest; “Something else” is fine.")},
    )
    noticed_at = TypedText(
        label=_("When was it noticed?"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("Your best guess is good enough."),
    )
    time_zone = TypedText(
        label=_("In which time zone?"),
        max_length=40,
        help_text=_("As cities name it, such as Asia/Tokyo or Europe/Amsterdam."),
    )
    narrative = PlainText(
        label=_("What happened, in your own words?"),
        max_length=MAX_NARRATIVE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text=_(
            "What you saw, what you have done, what you need. The desk and your own organisation "
            "read this, nobody else."
        ),
    )
    technical = PlainText(
        label=_("Anything technical? Paste it as it is."),
        max_length=MAX_TECHNICAL,
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=_(
            "Ransom note, mail header, log lines, scanner output. The hub picks out "
            "addresses, file hashes and the like, also when written hxxp or [.]."
        ),
    )
    warn_now = forms.TypedChoiceField(
        label=_("Warn the port now?"),
        widget=forms.RadioSelect,
        coerce=lambda word: word == "yes",
        choices=[
            ("yes", _("Yes, warn every member at once, without our name (TLP:GREEN)")),
            ("no", _("No, the desk looks at it first")),
        ],
        initial="no",
    )
    tlp = forms.ChoiceField(
        label=_("If the desk releases an anonymous version, who may read it?"),
        widget=forms.RadioSelect,
        choices=[(tlp.value, words) for tlp, words in WORDS_BY_TLP.items()],
        initial=Tlp.AMBER_STRICT.value,
    )
    withheld = Values(required=False, widget=forms.MultipleHiddenInput)
    may_name = forms.BooleanField(
        label=_("You may say that it was us"),
        required=False,
        help_text=_("Leave this empty to stay anonymous."),
    )

    def __init__(self, *args: Any, author: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.author = author
        # One of the two is needed; either will do.
        self.fields["narrative"].optional = _("(or paste something below)")  # type: ignore[attr-defined]
        self.fields["technical"].optional = _("(or write a sentence above)")  # type: ignore[attr-defined]
        for system, words in SYSTEMS.items():
            self.fields[f"system_{system.value}"] = forms.ChoiceField(
                label=_(words.label),
                required=False,
                choices=[
                    ("", _("Not hit, or not known")),
                    *(
                        (impact.value, _(told.label))
                        for impact, told in IMPACTS.items()
                        if impact is not Impact.NONE
                    ),
                ],
            )
        now = timezone.localtime()
        self.fields["noticed_at"].initial = f"{now:%Y-%m-%dT%H:%M}"
        self.fields["time_zone"].initial = timezone.get_current_timezone_name()

    @staticmethod
    def offered(given: Mapping[str, str]) -> dict[str, str]:
        """What the address of the form fills in: the kind of attack that a warning told of."""
        attack = given.get("attack", "")
        return {"attack": attack} if attack in set(AttackKind) else {}

    @property
    def system_fields(self) -> list[forms.BoundField]:
        """The choices of how badly each system is hit."""
        return [self[f"system_{system.value}"] for system in PortSystem]

    def clean_time_zone(self) -> zoneinfo.ZoneInfo:
        """The zone. Raises ValidationError for a name nobody knows."""
        name = self.cleaned_data["time_zone"]
        found = clock.zone_called(name)
        if found is None:
            raise forms.ValidationError(
                gettext(
                    "“%(name)s” is not a time zone. Try one such as Asia/Tokyo, "
                    "Europe/Amsterdam, UTC."
                )
                % {"name": name}
            )
        return zoneinfo.ZoneInfo(found)

    def clean(self) -> dict[str, Any]:
        """What one field cannot tell by itself."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not (cleaned.get("narrative") or cleaned.get("technical")) and not (
            {"narrative", "technical"} & set(self.errors)
        ):
            self.add_error("narrative", gettext("Write a sentence, or paste something below."))
        if cleaned.get("warn_now") and cleaned.get("tlp") == Tlp.RED:
            self.add_error(
                "tlp",
                gettext(
                    "“Nobody but the desk” and warning the port now exclude each other. "
                    "Choose who may read it, or let the desk look first."
                ),
            )
        if "noticed_at" in cleaned and "time_zone" in cleaned:
            self._clean_noticed(cleaned)
        return cleaned

    def _clean_noticed(self, cleaned: dict[str, Any]) -> None:
        try:
            noticed = datetime.fromisoformat(cleaned["noticed_at"])
            noticed = noticed.replace(tzinfo=cleaned["time_zone"])
        except ValueError:
            self.add_error("noticed_at", gettext("Write date and time as 2026-11-24T06:30."))
            return
        now = timezone.now()
        if noticed > now + CLOCK_SLACK:
            self.add_error(
                "noticed_at",
                gettext("That is still to come in %(zone)s. Check the time and the time zone.")
                % {"zone": cleaned["time_zone"]},
            )
        elif noticed.year < now.year - 10:
            self.add_error(
                "noticed_at", gettext("That is more than ten years ago. Check the date.")
            )
        cleaned["noticed_at"] = noticed

    def _systems(self) -> dict[str, str]:
        chosen = {
            system.value: self.cleaned_data.get(f"system_{system.value}", "")
            for system in PortSystem
        }
        return {system: impact for system, impact in chosen.items() if impact}

    def report(self) -> tuple[Report, Submission]:
        """The unsaved rows. The form's token is the submission's key, so that a second click on
        "send" meets the first."""
        cleaned = self.cleaned_data
        submission = Submission(
            id=cleaned["token"], source=self.author.organisation, door=Door.FORM
        )
        return Report(
            author=self.author,
            attack=cleaned["attack"],
            noticed_at=cleaned["noticed_at"],
            systems=self._systems(),
            narrative=cleaned["narrative"].strip(),
            technical=cleaned["technical"],
            tlp=cleaned["tlp"],
            warn_now=cleaned["warn_now"],
            may_name=cleaned["may_name"],
            withheld=cleaned["withheld"],
        ), submission


class KeyForm(forms.Form):
    """A new key for one tool."""

    token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)
    label = PlainText(
        label=_("Which tool is it for?"),
        max_length=80,
        help_text=_(
            "One key for each tool, so that you can see and end each by itself. Such "
            "as “Sentinel, production”."
        ),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What may it do?"),
        widget=forms.CheckboxSelectMultiple,
        choices=Scope.choices,
        initial=[Scope.TAXII_READ.value],
        error_messages={"required": _("Choose one at least.")},
    )
    days = forms.TypedChoiceField(
        label=_("How long is it good for?"),
        coerce=int,
        choices=[
            (90, _("90 days")),
            (365, _("One year")),
            (730, _("Two years")),
            (0, _("Until revoked")),
        ],
        initial=365,
    )
    markings = forms.ChoiceField(
        label=_("Which markings does the tool know?"),
        widget=forms.RadioSelect,
        choices=[
            (Markings.TLP2.value, _("TLP 2.0, as most do")),
            (
                Markings.TLP1_2.value,
                _("TLP 1.0 only, as Cortex XSOAR: it gets both, and nothing above TLP:AMBER"),
            ),
        ],
        initial=Markings.TLP2.value,
    )

    def terms(self) -> dict[str, Any]:
        """What ``crc.members.keys.issue`` is given."""
        days = self.cleaned_data["days"]
        return {
            "label": self.cleaned_data["label"],
            "scopes": self.cleaned_data["scopes"],
            "markings": self.cleaned_data["markings"],
            "expires_at": timezone.now() + timedelta(days=days) if days else None,
        }
