"""A real SMTP server for one test: it prints its port, then each e-mail it takes as a line of JSON.

What it does is in the recipient's name: `bounce…` has no mailbox, `refuse…` does not want the content, `busy2…` is busy
twice and then takes it, `busy…` always is, `drop…` breaks the connection off.

With `--tls starttls` or `--tls implicit`, and --certificate and --key, it talks in the clear to nobody; with --login
USER:PASSWORD nobody else may send.
"""

import argparse
import asyncio
import collections
import email
import email.policy
import json
import re
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

arguments = argparse.ArgumentParser()
arguments.add_argument("--tls", choices=["starttls", "implicit"])
arguments.add_argument("--certificate")
arguments.add_argument("--key")
arguments.add_argument("--login")
options = arguments.parse_args()

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
                    "encrypted": server.transport.get_extra_info("sslcontext") is not None,
                    "login": session.auth_data,
                }
            ),
            flush=True,
        )
        return "250 OK"


def admits(server, session, envelope, mechanism, given):
    login = f"{given.login.decode()}:{given.password.decode()}"
    if login != options.login:
        return AuthResult(success=False, handled=False)
    return AuthResult(success=True, auth_data=login)


def session(context):
    more = {"enable_SMTPUTF8": True}
    if options.tls == "starttls":
        more |= {"tls_context": context, "require_starttls": True}
    if options.login:
        more |= {"authenticator": admits, "auth_required": True, "auth_require_tls": options.tls == "starttls"}
    return SMTP(Handler(), **more)


async def main():
    loop = asyncio.get_running_loop()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    at_once = context if options.tls == "implicit" else None
    server = await loop.create_server(lambda: session(context), "127.0.0.1", 0, ssl=at_once)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
