"""Organisations, the people and machines that act for them, and the trail of what was done."""

import hashlib
import hmac
import secrets
import uuid
from datetime import datetime, timedelta
from typing import ClassVar, Final

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from crc.members.roles import DESK_ROLES, Markings, PortRole, Scope, UserRole


def new_identity_id() -> str:
    """A fresh STIX identity id."""
    return f"identity--{uuid.uuid4()}"


class Organisation(models.Model):
    """A member of the trust community, or the desk. ``ceiling`` is the strictest TLP it may see."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    port_role = models.CharField(max_length=20, choices=PortRole)
    ceiling = models.CharField(max_length=12, default="AMBER+STRICT")
    identity_id = models.CharField(max_length=60, unique=True, default=new_identity_id)
    is_active = models.BooleanField(default=True)
    joined_at = models.DateTimeField(default=timezone.now)
    # Words that would give the member away in a release: brand names, domains, host prefixes.
    telltales = models.JSONField(default=list, blank=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_desk(self) -> bool:
        """Whether this is the hub operator's own organisation."""
        return self.port_role == PortRole.DESK


class Group(models.Model):
    """An audience: members who share collections. ``everyone`` groups hold all active members."""

    slug = models.SlugField(max_length=40, unique=True)
    title = models.CharField(max_length=120)
    everyone = models.BooleanField(default=False)
    members = models.ManyToManyField(Organisation, related_name="audience_groups", blank=True)

    class Meta:
        ordering: ClassVar = ["slug"]

    def __str__(self) -> str:
        return self.title


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address."""

    def create_user(self, email: str, password: str | None, **fields: object) -> "User":
        """A saved user. The address is stored in lower case: logins must not depend on case."""
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person who acts for one organisation."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="users")
    role = models.CharField(max_length=20, choices=UserRole, default=UserRole.MEMBER)
    language = models.CharField(max_length=5, default="en")
    time_zone = models.CharField(max_length=40, blank=True)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar = []

    class Meta:
        constraints: ClassVar = [
            # Read at login: one person, one account, whatever the case.
            models.UniqueConstraint(Lower("email"), name="members_user_email_ci"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def is_desk(self) -> bool:
        """Whether the user works at the desk: role and organisation must both say so."""
        return self.role in DESK_ROLES and self.organisation.is_desk


class Contact(models.Model):
    """An address that warnings for an organisation go to. Need not be a user."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="contacts")
    name = models.CharField(max_length=120, blank=True)
    email = models.EmailField()
    language = models.CharField(max_length=5, default="en")
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint("organisation", Lower("email"), name="members_contact_once"),
        ]

    def __str__(self) -> str:
        return self.email


class ApiKey(models.Model):
    """A machine's credential. Only its digest is stored; the key itself is shown once.

    The secret has 256 bits of its own, so a plain SHA-256 is enough and costs microseconds, which a
    tool that polls every few seconds would notice of a password hash.
    """

    PREFIX: Final = "crc"

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="api_keys")
    label = models.CharField(max_length=80, blank=True)
    lookup = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    markings = models.CharField(max_length=8, choices=Markings, default=Markings.TLP2)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.label or 'key'} ({self.lookup}…)"

    @classmethod
    def issue(
        cls,
        organisation: Organisation,
        scopes: list[str],
        *,
        label: str = "",
        markings: str = Markings.TLP2,
        expires_at: datetime | None = None,
    ) -> tuple["ApiKey", str]:
        """A new saved key and its secret text ``crc_<lookup>_<secret>``, told this once."""
        unknown = sorted(set(scopes) - set(Scope.values))
        if unknown:
            raise ValueError(
                f"unknown scope {', '.join(unknown)}; choose from {', '.join(Scope.values)}"
            )
        lookup = secrets.token_hex(6)
        token = f"{cls.PREFIX}_{lookup}_{secrets.token_urlsafe(32)}"
        key = cls.objects.create(
            organisation=organisation,
            label=label,
            lookup=lookup,
            digest=_digest(token),
            scopes=sorted(set(scopes)),
            markings=markings,
            expires_at=expires_at,
        )
        return key, token

    @classmethod
    def authenticate(cls, token: str) -> "ApiKey | None":
        """The live key that this text is, or None: wrong, expired, revoked, left."""
        parts = token.split("_", 2)
        if len(parts) != 3 or parts[0] != cls.PREFIX or not _is_plain(token):
            return None
        key = cls.objects.select_related("organisation").filter(lookup=parts[1]).first()
        # The look-up part is no secret, pages show it; the rest is compared in constant time.
        if key is None or not hmac.compare_digest(key.digest, _digest(token)) or not key.is_live:
            return None
        key.touch()
        return key

    @property
    def is_live(self) -> bool:
        """Neither revoked nor expired, and its organisation still a member."""
        if self.revoked_at or not self.organisation.is_active:
            return False
        return self.expires_at is None or self.expires_at > timezone.now()

    def allows(self, scope: str) -> bool:
        """Whether the key carries this scope."""
        return scope in self.scopes

    def touch(self) -> None:
        """Remember the use, at most once a minute: a poller must not cost a write each time."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > timedelta(minutes=1):
            ApiKey.objects.filter(pk=self.pk).update(last_used_at=now)
            self.last_used_at = now


def _is_plain(token: str) -> bool:
    """Whether the text can be asked of a database: PostgreSQL takes no NUL."""
    return token.isascii() and token.isprintable()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class AuditEntry(models.Model):
    """One line of the append-only trail; see crc.members.audit, its only writer."""

    number = models.BigIntegerField(unique=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=160)
    detail = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["number"]

    def __str__(self) -> str:
        return f"{self.number} {self.action} {self.subject}"
