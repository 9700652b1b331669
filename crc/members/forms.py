"""allauth's forms in the hub's words."""

from typing import Any, Final

from allauth.account.forms import (
    ChangePasswordForm,
    LoginForm,
    ReauthenticateForm,
    ResetPasswordForm,
    ResetPasswordKeyForm,
)
from django.forms import Form
from django.utils.translation import gettext_lazy as _

_WORDS: Final = {
    "login": _("E-mail address"),
    "email": _("E-mail address"),
    "oldpassword": _("The password you have now"),
    "password1": _("The new password"),
    "password2": _("The new password again"),
}
# In the words of the validators in the settings.
_RULES: Final = _("12 characters at least; not a common one, and not like your name or address.")


class _Said(Form):
    """Labels and rules in our words, no placeholders: they are gone when they are needed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.label = _WORDS.get(name, field.label)
            field.widget.attrs.pop("placeholder", None)
            field.help_text = _RULES if name == "password1" else ""


class LogIn(_Said, LoginForm):  # type: ignore[misc]
    """E-mail address and password."""


class AskForLink(_Said, ResetPasswordForm):  # type: ignore[misc]
    """Where the link is sent."""


class ChangePassword(_Said, ChangePasswordForm):  # type: ignore[misc]
    """The old one, and the new one twice."""


class SetPassword(_Said, ResetPasswordKeyForm):  # type: ignore[misc]
    """The new one twice, behind the mail's link."""


class SayItAgain(_Said, ReauthenticateForm):  # type: ignore[misc]
    """The password once more, before the account is changed."""
