"""A real SMTP server for one test: it prints its port, then each e-mail it takes as a line of JSON.

What it does is in the recipient's name: `bounce…` has no mailbox, `refuse…` does not want the content, `busy2…` is busy
twice and then takes it, `busy…` always is, `drop…` breaks the connection off.
"""

import asyncio
import collections
import email
import email.policy
import json
import re

from aiosmtpd.smtp import SMTP

tries = collections.Counter()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        tries[address] += 1
        if address.startswith("bounce"):
            return "550 5.1.1 No such user here"
        if address.startswith("drop"):
            server.transport.abort()
            return "421 4.3.0 Gone"
        busy = re.match(r"busy(\d*)", address)
        if busy and (not busy[1] or tries[address] <= int(busy[1])):
            return "451 4.3.0 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if envelope.rcpt_tos[0].startswith("refuse"):
            return "554 5.7.1 Not wanted"
        message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        print(
            json.dumps(
                {
                    "envelope_from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "from": message["from"],
                    "subject": message["subject"],
                    "message_id": message["message-id"],
                    "text": text and text.get_content(),
                    "html": html and html.get_content(),
                }
            ),
            flush=True,
        )
        return "250 OK"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
