"""set_ladder --member S [--step CHANNEL:ADDRESS:MINUTES ... | --standard]"""

import re
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError

from alerts import ladder
from crc.members.command import HubCommand, member

# Which numbers will do is the ladder's to say.
_NUMBER: Final = re.compile(r"-?[0-9]+")


class Command(HubCommand):
    """Whom to call, in order, while nobody of a member's answers a critical warning.

    Steps replace the whole ladder; with ``--standard`` the member has the standard one again, and
    with neither, the ladder is shown and stays.
    """

    help = "Show, or set, whom to call while a member does not answer a critical warning."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", required=True, help="the member's slug")
        parser.add_argument(
            "--step",
            action="append",
            default=[],
            metavar="CHANNEL:ADDRESS:MINUTES",
            help="an address of the member's and the minutes until the next step; 0 calls both "
            "together; such as email:duty@port.example:10",
        )

        parser.add_argument(
            "--standard", action="store_true", help="officers first, then member admins, again"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a step that is none of the member's addresses."""
        organisation = member(options["member"])
        wanted = [_step(text) for text in options["step"]]
        if wanted and options["standard"]:
            raise CommandError("Give steps, or --standard, not both.")
        try:
            if wanted or options["standard"]:
                ladder.replace(organisation, wanted, actor="operator")
        except ladder.NotPossible as problem:
            offered = "\n".join(
                f"  {choice.channel}:{choice.address}" for choice in ladder.choices(organisation)
            )
            raise CommandError(f"{problem} Its addresses:\n{offered or '  none yet'}") from None
        steps = ladder.steps_of([organisation.pk])[organisation.pk]
        self.answer(
            options,
            "\n".join(f"{step.channel}:{step.address}:{step.minutes}" for step in steps)
            or "Nobody can be called: the member has no address.",
            member=organisation.slug,
            standard=not organisation.ladder.exists(),
            steps=[
                {"channel": step.channel, "address": step.address, "minutes": step.minutes}
                for step in steps
            ],
        )


def _step(text: str) -> tuple[str, str, int]:
    """Raises CommandError. An address may hold colons itself."""
    channel, _, rest = text.partition(":")
    address, _, minutes = rest.rpartition(":")
    if not (channel and address and _NUMBER.fullmatch(minutes)):
        raise CommandError(
            f"{text!r} is no step. Write CHANNEL:ADDRESS:MINUTES, such as "
            "email:duty@port.example:10."
        )
    return channel, address.lower() if channel == "email" else address, int(minutes[:6])
