import base64
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from alerts.channels import signing

BODY = '{"type":"alert.raised","title":"停泊中の船"}'.encode()


def headers(secrets: list[str], *, at: int | None = None, body: bytes = BODY) -> dict[str, str]:
    at = int(time.time()) if at is None else at
    return {
        signing.HEADERS.id: "msg_1",
        signing.HEADERS.timestamp: str(at),
        signing.HEADERS.signature: signing.sign(secrets, "msg_1", at, body),
    }


def test_the_reference_library_accepts_our_signature() -> None:
    secret = signing.new_secret()
    assert Webhook(secret).verify(BODY, headers([secret]))["title"] == "停泊中の船"


def test_the_published_example_of_the_specification() -> None:
    signature = signing.sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_rotated_old_and_new_both_verify() -> None:
    old, new = signing.new_secret(), signing.new_secret()
    sent = headers([new, old])
    assert sent["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(BODY, sent)


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp"])
def test_a_changed_message_fails(changed: str) -> None:
    secret = signing.new_secret()
    sent = headers([secret])
    body = BODY + b" " if changed == "body" else BODY
    if changed != "body":
        sent[changed] = {"webhook-id": "msg_2"}.get(changed, str(int(time.time()) + 1))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, sent)


def test_secrets_are_256_bits_and_differ() -> None:
    one, two = signing.new_secret(), signing.new_secret()
    assert one != two
    assert one.startswith("whsec_")
    assert len(base64.b64decode(one.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize(
    ("secrets", "message_id"),
    [
        ([], "msg_1"),
        (["whsec_"], "msg_1"),
        (["c2VjcmV0"], "msg_1"),
        (["whsec_not base64"], "msg_1"),
        (["whsec_c2VjcmV0"], "msg.1"),
        (["whsec_c2VjcmV0"], ""),
    ],
)
def test_what_cannot_be_signed_is_an_error_that_keeps_the_secret(
    secrets: list[str], message_id: str
) -> None:
    with pytest.raises(ValueError, match=r"secret|message id|base64") as caught:
        signing.sign(secrets, message_id, 1, b"")
    assert "c2VjcmV0" not in str(caught.value)
