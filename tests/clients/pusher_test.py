"""pusher, the server library for Python, unmodified: a back end publishes, asks and signs.

Needs a running server in BELLWIRE_PORT, and its app in BELLWIRE_APP (`id key secret`).
"""

import base64
import json
import os
import unittest

import pusher
from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PORT = int(os.environ["BELLWIRE_PORT"])
APP_ID, KEY, SECRET = os.environ["BELLWIRE_APP"].split()
MASTER_KEY = base64.b64encode(b"x" * 32).decode()


def backend(**changes):
    settings = {"app_id": APP_ID, "key": KEY, "secret": SECRET, "host": "127.0.0.1", "port": PORT, "ssl": False}
    return pusher.Pusher(encryption_master_key_base64=MASTER_KEY, **{**settings, **changes})


class Client:
    """A WebSocket that has been greeted."""

    def __init__(self):
        self.socket = connect(f"ws://127.0.0.1:{PORT}/app/{KEY}?protocol=7")
        self.id = self.expect("pusher:connection_established")["socket_id"]

    def say(self, event, data):
        self.socket.send(json.dumps({"event": event, "data": data}))

    def next(self):
        """The next message but those that nobody asked for."""
        while True:
            message = json.loads(self.socket.recv(timeout=10))
            if not message["event"].startswith("bellwire:"):
                return message

    def expect(self, event):
        message = self.next()
        if message["event"] != event:
            raise AssertionError(f"expected {event}: {message}")
        data = message["data"]
        return json.loads(data) if isinstance(data, str) else data

    def join(self, channel, custom_data=None):
        data = {"channel": channel}
        if channel.startswith(("private-", "presence-")):
            signed = backend().authenticate(channel, self.id, custom_data)
            data |= {key: signed[key] for key in ("auth", "channel_data") if key in signed}
        self.say("pusher:subscribe", data)
        return self.expect("pusher_internal:subscription_succeeded")

    def leave(self, channel):
        self.say("pusher:unsubscribe", {"channel": channel})
        self.say("pusher:ping", {})
        self.expect("pusher:pong")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class PusherForPython(unittest.TestCase):
    def test_an_event_reaches_its_channels_but_not_the_socket_that_is_named(self):
        with Client() as one, Client() as other:
            one.join("py-a")
            other.join("private-py-b")
            data = {"title": 'Größe "M"', "lines": ["a", "b\n"]}
            self.assertEqual(backend().trigger(["py-a", "private-py-b"], "App\\Events\\Published", data), {})
            for client in (one, other):
                self.assertEqual(client.expect("App\\Events\\Published"), data)
            other.join("py-a")
            backend().trigger("py-a", "x", {"turn": 1}, one.id)
            backend().trigger("py-a", "x", {"turn": 2})
            self.assertEqual(one.expect("x"), {"turn": 2})
            self.assertEqual([other.expect("x"), other.expect("x")], [{"turn": 1}, {"turn": 2}])

    def test_a_batch_arrives_in_its_order(self):
        with Client() as client:
            client.join("py-batch")
            batch = [{"channel": "py-batch", "name": "x", "data": {"turn": n}} for n in range(10)]
            self.assertEqual(backend().trigger_batch(batch), {})
            self.assertEqual([client.expect("x")["turn"] for _ in range(10)], list(range(10)))

    def test_channels_and_their_users_are_told(self):
        with Client() as one, Client() as again, Client() as other:
            one.join("presence-py-room", {"user_id": "1", "user_info": {"name": "Ana"}})
            again.join("presence-py-room", {"user_id": "1"})
            other.join("presence-py-room", {"user_id": 2})
            listed = backend().channels_info("presence-py-", ["user_count", "subscription_count"])
            counts = {"user_count": 2, "subscription_count": 3}
            self.assertEqual(listed, {"channels": {"presence-py-room": counts}})
            self.assertEqual(backend().channels_info("py-none-"), {"channels": {}})
            told = backend().channel_info("presence-py-room", ["user_count", "subscription_count"])
            self.assertEqual(told, {"occupied": True, **counts})
            self.assertEqual(backend().channel_info("py-nobody"), {"occupied": False})
            users = backend().users_info("presence-py-room")
            self.assertEqual(sorted(user["id"] for user in users["users"]), ["1", "2"])
            with self.assertRaises(PusherBadRequest):
                backend().channels_info(attributes=["user_count"])
            with self.assertRaises(PusherBadRequest):
                backend().users_info("py-a")

    def test_an_encrypted_event_is_passed_through_sealed(self):
        with Client() as client:
            client.join("private-encrypted-py")
            backend().trigger("private-encrypted-py", "x", {"secret": 1})
            self.assertEqual(set(client.expect("x")), {"nonce", "ciphertext"})

    def test_a_user_who_signed_in_is_told_and_terminated(self):
        with Client() as client:
            client.say("pusher:signin", backend().authenticate_user(client.id, {"id": "py-ann"}))
            client.expect("pusher:signin_success")
            client.join("#server-to-user-py-ann")
            backend().trigger("#server-to-user-py-ann", "x", {"turn": 1})
            self.assertEqual(client.expect("x"), {"turn": 1})
            self.assertEqual(backend().terminate_user_connections("py-ann"), {})
            with self.assertRaises(ConnectionClosed) as closed:
                client.next()
            self.assertEqual(closed.exception.rcvd.code, 4009)

    def test_what_is_refused_is_an_error_of_the_library(self):
        for wrong in ({"secret": "x"}, {"key": "x"}, {"app_id": "9"}):
            with self.assertRaises(PusherBadAuth):
                backend(**wrong).trigger("py-a", "x", {})
        with self.assertRaises(PusherBadStatus) as caught:
            backend().trigger("py-a", "x", "x" * 20_000)
        self.assertIn("413", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
