"""Answers, and the desk's decisions."""

from typing import Any, Final

from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from alerts.answers import MAX_NOTE
from alerts.models import Alert, Answer
from crc.members.models import Group
from sharing.doubts import doubts
from sharing.intake import understood
from sharing.models import Collection, Release, Report
from sharing.release import MAX_ADVICE, MAX_TITLE, Terms
from sharing.stix.markings import Tlp
from sharing.withdrawal import values

# A report may hold thousands of values; a page offers so many to tick.
MAX_TICKS: Final = 50


class AnswerForm(forms.Form):
    """One of four, with a line of text."""

    choice = forms.ChoiceField(
        choices=Answer.Choice.choices, widget=forms.RadioSelect, label="Are you affected?"
    )
    note = forms.CharField(
        label="Anything to add?",
        required=False,
        max_length=MAX_NOTE,
        help_text="Your own organisation and the desk read this; other members do not.",
    )


class ReleaseForm(forms.Form):
    """To whom, under which marking, in which words."""

    group = forms.ModelChoiceField(
        # A group that nobody is in is one that was removed.
        Group.objects.filter(Q(everyone=True) | Q(members__is_active=True)).distinct(),
        label="Audience",
        empty_label=None,
        to_field_name="slug",
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
    withhold_others = forms.CharField(
        label="Leave out others",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    named = forms.BooleanField(label="Name the member", required=False)

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
        self._offer("confirmed", [(v, f"{v}: {reason}") for v, reason in self.doubtful.items()])
        self.fields["group"].initial = "community"
        if not report.may_name:
            del self.fields["named"]

    def _offer_values(self) -> None:
        self._offer("withhold", [(value, value) for value in self.found[:MAX_TICKS]])
        untold = len(self.found) - MAX_TICKS
        if untold <= 0:
            del self.fields["withhold_others"]
            return
        self.fields[
            "withhold_others"
        ].help_text = (
            f"{untold} more were found than are listed above. Paste those to leave out, one a line."
        )

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
            more = f", and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise forms.ValidationError(
                f"Not among what was found: {', '.join(unknown[:3])}{more}. Write each as the "
                "private graph does."
            )
        return values

    def clean(self) -> dict[str, Any]:
        """Some groups have no collection for some markings."""
        cleaned: dict[str, Any] = super().clean() or {}
        group, tlp = cleaned.get("group"), cleaned.get("tlp")
        if group and tlp and not Collection.objects.filter(group=group, tlp=tlp).exists():
            self.add_error(
                "tlp",
                f"{group.title} has no collection for {Tlp(tlp).label}. Choose another audience "
                "or marking.",
            )
        return cleaned

    def terms(self) -> Terms:
        """What the desk decided."""
        cleaned = self.cleaned_data
        return Terms(
            group=cleaned["group"],
            tlp=Tlp(cleaned["tlp"]),
            title=cleaned["title"],
            advice=cleaned["advice"],
            named=cleaned.get("named", False),
            withhold=frozenset((*cleaned.get("withhold", ()), *cleaned.get("withhold_others", ()))),
            confirmed=frozenset(cleaned.get("confirmed", ())),
        )


class CorrectionForm(forms.Form):
    """What those who were warned are told now; ``what`` is the value to take back, or nothing."""

    what = forms.ChoiceField(
        label=_("What is taken back"),
        required=False,
        help_text=_("One value leaves the rest of the warning as it is."),
    )
    text = forms.CharField(
        label=_("What they are told"), max_length=2_000, widget=forms.Textarea(attrs={"rows": 4})
    )
    advice = forms.CharField(
        label=_("What members should do"),
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, made: Release, kind: Alert.Kind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kind is not Alert.Kind.WITHDRAWAL:
            del self.fields["what"]
            return
        del self.fields["advice"]
        self.fields["text"].label = _("Why, for those who were warned")
        what = self.fields["what"]
        assert isinstance(what, forms.ChoiceField)  # noqa: S101 - for the type checker
        what.choices = [("", _("All of it")), *((value, value) for value in values(made))]

    @property
    def words(self) -> str:
        """Text and advice."""
        said = (self.cleaned_data["text"], self.cleaned_data.get("advice"))
        return "\n\n".join(part for part in said if part)


class DeclineForm(forms.Form):
    """Why it stays private; the reporter reads it."""

    reason = forms.CharField(
        label="Reason, for the reporter",
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "The reporter will want to know why."},
    )
