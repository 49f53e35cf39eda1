"""Signs as senders do: what outside tests and unit tests post with."""

import base64
import hashlib
import hmac
import time
from urllib.parse import parse_qsl


def proof(scheme, body, secret, *, url="", form=False):
    """Headers that make a body genuine, those a repetition is told by among them.

    `url` is the one Twilio has.
    """
    now = str(int(time.time()))
    key = secret.encode()
    match scheme:
        case "github":
            return {
                "X-Hub-Signature-256": "sha256=" + mac(key, body).hex(),
                "X-GitHub-Delivery": "d",
            }
        case "stripe":
            v1 = mac(key, f"{now}.".encode() + body).hex()
            return {"Stripe-Signature": f"t={now},v1={'0' * 64},v1={v1}"}
        case "slack":
            v0 = mac(key, f"v0:{now}:".encode() + body).hex()
            return {"X-Slack-Signature": f"v0={v0}", "X-Slack-Request-Timestamp": now}
        case "shopify":
            return {
                "X-Shopify-Hmac-Sha256": text(mac(key, body)),
                "X-Shopify-Webhook-Id": "w",
                "X-Shopify-Shop-Domain": "a.myshopify.com",
            }
        case "twilio":
            fields = sorted(set(parse_qsl(body.decode()))) if form else []
            signed = url + "".join(name + value for name, value in fields)
            return {
                "X-Twilio-Signature": text(mac(key, signed.encode(), "sha1")),
                "I-Twilio-Idempotency-Token": "i",
            }
        case "svix" | "standard-webhooks":
            prefix = "svix" if scheme == "svix" else "webhook"
            key = base64.b64decode(secret.removeprefix("whsec_"))
            signature = text(mac(key, f"msg_1.{now}.".encode() + body))
            return {
                f"{prefix}-id": "msg_1",
                f"{prefix}-timestamp": now,
                f"{prefix}-signature": f"v1,AAAA v1,{signature}",
            }
        case "bearer":
            return {"Authorization": f"Bearer {secret}"}
        case "hmac-sha512":
            signed = f"id1.{now}.".encode() + body
            return {
                "X-Signature": "sha512=" + text(mac(key, signed, "sha512")),
                "X-Id": "id1",
                "X-Timestamp": now,
            }
    return {}


def digest_query(body):
    """What Twilio adds to the URL of a body that is no form."""
    return f"bodySHA256={hashlib.sha256(body).hexdigest()}"


def mac(key, signed, algorithm="sha256"):
    return hmac.digest(key, signed, algorithm)


def text(raw):
    return base64.b64encode(raw).decode()
