"""Moving in from other servers and out again: nothing lost, nothing shown too early."""

import contextlib
import copy
import gzip
import io
import json
import random
import tracemalloc
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from crc.members.models import Group
from sharing import history
from sharing.models import Collection, Placement, StixObject, StoreClock, Submission
from sharing.moving import root
from sharing.stix.markings import MARKING_IDS, Json, Tlp
from sharing.stix.reading import stream
from tests.conftest import Port
from tests.patience import assert_linear
from tests.taxii.test_server import indicator

Ask = Callable[..., Any]
DAY = "2020-05-0{}T08:00:00.000Z"


def run(*words: str) -> Json:
    """What one of the operator's commands answers a machine."""
    out = io.StringIO()
    call_command(*words, "--json", stdout=out, stderr=io.StringIO())
    told: Json = json.loads(out.getvalue())
    return told


def version(obj: Json, day: int, **changes: Any) -> Json:
    """A later version."""
    return {**obj, "created": DAY.format(1), "modified": DAY.format(day), **changes}


# Cutting a file into objects


class Drip:
    """A file that gives a few bytes at a time."""

    def __init__(self, content: bytes, at_most: int) -> None:
        self._content, self._at_most = io.BytesIO(content), at_most

    def read(self, size: int) -> bytes:
        """At least one byte, but for the end."""
        return self._content.read(random.randint(1, self._at_most))


def cut(content: bytes, at_most: int = 1 << 20) -> list[Any]:
    return [piece.value() for piece in stream.pieces(Drip(content, at_most))]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\[]{}:,é \n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=5), st.integers(1, 9), st.sampled_from([None, 1]))
def test_every_wrapping_gives_the_objects_inside(
    objects: list[Any], at_most: int, indent: int | None
) -> None:
    bundle = {"type": "bundle", "id": "b", "objects": objects, "x": {"objects": [1]}}
    for wrapped in (objects, bundle, {"more": True, "objects": objects, "next": "x"}):
        text = json.dumps(wrapped, indent=indent).encode()
        assert cut(text, at_most) == objects
        assert cut(b"\xef\xbb\xbf" + text + b"\r\n", at_most) == objects
        assert cut(json.dumps(wrapped).encode() + b"\n\n" + text, at_most) == objects * 2


def test_lines_that_are_objects() -> None:
    lines = [{"type": "a", "objects": {"0": {}}}, {"type": "b", "id": "c"}, {"id": "d"}]
    assert cut("\n".join(map(json.dumps, lines)).encode()) == lines
    assert cut(b'{}\n{"more":false}\n{"type":"bundle","id":"b"}\n[]\n') == []


@pytest.mark.parametrize(
    ("content", "at"),
    [
        (b"[1,2", 4),
        (b"[1,,2]", 3),
        (b"[1,]", 3),
        (b"[1 2]", 3),
        (b'{"objects":[1}', 13),
        (b'{"objects":[{"a":]},2]}', 17),
        (b'{"objects":[1],"objects":[2]}', 25),
        (b'{"type":bundle,"objects":[1]}', 8),
        (b"[1] 2", 4),
        (b'{"a":1}{"b":1}', 7),
        (b"{nonsense", 1),
        (b'{"a"', 4),
        (b'{"a":', 5),
        (b'{"a":1,}', 7),
        (b'["x\\', 4),
        (b"<stix/>", 0),
        (b'[{"a":01}]', 7),
        ('["é",tru]'.encode(), 6),
    ],
)
def test_where_a_file_breaks(content: bytes, at: int) -> None:
    for at_most in (1, 2, 100):
        with pytest.raises(stream.Broken) as broken:
            cut(content, at_most)
        assert abs(broken.value.at - at) <= 1
        assert f"at byte {broken.value.at}" in str(broken.value)


@pytest.mark.parametrize(
    ("before", "unit", "after", "times"),
    [
        (b"", b"[", b"", 300_000),
        (b'["', b"\\", b"", 9_000_000),
        (b'["', b"a", b"", 9_000_000),
        (b'{"', b"k", b"", 9_000_000),
        (b'{"a":', b"1", b"", 9_000_000),
        (b"", b" ", b"", 9_000_000),
        (b"", b'[{"a":', b"", 100_000),
        (b'[{"a":"', b'a\\"', b'"}]', 3_000_000),
    ],
)
def test_hostile_files_take_linear_time_and_little_memory(
    before: bytes, unit: bytes, after: bytes, times: int
) -> None:
    def follow(content: bytes) -> None:
        with contextlib.suppress(stream.Broken):
            for piece in stream.pieces(io.BytesIO(content)):
                assert piece.raw is None or len(content) < stream.MAX_PIECE_BYTES

    assert_linear(lambda size: follow(before + unit * size + after), times)
    content = before + unit * times + after
    tracemalloc.start()
    follow(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * stream.MAX_PIECE_BYTES


# import_stix and export_collection


def bundle(objects: list[Any]) -> bytes:
    return json.dumps({"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": objects}
                      ).encode()  # fmt: skip


def test_a_bundle_of_any_size_in_and_out_again(
    port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sharing.moving.bundles.CHUNK", 10)
    first = version(indicator(0), 1, x_number=1.5, x_big=2**63, x_small=1e-7)
    objects = [first, version(first, 2), *(indicator(number) for number in range(1, 33))]
    (tmp_path / "in.json.gz").write_bytes(gzip.compress(bundle(objects)))
    told = run("import_stix", str(tmp_path / "in.json.gz"), "--collection", "community-green")
    assert (told["accepted"], told["duplicate"], told["refused"]) == (34, 0, 0)
    assert [len(row.receipt) for row in Submission.objects.order_by("received_at")] == [10] * 3 + [
        4
    ]
    for name, words, expected in (
        ("out.json", [], objects[1:]),
        ("out.json.gz", ["--all-versions"], objects),
    ):
        path = tmp_path / name
        out = run("export_collection", "community-green", "--output", str(path), *words)
        content = path.read_bytes()
        text = gzip.decompress(content) if name.endswith("gz") else content
        exported = json.loads(text)["objects"]
        assert out["objects"] == len(exported)
        assert [obj for obj in exported if obj["type"] == "indicator"] == expected
        assert MARKING_IDS[Tlp.GREEN] in {obj["id"] for obj in exported}
        again = run("import_stix", str(path), "--collection", "community-green")
        assert (again["accepted"], again["duplicate"]) == (0, len(exported))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.json.gz", "out.json", "out.json.gz"
    ]  # fmt: skip


def test_standard_input_and_output(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(json.dumps(indicator(number)) for number in range(3))
    stdin = io.TextIOWrapper(io.BytesIO(lines.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert run("import_stix", "-", "--collection", "community-green")["accepted"] == 3
    out = io.StringIO()
    call_command("export_collection", "community-green", stdout=out)
    found = [obj for obj in json.loads(out.getvalue())["objects"] if obj["type"] == "indicator"]
    assert found == [json.loads(line) for line in lines.splitlines()]
    empty = io.StringIO()
    call_command("export_collection", "inbox-south", stdout=empty)
    assert "objects" not in json.loads(empty.getvalue())


@pytest.mark.parametrize("packed", [False, True])
def test_what_comes_before_the_break_is_kept(port: Port, tmp_path: Path, packed: bool) -> None:
    content = bundle([indicator(number) for number in range(30)])
    half = gzip.compress(content)[:-900] if packed else content[: content.rindex(b'"pattern"')]
    path = tmp_path / "half.json"
    path.write_bytes(half)
    with pytest.raises(CommandError) as wrong:
        run("import_stix", str(path), "--collection", "community-green")
    kept = StixObject.objects.filter(type="indicator").count()
    assert f"The {kept} objects before it" in str(wrong.value)
    assert kept == 29 or packed
    if not packed:
        assert f"at byte {len(half)}" in str(wrong.value)
    path.write_bytes(content)
    told = run("import_stix", str(path), "--collection", "community-green")
    assert (told["accepted"], told["duplicate"]) == (30 - kept, kept)


def test_what_a_shelf_may_not_hold_is_refused_with_the_rest(port: Port, tmp_path: Path) -> None:
    amber = {**indicator(1), "object_marking_refs": [MARKING_IDS[Tlp.AMBER]]}
    twice = json.dumps(indicator(2)).replace('"name":', '"name": "a", "name":')
    long = json.dumps({**indicator(3), "description": "x" * (5 * 1_048_576)})
    path = tmp_path / "mixed.json"
    path.write_text(f"[{json.dumps(amber)},{twice},{long},17,{json.dumps(indicator(4))}]")
    told = run("import_stix", str(path), "--collection", "community-green")
    assert (told["accepted"], told["refused"]) == (1, 4)
    reasons = [reason for _, reason in told["reasons"]]
    for reason, word in zip(
        reasons, ["TLP:AMBER", "twice", "too many", "JSON object"], strict=True
    ):
        assert word in reason
    for words in (["nowhere.json", "--collection", "desk"], [str(path), "--collection", "x"]):
        with pytest.raises(CommandError):
            run("import_stix", *words)


# import_medallion


def micros(text: str) -> int:
    from sharing.taxii.paging import micros as read

    return read(text)


def memory(objects: list[tuple[Json, str]], **fields: Any) -> Json:
    """A collection as medallion's memory backend saves it."""
    return {
        "id": str(uuid.uuid4()),
        "title": "High Value Indicators",
        "can_read": True,
        "can_write": True,
        "media_types": ["application/stix+json;version=2.1"],
        "objects": [obj for obj, _ in objects],
        "manifest": [
            {
                "id": obj.get("id"),
                "date_added": added,
                "version": obj.get("modified") or obj.get("created") or obj.get("_date_added"),
                "media_type": "application/stix+json;version=2.1",
            }
            for obj, added in objects
        ],
        **fields,
    }


def saved(tmp_path: Path, *collections: Json) -> str:
    path = tmp_path / "medallion.json"
    path.write_text(
        json.dumps(
            {
                "/discovery": {"title": "Old", "api_roots": ["http://old/trust/"]},
                "api1": {"information": {}, "status": [], "collections": []},
                "trust": {"information": {}, "status": [], "collections": list(collections)},
            }
        )
    )
    return str(path)


def take(path: str, *words: str) -> Json:
    return run("import_medallion", path, "--as-root", "trust", *words)


AT = "2021-03-04T05:06:07.{}Z"


def history_of_one() -> list[tuple[Json, str]]:
    """Versions added out of order, a revocation, an observable with medallion's own note."""
    one, other = indicator(1), indicator(2)
    hidden = {
        "type": "ipv4-addr",
        "id": f"ipv4-addr--{uuid.uuid4()}",
        "value": "198.51.100.9",
        "_date_added": AT.format("900000"),
    }
    return [
        (version(one, 3), AT.format("000001")),
        (version(one, 1), AT.format("000002")),
        (version(one, 2), AT.format("000002")),
        (hidden, AT.format("900000")),
        (version(other, 4, revoked=True), AT.format("000002")),
        (version(other, 2), "2021-03-04T05:06:08Z"),
    ]


def state(*fields: str) -> list[Any]:
    rows = Placement.objects.filter(collection__alias__startswith="trust")
    return list(rows.order_by("date_added").values_list("date_added", "version", *fields))


def test_a_root_comes_over_with_its_instants(port: Port, taxii: Ask, tmp_path: Path) -> None:
    objects = history_of_one()
    held = memory(objects)
    told = take(saved(tmp_path, held, memory([], title="Empty")))
    assert (told["accepted"], told["refused"], told["moved"]) == (6, 0, 2)
    assert told["collections"] == ["trust-high-value-indicators", "trust-empty"]
    base = f"/crc/collections/{held['id']}/"
    desk = port.key("desk", "taxii:read")
    assert taxii(desk, base).json["title"] == held["title"]
    listed = taxii(desk, f"{base}manifest/?match[version]=all").json["objects"]
    assert [line["date_added"] for line in listed] == [
        AT.format("000001"), AT.format("000002"), AT.format("000003"), AT.format("000004"),
        AT.format("900000"), "2021-03-04T05:06:08.000000Z",
    ]  # fmt: skip
    order = [objects[number][0] for number in (0, 1, 2, 4, 3, 5)]
    assert [line["id"] for line in listed] == [obj["id"] for obj in order]
    everything = taxii(desk, f"{base}objects/?match[version]=all").json["objects"]
    assert [obj.get("modified") for obj in everything] == [obj.get("modified") for obj in order]
    assert everything[4] == {
        "spec_version": "2.1", **{k: v for k, v in objects[3][0].items() if k != "_date_added"}
    }  # fmt: skip
    latest = taxii(desk, f"{base}objects/").json["objects"]
    assert [obj.get("modified") for obj in latest] == [DAY.format(3), DAY.format(4), None]
    since = taxii(desk, f"{base}objects/?added_after={AT.format('000004')}&match[version]=all")
    assert len(since.json["objects"]) == 2


def test_nobody_sees_it_until_the_group_has_members(port: Port, taxii: Ask, tmp_path: Path) -> None:
    held = memory(history_of_one())
    told = take(saved(tmp_path, held))
    key, base = port.key("south", "taxii:read"), f"/crc/collections/{held['id']}/objects/"
    assert told["group"] == "import-trust"
    assert taxii(key, base).status_code == 404
    call_command(
        "add_group", "import-trust", "--title", "Trust", "--members", "south", stdout=io.StringIO()
    )
    assert len(taxii(key, base).json["objects"]) == 3
    assert taxii(port.key("rail", "taxii:read"), base).status_code == 404
    assert port.rung == [] or all(name != "alerts.tasks.send" for name, _ in port.rung)
    assert not Submission.objects.filter(triaged_at=None).exists()


def test_a_root_named_like_a_group_opens_nothing(port: Port, taxii: Ask, tmp_path: Path) -> None:
    held = memory(history_of_one())
    path = Path(saved(tmp_path, held))
    path.write_text(path.read_text().replace('"trust"', '"community"'))
    assert run("import_medallion", str(path), "--as-root", "community")["accepted"] == 6
    south = port.key("south", "taxii:read")
    assert taxii(south, f"/crc/collections/{held['id']}/").status_code == 404


def test_a_group_and_a_marking_may_be_named(port: Port, taxii: Ask, tmp_path: Path) -> None:
    amber = {**indicator(5), "object_marking_refs": [MARKING_IDS[Tlp.AMBER]]}
    held = memory([(indicator(4), AT.format("1")), (amber, AT.format("2"))])
    told = take(saved(tmp_path, held), "--group", "community", "--tlp", "GREEN")
    assert (told["accepted"], told["refused"]) == (1, 1)
    assert "TLP:AMBER may not enter" in told["reasons"][0][1]
    found = taxii(port.key("kestrel", "taxii:read"), f"/crc/collections/{held['id']}/objects/")
    assert len(found.json["objects"]) == 1
    for words in (["--group", "public"], ["--group", "nobody"]):
        with pytest.raises(CommandError):
            take(saved(tmp_path, held), *words)


def test_instants_that_others_have_are_passed_by(port: Port, tmp_path: Path) -> None:
    first = memory([(indicator(n), AT.format("000005")) for n in range(3)], title="First")
    second = memory([(indicator(n), AT.format("000004")) for n in range(4, 8)], title="Second")
    assert take(saved(tmp_path, first))["moved"] == 2
    assert take(saved(tmp_path, first, second))["moved"] == 3
    instants = Placement.objects.filter(collection__pk=second["id"]).order_by("date_added")
    start = micros(AT.format("000004"))
    assert [at - start for at in instants.values_list("date_added", flat=True)] == [0, 4, 5, 6]
    assert StoreClock.objects.get().last > Placement.objects.latest("date_added").date_added


def test_again_and_after_being_killed_it_ends_the_same(
    port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root, "CHUNK", 2)
    objects = [(indicator(n), AT.format(f"00000{n % 3}")) for n in range(9)]
    bad = ({**indicator(1), "confidence": 900}, AT.format("000002"))
    held = memory([*objects[:5], bad, *objects[5:], *history_of_one()])
    path = saved(tmp_path, held)
    place, calls = history.place, []

    def killed(*arguments: Any) -> list[int]:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return place(*arguments)

    monkeypatch.setattr(history, "place", killed)
    with pytest.raises(KeyboardInterrupt):
        take(path)
    assert len(state()) == 6
    monkeypatch.setattr(history, "place", place)
    told = take(path)
    assert (told["accepted"], told["duplicate"], told["refused"]) == (9, 6, 1)
    resumed = state("object__stix_id", "latest")
    again = take(path)
    assert (again["accepted"], again["duplicate"], again["refused"]) == (0, 15, 1)
    assert state("object__stix_id", "latest") == resumed
    Placement.objects.filter(collection__alias__startswith="trust").delete()
    Collection.objects.filter(alias__startswith="trust").delete()
    StixObject.objects.filter(stix_id__in=[obj["id"] for obj in held["objects"]]).delete()
    assert take(path)["accepted"] == 15
    assert state("object__stix_id", "latest") == resumed


def test_no_import_behind_the_back_of_readers(port: Port, tmp_path: Path) -> None:
    held = memory([(indicator(1), AT.format("1"))])
    path = saved(tmp_path, held)
    take(path)
    alias = Collection.objects.get(pk=held["id"]).alias
    (tmp_path / "more.json").write_bytes(bundle([indicator(7)]))
    run("import_stix", str(tmp_path / "more.json"), "--collection", alias)
    with pytest.raises(CommandError, match="not from this file"):
        take(path)
    assert Placement.objects.filter(collection__alias=alias).count() == 2


def test_a_file_that_grew_adds_at_the_end_only(port: Port, tmp_path: Path) -> None:
    held = memory([(indicator(1), "2021-01-02T00:00:00Z")])
    take(saved(tmp_path, held))
    grown = copy.deepcopy(held)
    for number, added in ((2, "2021-01-01T00:00:00Z"), (3, "2021-01-03T00:00:00Z")):
        more = memory([(indicator(number), added)])
        grown["objects"] += more["objects"]
        grown["manifest"] += more["manifest"]
    told = take(saved(tmp_path, grown))
    assert (told["accepted"], told["duplicate"], told["refused"]) == (1, 1, 1)
    assert "behind" in told["reasons"][0][1]


def test_what_cannot_come_over_is_told_and_left_out(port: Port, tmp_path: Path) -> None:
    old = {k: v for k, v in indicator(1).items() if k != "spec_version"}
    lone, future = indicator(3), indicator(4)
    held = memory(
        [
            (old, AT.format("1")),
            (indicator(2), "yesterday"),
            (future, "2999-01-01T00:00:00Z"),
            (indicator(5), AT.format("2")),
        ]
    )
    held["objects"] += [lone, "text", {"type": "no-id"}]
    held["manifest"].append({"id": "indicator--x", "version": DAY.format(1), "date_added": DAY})
    told = take(saved(tmp_path, held))
    assert (told["accepted"], told["refused"], told["stix_2_0"]) == (1, 6, 1)
    assert told["manifest_without_object"] == 1
    reasons = " ".join(reason for _, reason in told["reasons"])
    for word in ("send STIX 2.1", "no time", "future", "not in the manifest", "with an id"):
        assert word in reasons


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{}", "Roots: none"),
        (b'{"api1": {}, "/discovery": {}}', "Roots: api1"),
        (b"[]", "missing"),
        (b'{"trust": {"collections": [{"id": "x"}]}}', "UUID"),
        (b'{"trust": {"collections": [{"objects": [1', "early"),
    ],
)
def test_files_that_are_no_use(port: Port, tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    before = Collection.objects.count()
    with pytest.raises(CommandError, match=word):
        take(str(path))
    assert Collection.objects.count() == before
    assert not Group.objects.filter(slug="import-trust").exists()


@pytest.mark.corpus
def test_the_data_file_that_medallion_ships(port: Port, taxii: Ask, corpus: Path) -> None:
    path = corpus / "taxii" / "medallion-default_data.json"
    told = run("import_medallion", str(path), "--as-root", "trustgroup1", "--tlp", "AMBER+STRICT")
    assert (told["accepted"], told["stix_2_0"], told["moved"]) == (7, 1, 0), told
    base = "/crc/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/"
    desk = port.key("desk", "taxii:read")
    held = json.loads(path.read_bytes())["trustgroup1"]["collections"][2]
    listed = taxii(desk, f"{base}manifest/?match[version]=all").json["objects"]
    assert listed == [line for line in held["manifest"] if "2.0" not in line["media_type"]]
    served = taxii(desk, f"{base}objects/?match[version]=all").json["objects"]
    versions = [(obj["id"], obj.get("modified") or obj["created"]) for obj in served]
    assert versions == [(line["id"], line["version"]) for line in listed]
    assert all(obj in held["objects"] for obj in served)
