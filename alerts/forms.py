"""Answers, and the desk's decisions."""

from typing import Any, Final

from django import forms
from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from alerts.answers import MAX_NOTE
from alerts.channels.base import Channel
from alerts.mailing import FLOORS
from alerts.models import Alert, Answer
from crc.members.models import Group
from crc.members.retold import both, retold
from sharing.doubts import doubts
from sharing.models import Collection, Release, Report
from sharing.release import MAX_ADVICE, MAX_TITLE, Terms
from sharing.stix.markings import Tlp
from sharing.understanding import understood
from sharing.withdrawal import MAX_REASON, values

# A report may hold thousands of values; a page offers so many to tick.
MAX_TICKS: Final = 50


class AnswerForm(forms.Form):
    """One of four, with a line of text."""

    choice = forms.ChoiceField(
        choices=Answer.Choice.choices, widget=forms.RadioSelect, label=_("Are you affected?")
    )
    note = forms.CharField(
        label=_("Anything to add?"),
        required=False,
        max_length=MAX_NOTE,
        help_text=_("Your own organisation and the desk read this; other members do not."),
    )


class ReleaseForm(forms.Form):
    """To whom, under which marking, in which words."""

    group = forms.ModelChoiceField(
        # A group that nobody is in is one that was removed.
        Group.objects.filter(Q(everyone=True) | Q(members__is_active=True)).distinct(),
        label=_("Audience"),
        empty_label=None,
        to_field_name="slug",
    )
    tlp = forms.ChoiceField(label=_("Marking"))
    title = forms.CharField(label=_("Title"), max_length=MAX_TITLE)
    title_ja = forms.CharField(
        label=_("Title in Japanese"),
        max_length=MAX_TITLE,
        required=False,
        help_text=_("Left empty, those who read Japanese get the title above."),
        widget=forms.TextInput(attrs={"lang": "ja"}),
    )
    advice = forms.CharField(
        label=_("What members should do"),
        max_length=MAX_ADVICE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Leave it empty for the standard advice, which is there in both languages."),
    )
    advice_ja = forms.CharField(
        label=_("What members should do, in Japanese"),
        max_length=MAX_ADVICE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "lang": "ja"}),
    )
    withhold = forms.MultipleChoiceField(
        label=_("Leave out"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Tick what could be the member's own, or is no sign of the attack."),
    )
    confirmed = forms.MultipleChoiceField(
        label=_("Release all the same"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_(
            "These are left out unless you tick them: on every firewall's list they "
            "could cut the port off from what it needs, or name a member."
        ),
    )
    withhold_others = forms.CharField(
        label=_("Leave out others"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    named = forms.BooleanField(label=_("Name the member"), required=False)

    def __init__(self, *args: Any, report: Report, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        allowed = [t for t in Tlp if report.consent.rank <= t.rank < Tlp.RED.rank]
        self._offer("tlp", [(t.value, t.label) for t in allowed])
        self.doubtful = doubts(report)
        self.found = [
            i.value
            for i in understood(report).indicators
            if i.value not in report.withheld and i.value not in self.doubtful
        ]
        self._offer_values()
        self._offer(
            "confirmed", [(v, f"{v}: {retold(reason)}") for v, reason in self.doubtful.items()]
        )
        self.fields["group"].initial = "community"
        if not report.may_name:
            del self.fields["named"]

    def _offer_values(self) -> None:
        self._offer("withhold", [(value, value) for value in self.found[:MAX_TICKS]])
        untold = len(self.found) - MAX_TICKS
        if untold <= 0:
            del self.fields["withhold_others"]
            return
        self.fields["withhold_others"].help_text = gettext(
            "%(count)s more were found than are listed above. Paste those to leave out, one a line."
        ) % {"count": untold}

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        """These choices; a question without any is not asked."""
        if not choices:
            del self.fields[name]
            return
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = choices

    def clean_withhold_others(self) -> list[str]:
        """Raises ValidationError for a value that the report does not hold: a slip would go out."""
        lines = [line.strip() for line in self.cleaned_data["withhold_others"].splitlines()]
        values = [line for line in lines if line]
        unknown = sorted(set(values) - set(self.found))
        if unknown:
            more = (
                gettext(", and %(count)s more") % {"count": len(unknown) - 3}
                if len(unknown) > 3
                else ""
            )
            raise forms.ValidationError(
                gettext(
                    "Not among what was found: %(values)s%(more)s. Write each as the private "
                    "graph does."
                )
                % {"values": ", ".join(unknown[:3]), "more": more}
            )
        return values

    def clean(self) -> dict[str, Any]:
        """Some groups have no collection for some markings."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("advice_ja") and not cleaned.get("advice"):
            self.add_error(
                "advice", gettext("Write it here too: not everybody reads the Japanese below.")
            )
        group, tlp = cleaned.get("group"), cleaned.get("tlp")
        if group and tlp and not Collection.objects.filter(group=group, tlp=tlp).exists():
            self.add_error(
                "tlp",
                gettext(
                    "%(group)s has no collection for %(tlp)s. Choose another audience or marking."
                )
                % {"group": group.title, "tlp": Tlp(tlp).label},
            )
        return cleaned

    def terms(self) -> Terms:
        """What the desk decided."""
        cleaned = self.cleaned_data
        return Terms(
            group=cleaned["group"],
            tlp=Tlp(cleaned["tlp"]),
            title=both(cleaned["title"], cleaned["title_ja"]),
            advice=both(cleaned["advice"], cleaned["advice_ja"]),
            named=cleaned.get("named", False),
            withhold=frozenset((*cleaned.get("withhold", ()), *cleaned.get("withhold_others", ()))),
            confirmed=frozenset(cleaned.get("confirmed", ())),
        )


class CorrectionForm(forms.Form):
    """What those who were warned are told now; ``what`` is the value to take back, or nothing."""

    field_order = ("what", "text", "text_ja", "advice", "advice_ja")
    what = forms.ChoiceField(
        label=_("What is taken back"),
        required=False,
        help_text=_("One value leaves the rest of the warning as it is."),
    )
    text = forms.CharField(
        label=_("What they are told"),
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    advice = forms.CharField(
        label=_("What members should do"),
        required=False,
        max_length=MAX_ADVICE,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    text_ja = forms.CharField(
        label=_("What they are told, in Japanese"),
        required=False,
        max_length=MAX_REASON,
        help_text=_("Left empty, those who read Japanese get the words above."),
        widget=forms.Textarea(attrs={"rows": 4, "lang": "ja"}),
    )
    advice_ja = forms.CharField(
        label=_("What members should do, in Japanese"),
        required=False,
        max_length=MAX_ADVICE,
        widget=forms.Textarea(attrs={"rows": 3, "lang": "ja"}),
    )

    def __init__(self, *args: Any, made: Release, kind: Alert.Kind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kind is not Alert.Kind.WITHDRAWAL:
            del self.fields["what"]
            return
        del self.fields["advice"], self.fields["advice_ja"]
        self.fields["text"].label = _("Why, for those who were warned")
        self.fields["text_ja"].label = _("Why, in Japanese")
        what = self.fields["what"]
        assert isinstance(what, forms.ChoiceField)  # noqa: S101 - for the type checker
        what.choices = [("", _("All of it")), *((value, value) for value in values(made))]

    @property
    def words(self) -> str:
        """Text and advice, each in the languages it was written in."""
        said = self.cleaned_data
        parts = (
            both(said["text"], said["text_ja"]),
            both(said.get("advice", ""), said.get("advice_ja", "")),
        )
        return "\n\n".join(part for part in parts if part)

    def clean(self) -> dict[str, Any]:
        """Advice for some readers alone would leave the others without."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("advice_ja") and not cleaned.get("advice"):
            self.add_error(
                "advice", gettext("Write it here too: not everybody reads the Japanese below.")
            )
        return cleaned


class DeclineForm(forms.Form):
    """Why it stays private; the reporter reads it."""

    reason = forms.CharField(
        label=_("Reason, for the reporter"),
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("The reporter will want to know why.")},
    )
    sure = forms.BooleanField(
        label=_("The port is not to be warned with this report"),
        error_messages={"required": _("Tick this to confirm: it cannot be undone.")},
    )


class StandForm(forms.Form):
    """Why a warning is not taken back; the reporter, who asked for it, reads it."""

    reason = forms.CharField(
        label=_("Why it stands, for the reporter"),
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": _("The reporter will want to know why.")},
    )


class EndpointForm(forms.Form):
    """What a member calls an address, and the language it is written to in."""

    label = forms.CharField(
        label=_("What you call it"),
        max_length=80,
        required=False,
        help_text=_("So that you know it again, as “SOC channel”."),
    )
    language = forms.ChoiceField(
        label=_("Language"), choices=settings.LANGUAGES, widget=forms.RadioSelect
    )


class NewEndpointForm(EndpointForm):
    """A new address. Whether the hub will call it is judged by its channel when it is added."""

    address = forms.CharField(max_length=500)
    field_order = ("address", "label", "language")

    def __init__(self, *args: Any, channel: Channel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["address"].label = _("Address")
        self.fields["address"].widget.attrs = {
            "placeholder": channel.example,
            "autocomplete": "off",
            "autocapitalize": "none",
            "spellcheck": "false",
        }


class MailFloorForm(forms.Form):
    """About which warnings a person wants mails."""

    severity = forms.ChoiceField(
        label=_("Mail me about"),
        widget=forms.RadioSelect,
        choices=list(
            zip(
                [floor.value for floor in FLOORS],
                [
                    _("Every warning"),
                    _("Low, medium, high and critical ones"),
                    _("Medium, high and critical ones"),
                    _("High and critical ones"),
                    _("Critical ones only"),
                ],
                strict=True,
            )
        ),
    )
