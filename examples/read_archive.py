"""Read an archive with h5py, numpy and zstandard alone, and none of this project's code.

python examples/read_archive.py ARCHIVE.h5 …

Both versions of the format and every codec: masks, metadata and tensors, each compared with its
checksums. It follows docs/format.md and docs/codecs.md and carries over to any language. Plain
loops decode bit by bit, some 100,000 bits a second; ``maskstore`` is the fast reader.
"""

import hashlib
import json
import math
import struct
import sys
import zlib
from fnmatch import fnmatchcase
from functools import cache

import h5py
import numpy as np
import zstandard

UNZSTD = zstandard.ZstdDecompressor().decompress
SIGNED = ("signed-constant", "scaled-signed-constant")
NORMAL = ("kaiming-normal", "scaled-kaiming")


def read_archive(path):
    """Returns {task: {"mask", "metadata", "tensors"}} in order, and {name: the archive's own}."""
    with h5py.File(path, "r", locking=False) as file:
        header = json.loads(file["header"][()].tobytes())
        extents = [file[name] for name in sorted(file) if name.isdigit()]
        extents = [[extent[part][()] for part in ("index", "text", "heap")] for extent in extents]
    layers = [(each["name"], tuple(each["shape"])) for each in header["layout"]]
    example = json.dumps(header.get("metadata_example") or {}, separators=(",", ":"))
    example = b"" if example == "{}" else example.encode()
    tasks, places, standing, shared = [], {}, {}, {}
    for index, text, heap in extents:
        rows, text, heap = index.tobytes(), text.tobytes(), heap.tobytes()
        for number, row in enumerate(index.tolist()):
            where, size, at, more, name_bytes, codec, kind, _, crc, sha, row_crc = row
            about = text[at : at + name_bytes + more]
            assert zlib.crc32(about, zlib.crc32(rows[68 * number :][:64])) == row_crc, "damaged row"
            name, rest = about[:name_bytes].decode(), about[name_bytes:]
            payload, sha = heap[where : where + size], bytes(sha)
            assert zlib.crc32(payload) == crc, f"{name}: damaged"
            if kind in (1, 4):  # a new task; where it has tensors, they are in a row of their own
                places[name] = {"name": name, "metadata": read_metadata(rest, example)}
                places[name] |= {"tensors": {}, "mask": (codec, payload, sha)}
                tasks.append(places[name])
                if codec != 5:  # it stands for itself, so others may be coded against it
                    standing.setdefault(sha[:8], (codec, payload, sha))
            elif kind == 2:
                places[name]["metadata"] = read_metadata(rest, example)
            elif kind == 3:
                gone = places.pop(name)
                tasks = [task for task in tasks if task is not gone]
            elif kind == 5:
                places[name]["tensors"] = read_tensors(rest, payload, sha)
            elif kind == 6:
                task = places[rest.decode()] = places.pop(name)
                task["name"] = rest.decode()
            elif kind == 7:
                shared[name] = read_tensors(rest, payload, sha)
    shared = {name: tensors for name, tensors in shared.items() if tensors}
    for task in tasks:
        bits = read_mask(task["mask"], layers, header.get("backbone"), standing)
        task["mask"] = {
            name: flat.astype(bool).reshape(shape)
            for (name, shape), flat in zip(layers, split(bits, layers), strict=True)
        }
    return {task.pop("name"): task for task in tasks}, shared


def read_metadata(stored, example):
    """JSON, at times deflated with the archive's example for its dictionary."""
    if stored[:1] == b"\0":
        stored = zlib.decompressobj(-15, zdict=example).decompress(stored[1:])
    return json.loads(stored) if stored else {}


def read_tensors(text, payload, sha256):
    """Tensors: names, types and shapes in the text; checksums and values in the payload."""
    if not text:
        return {}
    (count,) = struct.unpack_from("<H", text)
    lengths, schema = struct.unpack_from(f"<{count}I", text, 2), text[2 + 4 * count :]
    schema = zlib.decompress(schema[1:], -15) if schema[:1] == b"\0" else schema
    found, digests, at = {}, b"", 37 * count
    for number, (name, kind, shape) in enumerate(json.loads(schema)):
        crc, coding, digest = struct.unpack_from("<IB32s", payload, 37 * number)
        coded, at = payload[at : at + lengths[number]], at + lengths[number]
        assert zlib.crc32(coded) == crc, f"{name}: damaged"
        stored = np.dtype({"bool": "u1", "bfloat16": "u2"}.get(kind, kind)).newbyteorder("<")
        values = math.prod(shape)
        numbers = (values + 7) // 8 if kind == "bool" else values
        if coding == 1:  # byte planes
            planes, start = [], 0
            for _ in range(stored.itemsize):
                length, start = int.from_bytes(coded[start : start + 4], "little"), start + 4
                plane = coded[start : start + length]
                planes.append(plane if length == numbers else UNZSTD(plane))
                start += length
            coded = np.array([list(plane) for plane in planes], np.uint8).T.tobytes()
        assert hashlib.sha256(coded).digest() == digest, f"{name}: wrong values"
        array = np.frombuffer(coded, stored)
        if kind == "bool":
            array = np.unpackbits(array, count=values, bitorder="little").astype(bool)
        elif kind == "bfloat16":
            array = (array.astype("<u4") << 16).view("<f4")
        found[name], digests = array.reshape(shape), digests + digest
    assert hashlib.sha256(schema + digests).digest() == sha256, "wrong set of tensors"
    return found


def split(flat, layers):
    """One stretch of ``flat`` a layer."""
    return np.split(flat, np.cumsum([math.prod(shape) for _, shape in layers])[:-1])


def read_mask(row, layers, backbone, standing):
    """All bits of a mask, layer after layer; its row is (codec, payload, sha256)."""
    codec, payload, sha256 = row
    if codec in (0, 1):
        packed = payload if codec == 0 else UNZSTD(payload)
        octets, bits = np.frombuffer(packed, np.uint8), []
        for _, shape in layers:
            count = math.prod(shape)
            bits.append(np.unpackbits(octets[: -(-count // 8)], count=count, bitorder="little"))
            octets = octets[-(-count // 8) :]
        bits = np.concatenate(bits)
    elif codec == 2:
        bits = decode_gaps(payload, sum(math.prod(shape) for _, shape in layers))
    elif codec == 3:
        bits = decode_ans(payload, layers)
    elif codec == 4:
        bits = decode_seeded(payload, layers, backbone)
    else:
        earlier = read_mask(standing[payload[:8]], layers, backbone, standing)
        bits = decode_seeded(payload[8:], layers, backbone, earlier)
    packed = b"".join(np.packbits(b, bitorder="little").tobytes() for b in split(bits, layers))
    assert hashlib.sha256(packed).digest() == sha256, "wrong mask"
    return bits


def decode_gaps(stored, count):
    """Codec 2: how many common bits there are before each rare one."""
    bits, at = np.full(count, 1 - stored[0], np.uint8), 0
    for octet in UNZSTD(stored[1:]):
        at += octet
        if octet < 255:
            bits[at], at = stored[0], at + 1
    return bits


@cache
def probabilities(weights):
    """In units of 2^-24; what rounding leaves goes to the first of the largest."""
    n, total = len(weights), sum(weights)
    p = [1 + ((1 << 24) - n) * w // total for w in weights]
    p[weights.index(max(weights))] += (1 << 24) - sum(p)
    return p


class Ans:
    """The entropy decoder of codecs 3 to 5."""

    def __init__(self, code):
        code += bytes(-len(code) % 4)
        self.words = list(struct.unpack(f"<{len(code) // 4}I", code))
        self.state = 0
        for _ in range(2):
            self.state = self.state << 32 | (self.words.pop() if self.words else 0)

    def take(self, weights):
        """The next symbol, of a model with these weights."""
        p, low = probabilities(tuple(weights)), self.state & 0xFFFFFF
        symbol, left = 0, 0
        while left + p[symbol] <= low:
            left += p[symbol]
            symbol += 1
        self.state = (self.state >> 24) * p[symbol] + low - left
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol

    def uniform(self, n):
        """The next of n equally likely symbols."""
        return self.take((1,) * n)

    def finish(self):
        """Nothing may be left."""
        assert (self.state, self.words) == (0, []), "damaged code"


def numerator(level):
    """P(1) of a level, in units of 2^-20."""
    if level > 64:
        return (1 << 20) - numerator(128 - level)
    return round(2**20 / (1 + math.exp(-0.175 * (level - 64))))


@cache
def octet_weights(level):
    """Of eight bits of a level as one symbol."""
    one, zero = numerator(level), (1 << 20) - numerator(level)
    return tuple(one ** b.bit_count() * zero ** (8 - b.bit_count()) for b in range(256))


def take_bits(ans, level, n):
    """n bits of one level, eight at a time."""
    octets = bytes(ans.take(octet_weights(level)) for _ in range(n // 8))
    bits = np.unpackbits(np.frombuffer(octets, np.uint8), bitorder="little").tolist()
    one = numerator(level)
    return bits + [ans.take(((1 << 20) - one, one)) for _ in range(n % 8)]


def decode_ans(stored, layers):
    """Codec 3: the level of each layer, then its bits."""
    ans = Ans(stored)
    levels = [1 + ans.uniform(127) for _ in layers]
    counts = [math.prod(shape) for _, shape in layers]
    bits = [take_bits(ans, level, count) for level, count in zip(levels, counts, strict=True)]
    ans.finish()
    return np.concatenate(bits).astype(np.uint8)


def words_of(seed, purpose, count):
    """64-bit words of the counter-based generator (Philox 4x64-10)."""
    key = hashlib.sha256(f"supsup-store seeded v1|{seed}|{purpose}".encode()).digest()[:16]
    generator = np.random.Philox(key=int.from_bytes(key, "little"), counter=0)
    return generator.random_raw(count)


def signs_of(layers, backbone, name, shape):
    """1 where a frozen weight is positive."""
    count, recipe = math.prod(shape), backbone or {}
    trained = (recipe.get("weights") or {}).get("parameters", [])
    if any(fnmatchcase(layer, pattern) for layer, _ in layers for pattern in trained):
        return np.ones(count, np.uint8)
    seed, init = recipe.get("seed"), recipe.get("init")
    if seed is None or init not in SIGNED + NORMAL:
        return np.ones(count, np.uint8)
    if len(shape) == 1:
        return np.full(count, 0 if name.endswith("bias") else 1, np.uint8)
    if init in NORMAL:
        return (words_of(seed, f"weights/{name}", count) >> np.uint64(63)).astype(np.uint8)
    octets = words_of(seed, f"weights/{name}", -(-count // 64)).astype("<u8").view(np.uint8)
    return np.unpackbits(octets, count=count, bitorder="little")


def decode_seeded(stored, layers, backbone, earlier=None):
    """Codec 4, and 5 with the bits of the reference: what training changed of a seed's scores."""
    seed_bytes, named = divmod(stored[0], 2)
    end = 1 + seed_bytes
    seed, stream = int.from_bytes(stored[1:end], "little"), "scores"
    if named:
        stream = stored[end + 1 : end + 1 + stored[end]].decode()
        end += 1 + stored[end]
    ans = Ans(stored[end:])
    flips, levels, guesses, before = ans.uniform(2), [], [], 0
    for name, shape in layers:
        count = math.prod(shape)
        pull, cuts, table, size_bits = take_layer(ans, shape, count, earlier is not None)
        top = (words_of(seed, f"{stream}/{name}", count) >> np.uint64(56)).astype(int)
        start, size = top >> 7, np.where(top >> 7, top & 127, 127 - (top & 127))
        toward = start ^ signs_of(layers, backbone, name, shape)
        column, row = size >> (7 - size_bits), np.zeros(count, int)
        if pull is not None:
            step = (np.array(cuts)[:, None] <= abs(pull)).sum(0)
            row = np.where(pull >= 0, 8 + step, 7 - step)
            row = np.where(toward, row, 15 - row)
        elif len(table) > 1:
            row = toward
        guess = start * flips
        if earlier is not None:
            column = column + ((earlier[before : before + count] != guess) << size_bits)
        levels.append(table[row, column])
        guesses.append(guess)
        before += count
    levels, bits = np.concatenate(levels), np.concatenate(guesses).astype(np.uint8)
    for at in range(0, len(levels), 1 << 20):
        part = levels[at : at + (1 << 20)]
        for level in np.unique(part).tolist():
            chosen = np.flatnonzero(part == level) + at
            bits[chosen] ^= np.array(take_bits(ans, level, len(chosen)), np.uint8)
    ans.finish()
    return bits


def take_layer(ans, shape, count, with_earlier):
    """A layer's model: its pull and the cuts of it, the table of levels, and the bits of a size."""
    rows = shape[0] if len(shape) > 1 else 1
    rank, size_bits = ans.uniform(32), ans.uniform(8)
    pull, cuts = None, []
    if rank:
        cuts = sorted(ans.uniform(129) for _ in range(7))
        width = ans.uniform(256)
        left = np.array([take_plain(ans, rows)[0] for _ in range(rank)])
        if width:
            right = take_images(ans, rank, count // rows, width)
        else:
            right = np.array([take_plain(ans, count // rows)[0] for _ in range(rank)])
        pull = np.clip(left.T @ right, -128, 127).reshape(-1)
    lines, columns = 16 if rank else 1 + ans.uniform(2), 1 << size_bits + with_earlier
    spread = 1 + ans.uniform(16)
    geometric = [(spread ** abs(j) << 64) >> 4 * abs(j) for j in range(-24, 25)]
    table = np.zeros((lines, columns), int)
    for i in range(lines):
        for j in range(columns):
            above, left = table[i - 1, j], table[i, j - 1]
            if i == 0:
                guess = left if j else 64
            elif j == 0:
                guess = above
            else:
                guess = sorted((above, left, above + left - table[i - 1, j - 1]))[1]
            table[i, j] = min(max(guess + ans.take(geometric) - 24, 1), 127)
    return pull, cuts, table, size_bits


def take_plain(ans, length):
    """So many small numbers, and the largest that they can be."""
    limit = 1 + ans.uniform(7)
    weights = [1 << ans.uniform(16) for _ in range(2 * limit + 1)]
    return [ans.take(weights) - limit for _ in range(length)], limit


def take_images(ans, rank, length, width):
    """Vectors that are images: every second pixel of every second line, then those in between."""
    pixels = [divmod(at, width) for at in range(length)]
    vectors = np.zeros((rank, length), int)
    first = [at for at, (y, x) in enumerate(pixels) if y % 2 == 0 and x % 2 == 0]
    numbers, limit = take_plain(ans, rank * len(first))
    vectors[:, first] = np.array(numbers).reshape(rank, -1)
    diagonal, beside = ((-1, -1), (-1, 1), (1, -1), (1, 1)), ((-1, 0), (1, 0), (0, -1), (0, 1))
    for near, which in (
        (diagonal, lambda y, x: y % 2 and x % 2),
        (beside, lambda y, x: (y + x) % 2),
    ):
        places = [(k, at) for k in range(rank) for at in range(length) if which(*pixels[at])]
        spread, sums = 1 + ans.uniform(32), {}
        for k, at in places:
            around = [(pixels[at][0] + dy, pixels[at][1] + dx) for dy, dx in near]
            inside = [y * width + x for y, x in around if y >= 0 and 0 <= x < width]
            sums[k, at] = sum(int(vectors[k, each]) for each in inside if each < length)
        for total in sorted(set(sums.values())):
            away = [abs(4 * number - total) for number in range(-limit, limit + 1)]
            weights = [1 + (spread**a << 64 >> 5 * a) for a in away]
            for place in places:
                if sums[place] == total:
                    vectors[place] = ans.take(weights) - limit
    return vectors


if __name__ == "__main__":
    for path in sys.argv[1:]:
        tasks, shared = read_archive(path)
        for name, task in tasks.items():
            ones = sum(int(layer.sum()) for layer in task["mask"].values())
            print(ascii(name), ones, "ones", *map(ascii, task["tensors"]))
        print(len(tasks), "tasks", *map(ascii, shared))
