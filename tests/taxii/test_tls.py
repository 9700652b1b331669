"""TLS, the proxy's own answers, and the name service (T016 to T018)."""

import contextlib
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import ROOT, free_port
from tests.patience import PATIENCE
from tests.taxii.conftest import TAXII, Served

CONFIGURATION = (ROOT / "deploy" / "nginx.conf").read_text()
DOCUMENT = (ROOT / "docs" / "taxii.md").read_text()
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def directive(name: str) -> str:
    """What the configuration says, once."""
    [found] = re.findall(rf"^\s*{name} (.*);$", CONFIGURATION, re.M)
    return str(found)


def test_t016_only_tls_1_2_and_1_3_without_early_data() -> None:
    assert directive("ssl_protocols").split() == ["TLSv1.2", "TLSv1.3"]
    assert directive("ssl_early_data") == "off"


def test_t016_no_suite_is_on_the_black_list_of_http_2() -> None:
    for suite in directive("ssl_ciphers").split(":"):
        # RFC 7540, appendix A lists everything but ephemeral keys with authenticated encryption.
        assert re.fullmatch(
            r"ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)", suite
        ), suite


def test_t016_port_80_only_redirects() -> None:
    plain = CONFIGURATION[: CONFIGURATION.index("listen 8443")]
    assert "return 301 https://$host$request_uri;" in plain
    assert "proxy_pass" not in plain
    assert '"80:8080"' in (ROOT / "docker-compose.yml").read_text()


def test_t033_the_proxy_takes_what_the_hub_takes() -> None:
    assert int(directive("client_max_body_size").removesuffix("m")) > 10


def test_t017_t018_client_certificates_and_srv_names_are_documented() -> None:
    assert "_taxii2._tcp" in DOCUMENT
    assert "ssl_verify_client" in DOCUMENT


@contextlib.contextmanager
def proxied(folder: Path, upstream: str) -> Iterator[tuple[int, int]]:
    """The shipped configuration in a real nginx: its ports for plain text and for TLS."""
    if not NGINX or not shutil.which("openssl"):
        pytest.skip("nginx or openssl is not here; the proxy is checked by its file alone")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", str(folder / "hub.key"), "-out", str(folder / "hub.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    plain, tls = free_port(), free_port()
    (folder / "nginx.conf").write_text(_main(folder, NGINX, upstream, plain, tls))
    process = subprocess.Popen(
        [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(tls)
        yield plain, tls
    finally:
        process.terminate()
        process.wait(10)


def _main(folder: Path, nginx: str, upstream: str, plain: int, tls: int) -> str:
    """The shipped file with the test's ports, certificate and hub."""
    server = (
        CONFIGURATION.replace("listen 8080", f"listen 127.0.0.1:{plain}")
        .replace("listen 8443 ssl", f"listen 127.0.0.1:{tls} ssl")
        .replace("/run/tls", str(folder))
        .replace("http://web:8000", upstream)
        .replace("http://taxii:8001", upstream)
    )
    told = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    if [int(part) for part in re.findall(r"\d+", told)[:2]] < [1, 25]:
        server = server.replace("  http2 on;\n", "")  # no directive yet
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"user root;\npid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{server} }}\n"
    )


def _wait(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "nginx does not start"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def proxy(hub: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """In front of the served hub."""
    with proxied(tmp_path_factory.mktemp("proxy"), hub.base) as ports:
        yield ports


def context(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks one version alone, and any suite."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL itself would not offer the old versions
    made.minimum_version = made.maximum_version = version
    return made


def ask(
    port: int, method: str, path: str, *, body: bytes | None = None, key: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """One request through TLS."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, timeout=20, context=context(ssl.TLSVersion.TLSv1_3)
    )
    headers = {"Accept": TAXII, "Content-Type": TAXII, "Authorization": f"Bearer {key}"}
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        read = answer.read()
    finally:
        connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, read


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_t016_a_real_proxy_speaks_both_versions(proxy: tuple[int, int], version: str) -> None:
    with (
        socket.create_connection(("127.0.0.1", proxy[1]), timeout=5) as wire,
        context(ssl.TLSVersion[version]).wrap_socket(wire) as secure,
    ):
        assert secure.version() == version.replace("_", ".")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_t016_a_real_proxy_refuses_older_ones(proxy: tuple[int, int]) -> None:
    with (
        socket.create_connection(("127.0.0.1", proxy[1]), timeout=5) as wire,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context(ssl.TLSVersion.TLSv1_1).wrap_socket(wire)


def test_t016_a_real_proxy_serves_no_taxii_without_tls(hub: Served, proxy: tuple[int, int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy[0], timeout=5)
    connection.request("GET", "/taxii2/", headers={"Authorization": f"Bearer {hub.keys['RO']}"})
    answer = connection.getresponse()
    assert answer.status == 301
    assert str(answer.getheader("location")).startswith("https://")
    connection.close()
    status, headers, _ = ask(proxy[1], "GET", "/taxii2/", key=hub.keys["RO"])
    assert (status, headers["content-type"]) == (200, TAXII)


def test_t004_a_body_too_large_for_the_proxy_is_a_taxii_error(
    hub: Served, proxy: tuple[int, int]
) -> None:
    body = b" " * (13 * 1024 * 1024 + 1)
    path = f"{hub.at('C2')}objects/"
    status, headers, read = ask(proxy[1], "POST", path, body=body, key=hub.keys["RW"])
    assert (status, headers["content-type"]) == (413, TAXII)
    assert b'"http_status":"413"' in read


def test_t004_a_hub_that_is_away_is_a_taxii_error(tmp_path: Path) -> None:
    with proxied(tmp_path, f"http://127.0.0.1:{free_port()}") as (_, tls):
        for path in ("/taxii2", "/crc/collections/"):
            status, headers, read = ask(tls, "GET", path, key="any")
            assert (status, headers["content-type"]) == (503, TAXII)
            assert headers["retry-after"] == "5"
            assert b'"http_status":"503"' in read


def test_a_long_cursor_passes_the_proxy(hub: Served, proxy: tuple[int, int]) -> None:
    ids = ",".join([*hub.seeded["indicators"], *(f"tool--{n:036d}" for n in range(250))])
    path = f"{hub.at('C1')}objects/?limit=5&match[id]={ids}"
    assert len(path) > 9_000
    token = hub.get(path).json["next"]
    status, headers, _ = ask(proxy[1], "GET", f"{path}&next={token}", key=hub.keys["RO"])
    assert (status, headers["content-type"]) == (200, TAXII)
