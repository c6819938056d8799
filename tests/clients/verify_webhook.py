"""standardwebhooks, unmodified, and cryptography verify a delivery.

Reads {"headers", "body", "secrets", "public_keys"} from standard input: each secret and each public key must verify
by itself, and another secret, another key or another body must not.
"""

import base64
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

asked = json.load(sys.stdin)
headers, body = asked["headers"], asked["body"]


def verifies(secret, text=body):
    try:
        Webhook(secret).verify(text, headers)
    except WebhookVerificationError:
        return False
    return True


def verifies_publicly(key, text=body):
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{text}".encode()
    for one in headers["webhook-signature"].split(" "):
        version, signature = one.split(",")
        try:
            if version == "v1a":
                key.verify(base64.b64decode(signature), content)
                return True
        except InvalidSignature:
            continue
    return False


for secret in asked["secrets"]:
    assert verifies(secret), "a secret does not verify"
    assert not verifies(secret, body + " "), "another body verifies"
assert not verifies("whsec_" + base64.b64encode(b"x" * 32).decode()), "another secret verifies"

for text in asked["public_keys"]:
    assert text.startswith("whpk_"), text
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text.removeprefix("whpk_")))
    assert verifies_publicly(key), "a public key does not verify"
    assert not verifies_publicly(key, body + " "), "another body verifies"
assert not verifies_publicly(Ed25519PrivateKey.generate().public_key()), "another key verifies"
