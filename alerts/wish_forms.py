"""What reaches an address, and what is a member's own: the forms."""

from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as __

from alerts import assets
from alerts.models import Subscription
from alerts.severity import Severity
from alerts.subscriptions import CHOICES
from crc import clock
from sharing.stix.port import ATTACKS, SYSTEMS

_FLOORS: Final = [
    (Severity.INFO.value, __("Everything")),
    (Severity.LOW.value, __("Low and up")),
    (Severity.MEDIUM.value, __("Medium and up")),
    (Severity.HIGH.value, __("High and up")),
    (Severity.CRITICAL.value, __("Only critical")),
]
# How a form says what the row leaves empty: an answer that is required cannot be.
_AT_ONCE: Final = "now"
MAX_LINES: Final = 50
_LONGEST_LINE: Final = 300


class WishForm(forms.Form):
    """The choices of one address."""

    floor = forms.ChoiceField(
        label=__("How grave must it be?"), choices=_FLOORS, widget=forms.RadioSelect
    )
    digest = forms.TypedChoiceField(
        label=__("When?"),
        choices=[(value or _AT_ONCE, label) for value, label in Subscription.Digest.choices],
        coerce=lambda chosen: "" if chosen == _AT_ONCE else chosen,
        empty_value=None,
        widget=forms.RadioSelect,
        help_text=__("What is critical comes at once, always."),
    )
    digest_hour = forms.TypedChoiceField(
        label=__("If once a day, at"),
        coerce=int,
        choices=[(hour, f"{hour:02d}:00") for hour in range(24)],
    )
    quiet_from = forms.TimeField(
        label=__("Start"), required=False, widget=forms.TimeInput({"type": "time"}, "%H:%M")
    )
    quiet_until = forms.TimeField(
        label=__("End"), required=False, widget=forms.TimeInput({"type": "time"}, "%H:%M")
    )
    time_zone = forms.CharField(
        label=__("In which time zone?"),
        max_length=40,
        help_text=__("As cities name it, such as Asia/Tokyo or Europe/Amsterdam."),
    )
    own_assets_only = forms.BooleanField(
        label=__("Only what touches our own confirmed addresses and domains"), required=False
    )
    own_role_only = forms.BooleanField(
        label=__("Only what concerns systems that members like us run"), required=False
    )
    attacks = forms.MultipleChoiceField(
        label=__("Only these kinds of attack"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(kind.value, __(words.label)) for kind, words in ATTACKS.items()],
        help_text=__("None ticked: all of them."),
    )
    systems = forms.MultipleChoiceField(
        label=__("Only on these systems"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(system.value, __(words.label)) for system, words in SYSTEMS.items()],
        help_text=__("None ticked: all of them. A warning that names no system always comes."),
    )

    @classmethod
    def of(cls, wish: Subscription | None) -> "WishForm":
        """Filled with what was chosen, or the defaults in the reader's time zone."""
        now = wish or Subscription(time_zone=timezone.get_current_timezone_name())
        filled = {name: getattr(now, name) for name in CHOICES}
        return cls(initial={**filled, "digest": now.digest or _AT_ONCE})

    def clean_time_zone(self) -> str:
        """Raises ValidationError for a name nobody knows."""
        name: str = self.cleaned_data["time_zone"]
        found = clock.zone_called(name)
        if found is None:
            raise forms.ValidationError(
                _("“%(name)s” is not a time zone. Try Asia/Tokyo, Europe/Amsterdam or UTC.")
                % {"name": name}
            )
        return found

    def clean(self) -> dict[str, Any]:
        """Quiet hours have two ends."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("quiet_from"), cleaned.get("quiet_until")
        if not {"quiet_from", "quiet_until"} & set(self.errors):
            if (since is None) != (until is None):
                missing = "quiet_from" if since is None else "quiet_until"
                self.add_error(missing, _("Quiet hours need both ends; leave both empty for none."))
            elif since is not None and since == until:
                self.add_error("quiet_until", _("That would be all day. Choose another end."))
        return cleaned

    def chosen(self) -> dict[str, Any]:
        """What ``alerts.subscriptions.save`` is given."""
        return {name: self.cleaned_data[name] for name in CHOICES}


class ClaimForm(forms.Form):
    """Addresses and domains, one a line."""

    lines = forms.CharField(
        label=__("Networks, addresses and domains, one a line"),
        widget=forms.Textarea(
            attrs={"rows": 4, "spellcheck": "false", "placeholder": "203.0.113.0/24\nacme.example"}
        ),
        help_text=__("Only what is yours on the internet. A domain counts with all below it."),
    )

    def clean_lines(self) -> list[assets.Claim]:
        """Raises ValidationError that names each line that is wrong."""
        lines = [line for line in self.cleaned_data["lines"].splitlines() if line.strip()]
        if len(lines) > MAX_LINES:
            raise forms.ValidationError(_("%(most)d lines at most at once.") % {"most": MAX_LINES})
        found, wrong = [], []
        for line in lines:
            try:
                found.append(assets.read(line[:_LONGEST_LINE]))
            except assets.NotClaimable as problem:
                wrong.append(str(problem))
        if wrong:
            raise forms.ValidationError(wrong)
        return found
