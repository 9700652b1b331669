"""The containers, as far as they can be checked without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import reverse
from django.utils.module_loading import import_string

from crc import runner

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]


def test_every_service_is_there_and_watched() -> None:
    assert set(COMPOSE["services"]) == {
        "proxy",
        "migrate",
        "web",
        "taxii",
        "worker",
        "sender",
        "beat",
        "postgres",
        "redis",
    }
    for name, service in COMPOSE["services"].items():
        assert name == "migrate" or "healthcheck" in service, name
        used = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {v for v in used if not v.startswith(".")} <= set(COMPOSE["volumes"])
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_the_proxy_sends_each_path_to_a_service_and_its_port() -> None:
    proxy = (ROOT / "deploy" / "nginx.conf").read_text()
    passed = re.findall(r"location (?:=|~)?\s*(\S+) \{[^}]*proxy_pass http://(\w+):(\d+)", proxy)
    assert {path: service for path, service, _ in passed} == {
        "/warnings/events/": "web",
        "^/(taxii2|crc)(/|$)": "taxii",
        "^/(answer|mails|ok|accounts/password/reset/key)/": "web",
        "/": "web",
    }
    for _, service, port in passed:
        command = COMPOSE["services"][service]["command"]
        assert command[command.index("--port") + 1] == port
        assert service in COMPOSE["services"]["proxy"]["depends_on"]


def test_links_that_let_in_who_has_them_are_in_no_log() -> None:
    """Theirs are the only paths with a token; django.request logs errors alone."""
    secret = {
        str(one.pattern).partition("<")[0]
        for one in (*import_string("alerts.urls.urlpatterns"),)
        if "<str:token>" in str(one.pattern)
    }
    secret.add(reverse("account_reset_password_from_key", args=["a", "b"])[1:].partition("a-b")[0])
    proxy = (ROOT / "deploy" / "nginx.conf").read_text()
    [paths] = re.findall(r"location ~ (\S+) \{\s+access_log off;\s+error_log /dev/null;", proxy)
    assert [path for path in secret if not re.match(paths, f"/{path}")] == []
    started = [COMPOSE["services"]["web"]["command"], runner.web("h", 1).command]
    started.append(re.findall(r"CMD (.+)", (ROOT / "Dockerfile").read_text())[-1])
    for command in started:
        assert "--no-access-log" in command


@pytest.mark.parametrize("name", OURS)
def test_each_command_and_variable_exists_in_the_code(name: str) -> None:
    service = COMPOSE["services"][name]
    words = " ".join(service["command"])
    for target in re.findall(r"\bcrc\.\w+:\w+", words):
        assert import_string(target.replace(":", "."))
    for command in re.findall(r"manage\.py (\w+)", words):
        assert command == "migrate" or list(ROOT.glob(f"*/management/commands/{command}.py"))
    settings = (ROOT / "crc" / "settings.py").read_text()
    for variable in service["environment"]:
        assert f'"{variable.removesuffix("_FILE")}"' in settings, variable
        if variable.endswith("_FILE"):
            secret = Path(service["environment"][variable]).name
            assert secret in service["secrets"]


def test_the_image_copies_what_exists_and_installs_from_the_lock() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
    install = next(line for line in lines if "pip install" in line)
    assert "--require-hashes -r requirements.lock" in install
    assert "USER hub" in lines
    assert "--require-hashes -r" in (ROOT / "Makefile").read_text()


def test_every_documented_variable_is_read_and_every_read_one_documented() -> None:
    told = set(
        re.findall(
            r"`((?:CRC_|DATABASE_|REDIS_)[A-Z_]+)`", (ROOT / "docs" / "operating.md").read_text()
        )
    )
    code = "".join((ROOT / "crc" / name).read_text() for name in ("settings.py", "runner.py"))
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', code))
    assert told == read | {"CRC_HOST"}


def test_locks_carry_hashes_and_name_no_host() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(re.findall(r"^[a-z0-9].*==", text, re.M))


def test_the_flow_names_files_and_functions_that_exist() -> None:
    flow = (ROOT / "docs" / "flow.md").read_text()
    for place in re.findall(r"`((?:crc|sharing|alerts)/[\w/.]+)`", flow):
        assert (ROOT / place).exists(), place
    for place, names in re.findall(r"`((?:sharing|alerts)/[\w/]+\.py)`((?:,? `\w+`)+)", flow):
        code = (ROOT / place).read_text()
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(async )?(def|class) {name}\b|^{name} = ", code, re.M), (
                place,
                name,
            )
