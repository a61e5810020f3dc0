#!/usr/bin/env python3
"""Records what Pillow makes of pictures, into fixtures/preprocess.

Run from the repository: /usr/bin/python3 scripts/fixtures-preprocess.py
Needs Debian bookworm's python3-pil and python3-numpy; refuses other versions, whose pixels may differ.

small pictures (ours, random):  NAME.png|jpg|gif, expected-bicubic.npy and expected-bilinear.npy uint8 [N, 16, 16, 3]
photos in ../shared/data:       photos.json, the sha256 of the 224 x 224 x 3 bytes (nothing of the photos is copied)
"""

import hashlib
import json
from pathlib import Path

import numpy
import PIL
from PIL import Image

assert PIL.__version__ == "9.4.0", f"recorded with Pillow 9.4.0, this is {PIL.__version__}"

root = Path(__file__).resolve().parent.parent
folder = root / "fixtures" / "preprocess"
data = root.parent / "shared" / "data"


def preprocess(image, size, resample):
    """openai/CLIP's transform up to the bytes: shorter side, centre square, RGB."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(size * long / short)
    width, height = (size, scaled) if width <= height else (scaled, size)
    left, top = int(round((width - size) / 2.0)), int(round((height - size) / 2.0))
    square = image.resize((width, height), resample).crop((left, top, left + size, top + size))
    return numpy.asarray(square.convert("RGB"))


def small_pictures():
    random = numpy.random.default_rng(20210226)
    noise = random.integers(0, 256, (29, 43, 4), dtype=numpy.uint8)
    noise[..., 3] = numpy.clip(noise[..., 3].astype(int) * 2 - 128, 0, 255)
    noise[noise[..., 3] == 0] = 0
    rgba = Image.fromarray(noise, "RGBA")
    rgb = rgba.convert("RGB")
    grey = rgb.convert("L")
    orientation = Image.Exif()
    orientation[0x0112] = 6
    yield "rgb.png", rgb, {}
    yield "rgba.png", rgba, {}
    yield "grey.png", grey, {}
    yield "grey-alpha.png", rgba.convert("LA"), {}
    yield "palette.png", rgb.convert("P"), {}
    yield "palette-transparent.png", rgb.convert("P"), {"transparency": 7}
    yield "one-bit.png", grey.convert("1"), {}
    yield "colour-key.png", rgb, {"transparency": rgb.getpixel((20, 14))}
    yield "grey.gif", grey.point(lambda level: level), {"optimize": False}
    yield "palette.gif", rgb.convert("P"), {}
    yield "upright.jpg", rgb, {"quality": 90}
    yield "rotated.jpg", rgb, {"quality": 90, "exif": orientation}
    yield "tall.png", rgb.crop((0, 0, 5, 29)), {}


folder.mkdir(parents=True, exist_ok=True)
names = []
for name, image, options in small_pictures():
    image.save(folder / name, **options)
    names.append(name)
for label, resample in (("bicubic", Image.BICUBIC), ("bilinear", Image.BILINEAR)):
    squares = [preprocess(Image.open(folder / name), 16, resample) for name in names]
    numpy.save(folder / f"expected-{label}.npy", numpy.stack(squares))
(folder / "names.json").write_text(json.dumps(names) + "\n")

if data.exists():
    photos = sorted(data.glob("coco/images/*.jpg")) + sorted(data.glob("golden/skimage/*")) + [data / "golden/CLIP.png"]
    photos += sorted(path for path in data.glob("golden/rclip/images/*") if path.suffix in (".gif", ".tiff", ".webp"))
    sums = {}
    for path in photos:
        pixels = preprocess(Image.open(path), 224, Image.BICUBIC)
        sums[str(path.relative_to(data))] = hashlib.sha256(pixels.tobytes()).hexdigest()
    (folder / "photos.json").write_text(json.dumps(sums, indent=1) + "\n")
