"""Where the bench's warnings go: quick receivers, receivers that hang, a mail server.

``python -m bench.sinks hang HOST PORT`` and ``python -m bench.sinks mail HOST PORT`` are the two
that are processes of their own; the quick one is nginx, which notes each webhook id it was sent.
"""

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from bench.servers import DidNotStart, free_port, process

FIRST = ip_address("127.1.0.1")


def loopback(number: int) -> str:
    """One of this machine's own addresses, each a host of its own to the hub."""
    return str(FIRST + number)


_NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 8192; }}
http {{
  log_format ids '$http_webhook_id $msec $content_length';
  access_log {folder}/ids ids buffer=64k flush=100ms;
  keepalive_requests 1000000; keepalive_timeout 60s;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 0.0.0.0:{port} backlog=8192; location / {{ return 204; }} }}
}}
"""


@dataclass(frozen=True)
class Sinks:
    """The ports they listen on, on every loopback address; ``ids``: what nginx has noted."""

    quick: int
    hanging: int
    refusing: int
    mail: int
    ids: Path


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Sinks]:
    """All of them. Raises DidNotStart without nginx."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not nginx:
        raise DidNotStart("nginx is not installed")
    ports: set[int] = set()
    while len(ports) < 4:  # one that nobody listens on yet may be given out twice
        ports.add(free_port())
    made = Sinks(*ports, folder / "ids")
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX.format(folder=folder, port=made.quick))
    python = [sys.executable, "-m", "bench.sinks"]
    with (
        process([nginx, "-c", str(conf)], folder / "nginx.log"),
        process([*python, "hang", "0.0.0.0", str(made.hanging)], folder / "hang.log"),
        process([*python, "mail", "127.0.0.1", str(made.mail)], folder / "mail.log"),
    ):
        time.sleep(1.0)
        yield made


async def _hang(host: str, port: int) -> None:
    """Take everything, answer nothing for half a minute."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)
        writer.close()

    async with await asyncio.start_server(silent, host, port, backlog=4096) as server:
        await server.serve_forever()


async def _mail(host: str, port: int) -> None:
    """As much of SMTP as a client needs to hand over mails, at the speed of the wire."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    break
        writer.close()

    async with await asyncio.start_server(talk, host, port, limit=2**20) as server:
        await server.serve_forever()


if __name__ == "__main__":
    work: Any = {"hang": _hang, "mail": _mail}[sys.argv[1]]
    asyncio.run(work(sys.argv[2], int(sys.argv[3])))
