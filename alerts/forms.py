"""Answers, and the desk's decisions."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from alerts.answers import MAX_NOTE
from alerts.channels.base import Channel
from alerts.mailing import FLOORS
from alerts.models import Answer
from crc.members.models import Group
from sharing.intake import understood
from sharing.models import Report
from sharing.release import MAX_ADVICE, MAX_TITLE, Terms
from sharing.stix.markings import Tlp


class AnswerForm(forms.Form):
    """One of four, with a line of text."""

    choice = forms.ChoiceField(
        choices=Answer.Choice.choices, widget=forms.RadioSelect, label="Are you affected?"
    )
    note = forms.CharField(
        label="Anything to add?",
        required=False,
        max_length=MAX_NOTE,
        help_text="The desk reads this; other members do not.",
    )


class ReleaseForm(forms.Form):
    """To whom, under which marking, in which words."""

    group = forms.ModelChoiceField(
        Group.objects.all(), label="Audience", empty_label=None, to_field_name="slug"
    )
    tlp = forms.ChoiceField(label="Marking")
    title = forms.CharField(label="Title", max_length=MAX_TITLE)
    advice = forms.CharField(
        label="What members should do",
        max_length=MAX_ADVICE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Leave it empty for the standard advice.",
    )
    withhold = forms.MultipleChoiceField(
        label="Leave out",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Tick what could be the member's own, or is no sign of the attack.",
    )
    named = forms.BooleanField(label="Name the member", required=False)

    def __init__(self, *args: Any, report: Report, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        allowed = [t for t in Tlp if report.consent.rank <= t.rank < Tlp.RED.rank]
        self._offer("tlp", [(t.value, t.label) for t in allowed])
        found = [i.value for i in understood(report).indicators if i.value not in report.withheld]
        self._offer("withhold", [(value, value) for value in found])
        if not found:
            del self.fields["withhold"]
        self.fields["group"].initial = "community"
        if not report.may_name:
            del self.fields["named"]

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = choices

    def terms(self) -> Terms:
        """What the desk decided."""
        cleaned = self.cleaned_data
        return Terms(
            group=cleaned["group"],
            tlp=Tlp(cleaned["tlp"]),
            title=cleaned["title"],
            advice=cleaned["advice"],
            named=cleaned.get("named", False),
            withhold=frozenset(cleaned.get("withhold", ())),
        )


class DeclineForm(forms.Form):
    """Why it stays private; the reporter reads it."""

    reason = forms.CharField(
        label="Reason, for the reporter",
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "The reporter will want to know why."},
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
                    _("Medium, high and critical ones"),
                    _("High and critical ones"),
                    _("Critical ones only"),
                ],
                strict=True,
            )
        ),
    )
