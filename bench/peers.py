"""The peers: OpenTAXII in an environment and a database of its own, medallion as it comes."""

import contextlib
import hashlib
import json
import subprocess
import sys
import uuid
import venv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.databases import Server
from bench.indicators import CREATED, indicators, whole
from bench.record import ROOT
from bench.servers import WORKERS, Site, environment, free_port, web

HOME: Final = ROOT / ".cache" / "bench-peers"
LOCK: Final = Path(__file__).with_name("peers.lock")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
API_ROOT: Final = uuid.UUID(int=1, version=4)
COLLECTION: Final = uuid.UUID(int=2, version=4)
MEDALLION_OBJECTS: Final = 1_000
_LOGIN: Final = {"Authorization": "Basic YmVuY2g6YmVuY2g="}  # bench:bench
_CONFIG: Final = """
domain: "127.0.0.1:{port}"
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters: {{db_connection: "{url}", create_tables: yes, secret: measured-only}}
taxii1:
taxii2:
  title: bench
  public_discovery: true
  max_content_length: 10485760
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters: {{db_connection: "{url}", create_tables: yes}}
logging: {{opentaxii: error, root: error}}
"""


class NoPeer(RuntimeError):
    """A peer cannot be had here; the message says why."""


def moment(micros: int) -> str:
    """Microseconds since the epoch as TAXII writes them."""
    return f"{EPOCH + timedelta(microseconds=micros):%Y-%m-%dT%H:%M:%S.%fZ}"


def python() -> Path:
    """The peers' interpreter, with what the lock names installed. Raises NoPeer."""
    binary, stamp = HOME / "bin" / "python", HOME / "installed"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return binary
    print("Installing the peers into .cache/bench-peers ...", flush=True)
    venv.create(HOME, clear=True, with_pip=True)
    done = subprocess.run(
        [*(binary, "-m", "pip", "install", "-q"), "--require-hashes", "-r", str(LOCK)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NoPeer(f"OpenTAXII cannot be installed: {done.stderr.strip()[-300:]}")
    stamp.write_text(wanted)
    return binary


@contextlib.contextmanager
def opentaxii(folder: Path, server: Server, database: str) -> Iterator[Site]:
    """OpenTAXII under gunicorn, two processes; what is public there needs no key. Raises NoPeer."""
    binary, port = python(), free_port()
    config = folder / "opentaxii.yml"
    config.write_text(_CONFIG.format(port=port, url=server.alchemy_url(database)))
    env = environment(OPENTAXII_CONFIG=str(config))
    # Once before its two processes would both make the tables.
    made = subprocess.run(
        [binary, "-c", "import bench.peer_opentaxii"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise NoPeer(f"OpenTAXII does not start: {made.stderr.strip()[-300:]}")
    _public_collection(server, database)
    command = [
        *(str(binary), "-m", "gunicorn", "--workers", str(WORKERS), "--timeout", "900"),
        *("--bind", f"127.0.0.1:{port}", "--log-level", "error", "bench.peer_opentaxii:app"),
    ]
    with web("OpenTAXII", command, port, folder / "opentaxii.log", env=env) as site:
        yield site


def _public_collection(server: Server, database: str) -> None:
    with server.connect(database) as peer:
        peer.execute(
            'INSERT INTO opentaxii_api_root (id, "default", title, is_public)'
            " VALUES (%s, true, 'bench', true)",
            [API_ROOT],
        )
        peer.execute(
            "INSERT INTO opentaxii_collection (id, api_root_id, title, is_public, is_public_write)"
            " VALUES (%s, %s, 'bench', true, true)",
            [COLLECTION, API_ROOT],
        )


def objects_path() -> str:
    """Where OpenTAXII's objects are."""
    return f"/taxii2/{API_ROOT}/collections/{COLLECTION}/objects/"


def load(server: Server, database: str, count: int, seed: int, start: int) -> None:
    """The indicators that the hub has, at the same instants."""
    columns = "pk, id, collection_id, type, spec_version, date_added, version, serialized_data"
    version = datetime.fromisoformat(CREATED).replace(tzinfo=None)
    with server.connect(database) as peer, peer.cursor() as cursor:
        with cursor.copy(f"COPY opentaxii_stixobject ({columns}) FROM STDIN") as copy:
            for number, (stix_id, rest) in enumerate(indicators(count, seed)):
                added = (EPOCH + timedelta(microseconds=start + number)).replace(tzinfo=None)
                key = stix_id.removeprefix("indicator--")
                copy.write_row(
                    (key, stix_id, COLLECTION, "indicator", "2.1", added, version, "{" + rest)
                )
        cursor.execute("VACUUM ANALYZE")


@contextlib.contextmanager
def medallion(folder: Path, seed: int) -> Iterator[tuple[Site, str]]:
    """medallion 3.0.0 on its memory backend, as its own command serves it, and its objects."""
    data, config, port = folder / "medallion.json", folder / "medallion.conf.json", free_port()
    data.write_text(json.dumps(_medallion_data(seed)))
    backend = {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend"}
    told = {
        "backend": {**backend, "filename": str(data)},
        "users": {"bench": "bench"},
        "taxii": {"max_page_size": MEDALLION_OBJECTS},
    }
    config.write_text(json.dumps(told))
    command = [
        *(sys.executable, "-m", "medallion.scripts.run", "--port", str(port)),
        *("--log-level", "ERROR", str(config)),
    ]
    log = folder / "medallion.log"
    with web("medallion", command, port, log, env=environment(), told=_LOGIN) as site:
        yield site, f"/bench/collections/{COLLECTION}/objects/?limit={MEDALLION_OBJECTS}"


def _medallion_data(seed: int) -> dict[str, object]:
    objects = [json.loads(whole(*one)) for one in indicators(MEDALLION_OBJECTS, seed)]
    media = "application/stix+json;version=2.1"
    manifest = [
        {
            "id": one["id"],
            "date_added": moment(1_767_225_600_000_000 + number),
            "version": one["modified"],
            "media_type": media,
        }
        for number, one in enumerate(objects)
    ]
    collection = {
        "id": str(COLLECTION),
        "title": "bench",
        "can_read": True,
        "can_write": True,
        "media_types": [media],
        "objects": objects,
        "manifest": manifest,
    }
    taxii = "application/taxii+json;version=2.1"
    information = {"title": "bench", "versions": [taxii], "max_content_length": 10_485_760}
    return {
        "/discovery": {"title": "bench", "default": "/bench/", "api_roots": ["/bench/"]},
        "bench": {"information": information, "status": [], "collections": [collection]},
    }
