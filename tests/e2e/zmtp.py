"""What ZeroMQ says on a connection (ZMTP 3.0), for tests that say it wrong."""

import struct


def greeting(mechanism=b"NULL"):
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def hello(identity=b""):
    """All that a DEALER says before its first message; `identity` is its routing id."""
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    if identity:
        ready += b"\x08Identity" + struct.pack(">I", len(identity)) + identity
    return GREETING + bytes([4, len(ready)]) + ready


def frame(body, flags=0):
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body


MORE, LONG, COMMAND = 1, 2, 4
GREETING = greeting()
HELLO = hello()
PROTOCOL = b"fettle/1"
