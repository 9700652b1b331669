"""The hub's settings for tests: own data folder, mail in memory, no broker unless one is named."""

import os
import tempfile

os.environ.setdefault("CRC_DATA_DIR", tempfile.mkdtemp(prefix="crc-test-"))
os.environ.setdefault("CRC_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.1/32")

from crc.settings import *  # noqa: F403

EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
# Tests write the poll log themselves: a thread would not be in their transaction.
TOOL_USE_SECONDS = 0
ALLOWED_HOSTS = ["*"]
# Argon2 is meant to be slow.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING_CONFIG = None

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, as in a real hub: SQLite's shared memory locks whole tables against other threads.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405

# Servers in threads keep a connection each; a test database with connections cannot be dropped.
DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405
