#!/usr/bin/env python3
"""Draws Hark's icon (an ear made of three arcs on a dark square) and writes it as an .icns file.

    .ci/icon.py OUT.icns

Only the standard library: PNG and icns are both simple containers."""
import math
import struct
import sys
import zlib

# Type codes of PNG images in an icns file, by their size in pixels.
SIZES = {16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09"}


def shade(x, y):
    """Colour and opacity at a point of the unit square."""
    # A square with round corners.
    dx, dy = max(abs(x - .5) - .28, 0), max(abs(y - .5) - .28, 0)
    edge = .2 - math.hypot(dx, dy)
    if edge < 0:
        return 0, 0, 0, 0
    red, green, blue = 24 + 30 * y, 34 + 26 * y, 62 + 50 * y
    # Three arcs that open to the left, the way an ear is drawn.
    r, angle = math.hypot(x - .36, y - .52), math.atan2(y - .52, x - .36)
    for radius, reach in ((.12, 1.9), (.24, 1.75), (.36, 1.5)):
        near = .028 - abs(r - radius)
        if near > 0 and abs(angle) < reach:
            strength = min(1, near / .008)
            red, green, blue = (c + (w - c) * strength for c, w in ((red, 126), (green, 226), (blue, 206)))
    return int(red), int(green), int(blue), int(255 * min(1, edge / .01))


def png(size):
    rows = []
    for j in range(size):
        row = bytearray([0])
        for i in range(size):
            row += bytes(shade((i + .5) / size, (j + .5) / size))
        rows.append(bytes(row))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + chunk(b"IEND", b"")


def main():
    images = [(code, png(size)) for size, code in SIZES.items()]
    body = b"".join(code + struct.pack(">I", len(image) + 8) + image for code, image in images)
    with open(sys.argv[1], "wb") as out:
        out.write(b"icns" + struct.pack(">I", len(body) + 8) + body)


if __name__ == "__main__":
    main()
