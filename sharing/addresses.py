"""Where the hub's machines' doors are, as absolute addresses for people to copy."""

from typing import Final

from django.conf import settings

from sharing.models import Collection

API_ROOT: Final = "crc"


def discovery() -> str:
    """TAXII discovery."""
    return f"{settings.BASE_URL}/taxii2/"


def api_root() -> str:
    """The one API root."""
    return f"{settings.BASE_URL}/{API_ROOT}/"


def objects_of(collection: Collection) -> str:
    """The objects of one collection."""
    return f"{api_root()}collections/{collection.pk}/objects/"


def list_of(kind: str) -> str:
    """One plain list."""
    return f"{settings.BASE_URL}/lists/{kind}.txt"


def base() -> str:
    """The hub, without a slash at the end."""
    return str(settings.BASE_URL)
