#!/usr/bin/env python3
"""Records what Pillow makes of small BMP, ICO, CUR and PNM files, into fixtures/formats.

Run from the repository: /usr/bin/python3 scripts/fixtures-formats.py
Needs Debian bookworm's python3-pil and python3-numpy; refuses other versions, whose pixels may differ.

NAME.bmp|ico|cur|pbm|pgm|ppm|pam:  files, ours, random
expected.json:                     of each file its size, and the sha256 of Pillow's pixels as RGBA
"""

import hashlib
import io
import json
import struct
from pathlib import Path

import numpy
import PIL
from PIL import Image

assert PIL.__version__ == "9.4.0", f"recorded with Pillow 9.4.0, this is {PIL.__version__}"

folder = Path(__file__).resolve().parent.parent / "fixtures" / "formats"
random = numpy.random.default_rng(20210105)
width, height = 13, 7  # rows whose lengths need padding in every depth
colours = random.integers(0, 256, (height, width, 4), dtype=numpy.uint8)
indices = random.integers(0, 256, (height, width), dtype=numpy.uint8)
palette = random.integers(0, 256, (256, 3), dtype=numpy.uint8)


def bitmap(bits, rows, *, header=40, compression=0, masks=(), colors=b"", used=0, up=True, entry=4):
    """A file around rows of bytes, which are given from the top."""
    rows = [row + bytes(-len(row) % 4) for row in rows] if isinstance(rows, list) else rows
    data = b"".join(reversed(rows) if up else rows) if isinstance(rows, list) else rows
    h = height if up else -height
    if header == 12:
        dib = struct.pack("<IHHHH", 12, width, h, 1, bits)
    else:
        dib = struct.pack("<IiiHHIIiiII", header, width, h, 1, bits, compression, len(data), 2835, 2835, used, 0)
        own = b"".join(struct.pack("<I", mask) for mask in masks)
        dib += own if header == 40 else (own + bytes(16))[:16] + bytes(header - 56)
    table = b"".join(bytes((b, g, r)) + bytes(entry - 3) for r, g, b in colors)
    offset = 14 + len(dib) + len(table)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + dib + table + data


def packed(values, bits):
    """Rows of numbers of so many bits, the first in the highest bits."""
    rows = []
    for row in values:
        text = "".join(format(value & (2**bits - 1), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)))
    return rows


def runs(values, bits):
    """Every kind of code: runs, literals, and a mark at the end of each row; from the bottom."""
    most = 2**bits - 1
    code = b""
    for y, row in enumerate(reversed(values.tolist())):
        row = [value & most for value in row]
        row[4:7] = [row[4]] * 3
        pair = lambda value: value if bits == 8 else value << 4 | value
        code += bytes([0, 4]) + literals(row[:4], bits)  # an even number: of 4 bits Pillow 9.4 loses the last of an odd one
        code += bytes([3, pair(row[4])])
        code += bytes([0, 6]) + literals(row[7:], bits)
        code += bytes([0, 0]) if y < height - 1 else bytes([0, 1])
    return code


def literals(values, bits):
    data = bytes(values) if bits == 8 else packed([values], 4)[0]
    return data + bytes(len(data) % 2)


def words(form):
    return [struct.pack(f"<{width}{form}", *row) for row in random.integers(0, 2 ** (16 if form == "H" else 32), (height, width)).tolist()]


def icon(images, kind=1):
    """images: of each the side, the bits and the content"""
    head = struct.pack("<HHH", 0, kind, len(images))
    at = len(head) + 16 * len(images)
    body = b""
    for side, bits, content in images:
        head += struct.pack("<BBBBHHII", side % 256, side % 256, 0, 0, 1, bits, len(content), at + len(body))
        body += content
    return head + body


def icon_bitmap(side, bits, rows, colors=()):
    mask = packed(random.integers(0, 2, (side, side)).tolist(), 1)
    dib = struct.pack("<IiiHHIIiiII", 40, side, 2 * side, 1, bits, 0, 0, 0, 0, 0, 0)
    table = b"".join(bytes((b, g, r, 0)) for r, g, b in colors)
    return dib + table + b"".join(row + bytes(-len(row) % 4) for row in [*rows[::-1], *mask])


def files():
    bgr = [row[:, 2::-1].tobytes() for row in colours]
    bgra = [row[:, [2, 1, 0, 3]].tobytes() for row in colours]
    table = palette.tolist()
    greys = [(i, i, i) for i in range(256)]
    yield "24.bmp", bitmap(24, bgr)
    yield "24-top-down.bmp", bitmap(24, bgr, up=False)
    yield "24-os2.bmp", bitmap(24, bgr, header=12)
    yield "24-v5.bmp", bitmap(24, bgr, header=124)
    yield "32.bmp", bitmap(32, bgra)
    yield "32-fields.bmp", bitmap(32, bgra, compression=3, masks=(0xFF0000, 0xFF00, 0xFF))
    yield "32-alpha-v4.bmp", bitmap(32, bgra, header=108, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    yield "32-alpha-v5.bmp", bitmap(32, bgra, header=124, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    yield "16.bmp", bitmap(16, words("H"))
    yield "16-565.bmp", bitmap(16, words("H"), compression=3, masks=(0xF800, 0x7E0, 0x1F))
    yield "8.bmp", bitmap(8, packed(indices, 8), colors=table)
    yield "8-top-down.bmp", bitmap(8, packed(indices, 8), colors=table, up=False)
    yield "8-os2.bmp", bitmap(8, packed(indices, 8), colors=table, header=12, entry=3)
    yield "8-few.bmp", bitmap(8, packed(indices % 10, 8), colors=table[:10], used=10)
    yield "8-grey.bmp", bitmap(8, packed(indices, 8), colors=greys)
    yield "8-rle.bmp", bitmap(8, runs(indices, 8), colors=table, compression=1)
    yield "4.bmp", bitmap(4, packed(indices, 4), colors=table[:16])
    yield "4-rle.bmp", bitmap(4, runs(indices, 4), colors=table[:16], compression=2)
    yield "1.bmp", bitmap(1, packed(indices, 1), colors=table[:2])
    yield "1-black-white.bmp", bitmap(1, packed(indices, 1), colors=[(0, 0, 0), (255, 255, 255)])

    square = random.integers(0, 256, (16, 16, 4), dtype=numpy.uint8)
    png = io.BytesIO()
    Image.fromarray(square, "RGBA").save(png, "PNG")
    rows32 = [row[:, [2, 1, 0, 3]].tobytes() for row in square]
    rows24 = [row[:, 2::-1].tobytes() for row in square]
    levels = square[:, :, 0]
    small = icon_bitmap(8, 24, [row[:8, 2::-1].tobytes() for row in square[:8]])
    yield "png.ico", icon([(16, 32, png.getvalue())])
    yield "32.ico", icon([(8, 24, small), (16, 32, icon_bitmap(16, 32, rows32))])
    yield "24.ico", icon([(16, 24, icon_bitmap(16, 24, rows24)), (8, 24, small)])
    yield "8.ico", icon([(16, 8, icon_bitmap(16, 8, packed(levels, 8), table))])
    yield "4.ico", icon([(16, 4, icon_bitmap(16, 4, packed(levels, 4), table[:16]))])
    yield "1.ico", icon([(16, 1, icon_bitmap(16, 1, packed(levels, 1), table[:2]))])

    size = f"{width} {height}".encode()
    plain = lambda values: b"\n".join(b" ".join(b"%d" % value for value in row) for row in values)
    bits = indices & 1
    yield "plain.pbm", b"P1 # bits\n" + size + b"\n" + b"\n".join(b"".join(b"%d" % value for value in row) for row in bits)
    yield "plain.pgm", b"P2\n# greys\n" + size + b" 100\n" + plain(indices % 101)
    yield "plain.ppm", b"P3\n" + size + b"\n255\n" + plain(colours[:, :, :3].reshape(height, -1))
    yield "bits.pbm", b"P4\n" + size + b"\n" + b"".join(packed(bits, 1))
    yield "bytes.pgm", b"P5\n" + size + b"\n255\n" + indices.tobytes()
    yield "15.pgm", b"P5 " + size + b" 15\n" + (indices % 16).tobytes()
    yield "bytes.ppm", b"P6\n# made by hand\n" + size + b"\n255\n" + colours[:, :, :3].tobytes()
    yield "16-bit.ppm", b"P6\n" + size + b"\n65535\n" + random.integers(0, 65536, (height, width, 3)).astype(">u2").tobytes()
    yield "1000.ppm", b"P6\n" + size + b"\n1000\n" + random.integers(0, 1001, (height, width, 3)).astype(">u2").tobytes()


def main():
    folder.mkdir(exist_ok=True)
    expected = {}
    for name, content in files():
        (folder / name).write_bytes(content)
        image = Image.open(io.BytesIO(content))
        image.load()
        rgba = image.convert("RGBA")
        expected[name] = {"size": image.size, "rgba": hashlib.sha256(rgba.tobytes()).hexdigest(), "mode": image.mode}
    made = f"Pillow {PIL.__version__}, scripts/fixtures-formats.py"
    (folder / "expected.json").write_text(json.dumps({"made": made, "files": expected}, indent=2) + "\n")


main()
