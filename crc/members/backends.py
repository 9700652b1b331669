"""Login: allauth's e-mail login, for users whose organisation is still a member."""

from allauth.account.auth_backends import AuthenticationBackend
from asgiref.sync import sync_to_async

from crc.members.models import User


class ActiveMemberBackend(AuthenticationBackend):  # type: ignore[misc]
    """Asked at login and again at every request that loads the user."""

    def user_can_authenticate(self, user: User) -> bool:
        """Active, and so is the organisation."""
        return user.is_active and user.organisation.is_active

    def get_user(self, user_id: int) -> User | None:
        """The session's user with the organisation joined, or None once either has left."""
        user = User.objects.select_related("organisation").filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None

    async def aget_user(self, user_id: int) -> User | None:
        """The same for live events; Django's own would load the organisation in the event loop."""
        return await sync_to_async(self.get_user)(user_id)
