"""What the broker stored of a job to run: a packed record of proto/messages.def."""


class Reader:
    """The part of msgpack that a spec is made of."""

    def __init__(self, packed):
        self.packed, self.at = packed, 0

    def take(self, count):
        self.at += count
        return self.packed[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def read(self):
        """The next value."""
        kind = self.number(1)
        if kind < 0x80:
            return kind
        if kind < 0x90 or kind in (0xDE, 0xDF):
            count = self.number({0xDE: 2, 0xDF: 4}[kind]) if kind > 0x90 else kind & 0xF
            return {self.read(): self.read() for _ in range(count)}
        if kind < 0xA0 or kind in (0xDC, 0xDD):
            count = self.number({0xDC: 2, 0xDD: 4}[kind]) if kind > 0xA0 else kind & 0xF
            return [self.read() for _ in range(count)]
        if kind < 0xC0:
            return self.take(kind & 0x1F).decode()
        if kind in (0xC2, 0xC3):
            return kind == 0xC3
        if 0xCC <= kind <= 0xCF:
            return self.number(1 << (kind - 0xCC))
        return self.take(self.number({0xD9: 1, 0xDA: 2, 0xDB: 4}[kind])).decode()


def unpack(packed):
    return Reader(packed).read()


def pack(value):
    """The other way round, of what tests need: short maps, lists and texts, small numbers, and yes
    or no."""
    if isinstance(value, bool):
        return bytes([0xC2 + value])
    if isinstance(value, int):
        return bytes([value])
    if isinstance(value, str):
        return bytes([0xA0 + len(value)]) + value.encode()
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(pack, value))
    pairs = (pack(key) + pack(one) for key, one in value.items())
    return bytes([0x80 + len(value)]) + b"".join(pairs)
