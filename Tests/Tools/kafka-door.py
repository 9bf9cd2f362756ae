#!/usr/bin/env python3
"""A door with TLS and SASL in front of the laptop broker, for tests of the clients' side.

The laptop broker's own TLS cannot be switched on (its --cert and --key exclude one another), and with its own
authentication nobody can make the first user. So this program starts one without either, lets nobody past TLS and SASL
unchecked, and hands everything else through. It prints `ready PORT TOKEN_PORT` and ends with its standard input.

Secrets come in by the environment: DOOR_USER, DOOR_PASSWORD.
"""

import argparse
import asyncio
import base64
import ctypes
import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 17, 18, 36
USER, PASSWORD = os.environ.get("DOOR_USER", ""), os.environ.get("DOOR_PASSWORD", "")
TOKENS = set()


def text(body, at):
    length = struct.unpack_from(">h", body, at)[0]
    return body[at + 2 : at + 2 + max(length, 0)].decode(), at + 2 + max(length, 0)


class Scram:
    def __init__(self, name):
        self.hash = "sha256" if name.endswith("256") else "sha512"
        self.first = None

    def step(self, message):
        parts = message.decode().split(",", 2) if self.first is None else None
        if parts:
            self.bare = parts[2]
            fields = dict(part.split("=", 1) for part in self.bare.split(","))
            if fields["n"] != USER:
                return None, False
            self.nonce, self.salt = fields["r"] + secrets.token_hex(8), secrets.token_bytes(16)
            self.first = f"r={self.nonce},s={base64.b64encode(self.salt).decode()},i=4096"
            return self.first.encode(), False
        final = message.decode()
        unproved, proof = final.rsplit(",p=", 1)
        salted = hashlib.pbkdf2_hmac(self.hash, PASSWORD.encode(), self.salt, 4096)
        said = ",".join([self.bare, self.first, unproved]).encode()
        mac = lambda key, data: hmac.new(key, data, self.hash).digest()
        key = mac(salted, b"Client Key")
        signature = mac(hashlib.new(self.hash, key).digest(), said)
        if bytes(a ^ b for a, b in zip(key, signature)) != base64.b64decode(proof):
            return None, False
        return b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), said)), True


class Plain:
    def step(self, message):
        isKnown = message == b"\0" + USER.encode() + b"\0" + PASSWORD.encode()
        return (b"", True) if isKnown else (None, False)


class Bearer:
    def step(self, message):
        token = message.decode().split("auth=Bearer ", 1)[-1].split("\x01", 1)[0]
        return (b"", True) if token in TOKENS else (None, False)


async def serve(reader, writer, mechanism, upstream):
    server_reader, server_writer = await asyncio.open_connection("127.0.0.1", upstream)

    async def answers():
        while data := await server_reader.read(65536):
            writer.write(data)
            await writer.drain()

    back = asyncio.create_task(answers())
    exchange, isIn = None, mechanism is None
    try:
        while True:
            length = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack(">i", length)[0])
            key, version, correlation = struct.unpack_from(">hhi", body)
            if key not in (SASL_HANDSHAKE, SASL_AUTHENTICATE):
                if not isIn and key != API_VERSIONS:
                    break
                server_writer.write(length + body)
                await server_writer.drain()
                continue
            _, at = text(body, 8)
            if key == SASL_HANDSHAKE:
                asked, _ = text(body, at)
                exchange = {"PLAIN": Plain, "OAUTHBEARER": Bearer}.get(asked, lambda: Scram(asked))()
                error = 0 if asked == mechanism else 33
                name = (mechanism or "").encode()
                answer = struct.pack(">ihih", correlation, error, 1, len(name)) + name
            else:
                size = struct.unpack_from(">i", body, at)[0]
                said, isIn = exchange.step(body[at + 4 : at + 4 + size])
                error = 58 if said is None else 0
                reason = b"authentication failed" if error else b""
                answer = struct.pack(">ihh", correlation, error, len(reason)) + reason
                answer += struct.pack(">i", len(said or b"")) + (said or b"")
                answer += struct.pack(">q", 0) if version >= 1 else b""
            writer.write(struct.pack(">i", len(answer)) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        back.cancel()
        server_writer.close()
        writer.close()


async def token(reader, writer):
    """The token endpoint of an identity provider: knows one client, gives out tokens for a minute."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    isKnown = f"authorization: {wanted}".lower() in head.lower()
    encoded = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    now = int(time.time())
    jwt = f'{encoded({"alg": "none"})}.{encoded({"sub": USER, "iat": now, "exp": now + 60})}.c2ln'
    if isKnown:
        TOKENS.add(jwt)
    body = json.dumps({"access_token": jwt, "expires_in": 60, "token_type": "Bearer"} if isKnown else {"error": "no"})
    status = "200 OK" if isKnown else "401 Unauthorized"
    writer.write(
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"connection: close\r\n\r\n{body}".encode()
    )
    await writer.drain()
    writer.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def main():
    options = argparse.ArgumentParser()
    options.add_argument("--certificate")
    options.add_argument("--key")
    options.add_argument("--client-authority")
    options.add_argument("--mechanism")
    options = options.parse_args()
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key)
        if options.client_authority:
            context.load_verify_locations(options.client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
    upstream = free_port()
    door = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, options.mechanism, upstream), "127.0.0.1", 0, ssl=context
    )
    tokens = await asyncio.start_server(token, "127.0.0.1", 0)
    port, token_port = (server.sockets[0].getsockname()[1] for server in (door, tokens))
    broker = subprocess.Popen(
        ["tansu", "broker", "--silent", "--cluster-id", f"door-{port}", "--listener-url", f"tcp://127.0.0.1:{upstream}",
         "--advertised-listener-url", f"tcp://localhost:{port}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        # Ends with this process, however that ends.
        preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL),
    )
    while True:
        try:
            (await asyncio.open_connection("127.0.0.1", upstream))[1].close()
            break
        except ConnectionError:
            await asyncio.sleep(0.02)
    print("ready", port, token_port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    broker.kill()
    os._exit(0)


asyncio.run(main())
