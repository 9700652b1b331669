"""Every setting of the hub. What differs between ports comes from the environment.

The embedded default (SQLite, embedded broker, one data folder) needs no variable at all.
"""

from pathlib import Path
from urllib.parse import unquote

from csp.constants import NONE, SELF

from crc import broker, env

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("CRC_DATA_DIR", str(BASE_DIR / "var"))).resolve()

# --- who and where -------------------------------------------------------------------------------
HUB_NAME = env.text("CRC_HUB_NAME", "Port Cyber Resilience Hub")
BASE_URL = env.text("CRC_BASE_URL", "http://127.0.0.1:8000").rstrip("/")
_HOST = env.address("CRC_BASE_URL", BASE_URL).hostname or "127.0.0.1"
SECURE = BASE_URL.startswith("https://")
DEBUG = env.flag("CRC_DEBUG", default=False)
SECRET_KEY = env.secret("CRC_SECRET_KEY") or env.secret_kept_in(DATA_DIR / "secrets" / "secret_key")
ALLOWED_HOSTS = env.words("CRC_ALLOWED_HOSTS") or [_HOST, "127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.words("CRC_TRUSTED_ORIGINS") or [BASE_URL]
TRUSTED_PROXIES = env.number("CRC_TRUSTED_PROXIES", 0)

# --- state ---------------------------------------------------------------------------------------
DATABASES = {"default": env.database("DATABASE_URL", default_file=DATA_DIR / "hub.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.secret("REDIS_URL") or broker.embedded_url(DATA_DIR)
CACHES = {
    "default": {
        "BACKEND": "crc.cache.BrokerOrMemory",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
}

# --- code ----------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "crc.members",
    "sharing",
    "alerts",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django_htmx",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "crc.members.middleware.KeptPrivate",
    "crc.members.middleware.Utf8Alone",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "crc.members.middleware.ReaderTimeZone",
    "crc.members.middleware.ReaderLanguage",
]
ROOT_URLCONF = "crc.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "crc" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "crc.members.context.hub",
            ],
            "builtins": ["django.templatetags.i18n"],
        },
    },
]
FORM_RENDERER = "crc.formrender.HubFormRenderer"

# --- people --------------------------------------------------------------------------------------
AUTH_USER_MODEL = "members.User"
AUTHENTICATION_BACKENDS = ["crc.members.backends.ActiveMemberBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_ADAPTER = "crc.members.adapter.ClosedDoor"
ACCOUNT_FORMS = {
    "login": "crc.members.forms.LogIn",
    "reset_password": "crc.members.forms.AskForLink",
    "change_password": "crc.members.forms.ChangePassword",
    "reset_password_from_key": "crc.members.forms.SetPassword",
    "reauthenticate": "crc.members.forms.SayItAgain",
}
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{HUB_NAME}] "
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_GET = False
# The key is the account and the address together (crc.members.adapter): wrong passwords from
# elsewhere must not lock an account.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{HUB_NAME}] "
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
# The desk typed the address in; nobody can change it, so there is nothing to verify.
MFA_ALLOW_UNVERIFIED_EMAIL = True
SESSION_COOKIE_AGE = env.number("CRC_SESSION_HOURS", 12, at_least=1) * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE

# --- language and time ---------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ja", "日本語")]
LOCALE_PATHS = [BASE_DIR / "crc" / "locale"]
LANGUAGE_COOKIE_AGE = 31_536_000
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = SECURE
USE_TZ = True
TIME_ZONE = env.zone("CRC_TIME_ZONE", "UTC")

# --- the browser ---------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = env.text("CRC_STATIC_ROOT") or None
STATICFILES_DIRS = [BASE_DIR / "crc" / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}
PERMISSIONS_POLICY: dict[str, list[str]] = {
    "camera": [],
    "geolocation": [],
    "microphone": [],
    "payment": [],
    "usb": [],
}
# Never the path: links out of mails let in whoever has them, and proxies log Referer.
SECURE_REFERRER_POLICY = "strict-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_SSL_REDIRECT = False  # the proxy's work; see docs/operating.md
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
CSRF_FAILURE_VIEW = "sharing.views.csrf_failure"
X_FRAME_OPTIONS = "DENY"
# Far above every field of ours, so that a huge paste meets the field, which says its limit, and
# not a bare 400.
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024
# How long a request may take to arrive (crc.bodies).
BODY_SECONDS = env.number("CRC_BODY_SECONDS", 60, at_least=1)

# --- mail ----------------------------------------------------------------------------------------
_smtp = env.address("CRC_SMTP_URL", env.secret("CRC_SMTP_URL") or "smtp://127.0.0.1:25")
if _smtp.scheme not in {"smtp", "smtps", "smtp+starttls"}:
    raise env.BadSetting("CRC_SMTP_URL must start with smtp://, smtp+starttls:// or smtps://")
EMAIL_HOST = _smtp.hostname or "127.0.0.1"
EMAIL_PORT = _smtp.port or {"smtp": 25, "smtp+starttls": 587, "smtps": 465}[_smtp.scheme]
EMAIL_HOST_USER = unquote(_smtp.username or "")
EMAIL_HOST_PASSWORD = unquote(_smtp.password or "")
EMAIL_USE_SSL = _smtp.scheme == "smtps"
EMAIL_USE_TLS = _smtp.scheme == "smtp+starttls"
EMAIL_TIMEOUT = 8  # seconds for one step; see alerts.channels.email
DEFAULT_FROM_EMAIL = env.text("CRC_MAIL_FROM", f"warnings@{_HOST}")

# --- work ----------------------------------------------------------------------------------------
# Networks that members' webhooks may reach although they are not public (a port's own VPN).
OUTBOUND_ALLOWED_NETWORKS = env.networks("CRC_OUTBOUND_ALLOWED_NETWORKS")
# A port's own certificate authority, beside the system's.
OUTBOUND_CA_FILE = env.text("CRC_OUTBOUND_CA_FILE") or None
# Where Slack and Teams addresses may lead beside their vendors' own hosts (a relay of the port's).
CHAT_HOSTS = [host.lower() for host in env.words("CRC_CHAT_HOSTS")]
# The SMS gateway, if there is one; see alerts.channels.sms.
SMS_URL = env.text("CRC_SMS_URL")
SMS_METHOD = env.choice("CRC_SMS_METHOD", "POST", ("POST", "GET"))
SMS_HEADERS = env.headers("CRC_SMS_HEADERS")
SMS_SECRET = env.secret("CRC_SMS_SECRET")
SMS_CONTENT_TYPE = env.text("CRC_SMS_CONTENT_TYPE", "application/json")
SMS_BODY = env.text("CRC_SMS_BODY", '{"to": "{to}", "text": "{text}"}')
CORROBORATION_WINDOW_HOURS = env.number("CRC_CORROBORATION_WINDOW_HOURS", 72, at_least=1)
CORROBORATION_KIND_WINDOW_HOURS = env.number("CRC_CORROBORATION_KIND_WINDOW_HOURS", 24, at_least=1)
# TAXII wants HTTP Basic to be there, and lets an operator switch it off (8.2.2).
TAXII_BASIC = env.flag("CRC_TAXII_BASIC", default=True)
TAXII_QUERY_SECONDS = env.number("CRC_TAXII_QUERY_SECONDS", 10, at_least=1)
# How often the poll log of the tools is written; 0 is never, for tests.
TOOL_USE_SECONDS = env.number("CRC_TOOL_USE_SECONDS", 1)
# A release names a port system only where at least so many members run one like it.
SMALLEST_CROWD = env.number("CRC_SMALLEST_CROWD", 3, at_least=1)
# One member's account alone does not storm the port: beyond this the desk decides.
AUTOMATIC_WARNINGS_PER_HOUR = env.number("CRC_AUTOMATIC_WARNINGS_PER_HOUR", 6)
# Sightings: counted by the hour, later by the day, and what is kept of them as they came.
SIGHTING_EVIDENCE = env.choice("CRC_SIGHTING_EVIDENCE", "sample", ("none", "sample", "all"))
SIGHTING_SAMPLE = env.number("CRC_SIGHTING_SAMPLE", 1, at_least=1)
SIGHTING_RETRY_HOURS = env.number("CRC_SIGHTING_RETRY_HOURS", 24, at_least=1)
# The jump rule compares with the 24 hours before, so those must still be there by the hour.
SIGHTING_HOURLY_DAYS = env.number("CRC_SIGHTING_HOURLY_DAYS", 14, at_least=3)
SIGHTING_DAYS = env.number("CRC_SIGHTING_DAYS", 365, at_least=SIGHTING_HOURLY_DAYS)
SIGHTING_JUMP_FACTOR = env.number("CRC_SIGHTING_JUMP_FACTOR", 5, at_least=2)
SIGHTING_JUMP_FLOOR = env.number("CRC_SIGHTING_JUMP_FLOOR", 100, at_least=1)
# How long further warnings of one case gather into one message; 0 sends each at once.
STORM_MINUTES = env.number("CRC_STORM_MINUTES", 10)
# How long a critical warning waits for a member's answer before its ladder is climbed.
ESCALATE_AFTER_MINUTES = env.number("CRC_ESCALATE_AFTER_MINUTES", 5, at_least=1)
ANSWER_LINK_DAYS = env.number("CRC_ANSWER_LINK_DAYS", 14, at_least=1)
SWEEP_SECONDS = env.number("CRC_SWEEP_SECONDS", 5, at_least=1)

# --- log: ids and states, never a body (it may be AMBER) ------------------------------------------
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.choice("CRC_LOG_LEVEL", "INFO", _LEVELS)},
    "loggers": {
        "django.request": {"level": "ERROR"},
        # Anybody can send a wrong Host, as often as they like; the answer is 400.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
