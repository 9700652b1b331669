"""Every text exists in both languages, and the reader gets theirs."""

import json
import re
from html.parser import HTMLParser

import polib
import pytest
from django.core import mail
from django.template.base import Lexer, TokenType
from django.test import Client
from django.utils import timezone
from django.utils.translation import gettext, override

from alerts import ladder, subscriptions
from alerts.models import Endpoint, Subscription
from alerts.templatetags.channels import channel_title
from crc.members.models import Contact, Organisation, User
from crc.members.retold import both, retold
from sharing.models import StixObject
from sharing.stix.port import ATTACKS
from sharing.tooluse import picture
from tests.conftest import Port
from tools import messages as collecting
from tools.messages import MO, PO, ROOT

CATALOGUE = polib.pofile(str(PO))
BLANK = re.compile(r"%\(\w+\)0?\d*[sd]")
TAG = re.compile(r"<[^>]+>")
# Names that both languages write alike.
NAMES = re.compile(
    r"\b(TLP|STIX|TAXII|UTC|JSON|Accept|User-Agent|crc_|min|English|inbox|[A-Z]{2,5})\b|[^A-Za-z]"
)
# What keeps two languages apart in one text: no reader may see them.
MARKS = {"\ue000", "\ue001", "\ue002"}
SKIPPED = ("blocktranslate", "copyable", "comment")
SPOKEN = ("title", "aria-label", "alt", "placeholder", "data-label", "data-busy")


def said(entry: polib.POEntry) -> str:
    """The Japanese of an entry: of the one plural that Japanese has, where it has one."""
    return entry.msgstr_plural.get(0, "") if entry.msgid_plural else entry.msgstr


def test_every_text_is_translated() -> None:
    wanted = collecting.messages()
    held = {(entry.msgctxt or "", entry.msgid): entry for entry in CATALOGUE}
    assert sorted(wanted.keys() - held.keys()) == [], "new texts: run python -m tools.messages"
    assert sorted(held.keys() - wanted.keys()) == [], "texts that are gone: the same"
    assert [e.msgid for e in CATALOGUE if not said(e).strip() or e.fuzzy] == []
    plurals = {key: message.plural for key, message in wanted.items()}
    assert plurals == {key: entry.msgid_plural for key, entry in held.items()}


def test_a_translation_keeps_what_is_filled_in_and_its_marks() -> None:
    for entry in CATALOGUE:
        # Japanese has one form, for every number.
        blanks = set(BLANK.findall(entry.msgid_plural or entry.msgid))
        assert set(BLANK.findall(said(entry))) == blanks, entry.msgid
        assert sorted(TAG.findall(said(entry))) == sorted(TAG.findall(entry.msgid)), entry.msgid


def test_the_compiled_catalogue_is_this_one() -> None:
    compiled = {(e.msgctxt, e.msgid): said(e) for e in polib.mofile(str(MO))}
    assert compiled == {(e.msgctxt, e.msgid): said(e) for e in CATALOGUE}


class Literals(HTMLParser):
    """What a template says without asking for its translation."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in {"code", "pre", "style", "script"}
        self.found += [
            value for name, value in attrs if name in SPOKEN and value and said_in(value)
        ]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in {"code", "pre", "style", "script"}

    def handle_data(self, data: str) -> None:
        if not self._code and said_in(data):
            self.found.append(" ".join(data.split()))


def said_in(text: str) -> bool:
    return len(NAMES.sub("", text)) > 1


def literals(text: str) -> list[str]:
    """The sentences of a template that stand outside its translation tags and its code."""
    parser, skipped = Literals(), ""
    for token in Lexer(text).tokenize():
        word = token.contents.split()[0] if token.contents.split() else ""
        if token.token_type == TokenType.BLOCK and word in {
            "blocktranslate",
            "copyable",
            "comment",
        }:
            skipped = f"end{word}"
        elif token.token_type == TokenType.BLOCK and word == skipped:
            skipped = ""
        elif token.token_type == TokenType.TEXT and not skipped and token.contents != "wide":
            parser.feed(token.contents)
    parser.close()
    return parser.found


def test_no_template_speaks_english_alone() -> None:
    assert literals('<p title="Not this">Nor this</p>') == ["Not this", "Nor this"]
    templates = [f for f in collecting.sources() if f.endswith((".html", ".txt"))]
    found = {f: literals((ROOT / f).read_text("utf-8")) for f in templates}
    assert {f: texts for f, texts in found.items() if texts} == {}


def test_kept_sentences_are_read_in_the_readers_language() -> None:
    held = (
        "The desk must look at this before it goes to every firewall: 8.8.8.8 (a public DNS "
        "service), 9.9.9.9 (a public DNS service)."
    )
    title = "Seen by 2 members: Ransomware at a port member: booking, manifest and release orders"
    with override("ja"):
        assert "公開DNSサービス" in retold(held)
        assert (
            retold(title) == "2組織が確認：港の参加組織でランサムウェア（予約・積荷目録・搬出指示）"
        )
        assert retold("8.8.8.8 is what our admin wrote") == "8.8.8.8 is what our admin wrote"
        assert retold("") == ""
    with override("en"):
        assert retold(held) == held
        assert retold(title) == title


@pytest.fixture
def reader(db: None) -> User:
    """A duty officer who reads Japanese."""
    member = Organisation.objects.create(slug="north", name="北岸", port_role="terminal")
    return User.objects.create_user(
        "duty@north.example", "x", organisation=member, language="ja", role="member-admin"
    )


ENGLISH = [TAG.sub("", e.msgid) for e in CATALOGUE if " " in e.msgid and "%" not in e.msgid]


def english_in(page: str) -> list[str]:
    text = re.sub(r"<(code|pre|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    # STIX content is in the language it came in.
    text = re.sub(r'<span class="stixname">.*?</span>', "", text, flags=re.DOTALL)
    text = text.replace("Asia/Tokyo", "")
    seen = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    return [msgid for msgid in ENGLISH if len(msgid) > 12 and msgid in seen]


PAGES = """/warnings/ /warnings/wishes/ /warnings/wishes/mine/ /warnings/assets/ /warnings/ways/
    /warnings/ways/add/ /ladder/ /report/ /reports/ /tools/ /tools/settings/curl/
    /tools/settings/splunk/ /tools/settings/sentinel/
    /accounts/2fa/ /accounts/password/change/""".split()


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_in_the_users_language(reader: User, page: str) -> None:
    client = Client(headers={"accept-language": "en"})
    client.force_login(reader)
    answer = client.get(page)
    assert answer.status_code == 200
    assert answer.headers["Content-Language"] == "ja"
    text = answer.content.decode()
    assert '<html lang="ja">' in text
    assert english_in(text) == []


def test_words_that_modules_hold_are_said_in_the_readers_language(reader: User) -> None:
    Endpoint.objects.create(
        organisation=reader.organisation,
        channel="sms",
        address="+819012345678",
        verified_at=timezone.now(),
    )
    wish = Subscription(attacks=["ransomware", "phishing"], systems=["yard"])
    with override("ja"):
        told = " ".join(
            [
                *subscriptions.in_words(wish),
                *(choice.words for choice in ladder.choices(reader.organisation)),
                channel_title("inbox"),
                picture._title("list:ipv4", {}),
                picture._title("gone", {}),
            ]
        )
    assert "ランサムウェア、フィッシング" in told
    assert "リストipv4.txt" in told
    shown = re.sub(r"\S+@\S+|SMS|ipv4.txt", "", told)
    assert re.findall(r"[A-Za-z]+", shown) == []


def test_before_login_the_browser_says_which(db: None) -> None:
    page = Client(headers={"accept-language": "ja"}).get("/accounts/login/").content.decode()
    assert "ログイン" in page
    assert english_in(page) == []
    client = Client(headers={"accept-language": "ja"})
    client.post("/language/", {"language": "en", "next": "/accounts/login/"})
    assert "Log in" in client.get("/accounts/login/").content.decode()
    assert (
        '<html lang="ja">' in Client(headers={"accept-language": "ja"}).get("/x").content.decode()
    )


def test_the_switch_is_kept_on_the_account_and_leads_nowhere_else(reader: User) -> None:
    client = Client()
    client.force_login(reader)
    answer = client.post("/language/", {"language": "en", "next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"
    assert not answer.cookies
    reader.refresh_from_db()
    assert reader.language == "en"
    client.post("/language/", {"language": "xx"})
    reader.refresh_from_db()
    assert reader.language == "en"


def test_account_mails_are_in_their_readers_language(reader: User) -> None:
    reader.set_password("harbour-lantern-42")
    reader.save()
    Client(headers={"accept-language": "en"}).post(
        "/accounts/password/reset/", {"email": reader.email}
    )
    assert "パスワードの再設定" in mail.outbox[0].subject
    assert "お心当たり" in mail.outbox[0].body


def test_the_ports_words_are_the_same_on_the_form_and_in_a_warning() -> None:
    with override("ja"):
        assert all(
            retold(words.label.lower()) == gettext(words.label) for words in ATTACKS.values()
        )


def test_a_warning_is_mailed_in_each_readers_language(port: Port) -> None:
    User.objects.filter(email="duty@rail.example").update(language="ja")
    Contact.objects.create(
        organisation=port.organisations["south"], email="control@south.example", language="ja"
    )
    port.file("north", warn_now="yes")
    port.sweep()
    sent = {mailed.to[0]: mailed for mailed in mail.outbox}
    for japanese in ("duty@rail.example", "control@south.example"):
        assert "港の参加組織で" in sent[japanese].subject
        assert "影響を受けていますか" in sent[japanese].body
        assert english_in(sent[japanese].body) == []
        assert '<html lang="ja">' in str(sent[japanese].alternatives[0])
    assert "at a port member" in sent["duty@south.example"].subject
    assert "Are you affected?" in sent["duty@south.example"].body


def test_the_desk_reads_a_held_case_in_its_language(port: Port) -> None:
    User.objects.filter(email__in=["duty@desk.example", "duty@north.example"]).update(language="ja")
    report = port.file("north", warn_now="yes", technical="8.8.8.8")
    port.sweep()
    reference = report.submission.reference
    for who, page in (
        ("desk", "/desk/"),
        ("desk", f"/desk/{reference}/"),
        ("north", f"/reports/{reference}/"),
    ):
        text = port.client(who).get(page).content.decode()
        assert english_in(text) == []
        assert page == "/desk/" or "8.8.8.8（公開DNSサービス）" in text


JAPANESE = {
    "title_ja": "ヤードシステムへのランサムウェア攻撃",
    "advice_ja": "バックアップを切り離してください。\n\n当直に電話してください。",
}


def test_what_the_desk_writes_in_both_languages_is_read_in_one(port: Port) -> None:
    User.objects.filter(email="duty@rail.example").update(language="ja")
    report = port.file("north", tlp="GREEN")
    path, desk = f"/desk/{report.submission.reference}/", port.client("desk")
    form = desk.get(path).content.decode()
    assert "港の参加組織でランサムウェア" in form  # the standard title is there in both
    words = {
        "group": "community",
        "tlp": "GREEN",
        "title": "Ransomware in yard systems",
        "advice": "Unplug the backups.\n\nCall the duty desk.",
        **JAPANESE,
    }
    shown = desk.post(f"{path}confirm/", words).content.decode()
    assert all(text.split("\n")[0] in shown for text in words.values())
    assert desk.post(f"{path}release/", words).status_code == 302
    port.sweep()
    corrected = {"text": "Over.", "text_ja": "解除されました。", "confirmed": "yes"}
    assert desk.post(f"{path}correct/all-clear/", corrected).status_code == 302
    port.sweep()

    warning = port.warnings()[0]
    pages = {
        who: port.client(who).get(f"/warnings/{warning.pk}/").content.decode()
        for who in ("rail", "south")
    }
    for text in ("ヤードシステムへの", "バックアップを切り離して", "当直に電話", "解除されました"):
        assert text in pages["rail"]
        assert text not in pages["south"]
    for text in ("Ransomware in yard systems", "Unplug the backups", "Call the duty", "Over."):
        assert text in pages["south"]
        assert text not in pages["rail"]
    subjects: dict[str, list[str]] = {}
    for mailed in mail.outbox:
        subjects.setdefault(mailed.to[0], []).append(mailed.subject)
        assert not MARKS & set(f"{mailed.subject}{mailed.body}")
    assert all("ヤードシステムへの" in subject for subject in subjects["duty@rail.example"])
    assert all("yard systems" in subject for subject in subjects["duty@south.example"])
    everywhere = (path, "/desk/", f"/desk/warnings/{warning.pk}/", f"{path}correct/withdrawal/")
    for page in everywhere:
        answer = desk.get(page)
        assert answer.status_code == 200, page
        assert not MARKS & set(answer.content.decode()), page

    graph = [json.loads(body) for body in StixObject.objects.values_list("body", flat=True)]
    assert not MARKS & set(json.dumps(graph, ensure_ascii=False))
    named = {obj["id"]: obj for obj in graph if obj.get("name") == words["title"]}
    told = [obj for obj in graph if obj["type"] == "language-content"]
    assert {obj["object_ref"] for obj in told} == named.keys()
    for obj in told:
        assert obj["contents"] == {
            "ja": {"name": JAPANESE["title_ja"], "description": JAPANESE["advice_ja"]}
        }
    assert all("lang" not in obj for obj in named.values())


def test_what_is_written_in_japanese_alone_says_so_in_stix(port: Port) -> None:
    report = port.file("north", tlp="GREEN", narrative="プリンターが脅迫文を印刷した。")
    words = {"group": "community", "tlp": "GREEN", "title": "ヤードが停止", "advice": ""}
    path = f"/desk/{report.submission.reference}/release/"
    assert port.client("desk").post(path, words).status_code == 302
    graph = [json.loads(body) for body in StixObject.objects.values_list("body", flat=True)]
    spoken = [obj for obj in graph if obj["type"] in {"incident", "report"}]
    assert [obj.get("lang") for obj in spoken] == ["ja"] * 3
    assert not [obj for obj in graph if obj["type"] == "language-content"]


def test_a_standard_title_goes_out_to_tools_in_both_languages(port: Port) -> None:
    report = port.file("north", warn_now="yes")
    port.sweep()
    told = StixObject.objects.filter(release__submission=report.pk, type="language-content")
    assert [json.loads(body)["contents"] for body in told.values_list("body", flat=True)] == [
        {"ja": {"name": name, "description": name}} for name in ["港の参加組織でランサムウェア"] * 2
    ]


def test_japanese_advice_alone_leaves_nobody_without(port: Port) -> None:
    report = port.file("north", tlp="GREEN")
    path, desk = f"/desk/{report.submission.reference}/", port.client("desk")
    words = {"group": "community", "tlp": "GREEN", "title": "A title", "advice_ja": "確認。"}
    answer = desk.post(f"{path}confirm/", words)
    assert answer.status_code == 422
    assert "not everybody reads the Japanese" in answer.content.decode()


def test_the_source_must_not_be_named_in_any_language(port: Port) -> None:
    report = port.file("north", tlp="GREEN")
    words = {
        "group": "community",
        "tlp": "GREEN",
        "title": "Ransomware",
        "title_ja": "North Quay Terminalで障害",
    }
    answer = port.client("desk").post(f"/desk/{report.submission.reference}/confirm/", words)
    assert answer.status_code == 422
    assert "names the member" in answer.content.decode()


def test_a_text_cannot_carry_the_marks_of_two_languages() -> None:
    told = both("a\ue001b", "い\ue002ろ\ue000")
    with override("en"):
        assert retold(told) == "ab"
    with override("ja"):
        assert retold(told) == "いろ"
        assert retold(f"Update: {told}") == "更新：いろ"
