"""Answers, and the desk's decisions."""

from typing import Any

from django import forms

from alerts.answers import MAX_NOTE
from alerts.models import Answer
from crc.members.models import Group
from sharing.doubts import doubts
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
    confirmed = forms.MultipleChoiceField(
        label="Release all the same",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="These are left out unless you tick them: on every firewall's list they could "
        "cut the port off from what it needs, or name a member.",
    )
    named = forms.BooleanField(label="Name the member", required=False)

    def __init__(self, *args: Any, report: Report, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        allowed = [t for t in Tlp if report.consent.rank <= t.rank < Tlp.RED.rank]
        self._offer("tlp", [(t.value, t.label) for t in allowed])
        doubtful = doubts(report)
        found = [
            i.value
            for i in understood(report).indicators
            if i.value not in report.withheld and i.value not in doubtful
        ]
        self._offer("withhold", [(value, value) for value in found])
        self._offer("confirmed", [(v, f"{v}: {reason}") for v, reason in doubtful.items()])
        self.fields["group"].initial = "community"
        if not report.may_name:
            del self.fields["named"]

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        """These choices; a question without any is not asked."""
        if not choices:
            del self.fields[name]
            return
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
            confirmed=frozenset(cleaned.get("confirmed", ())),
        )


class DeclineForm(forms.Form):
    """Why it stays private; the reporter reads it."""

    reason = forms.CharField(
        label="Reason, for the reporter",
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "The reporter will want to know why."},
    )
