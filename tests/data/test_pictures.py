"""Every kind of picture file: its values, its depth, the way it is turned, and how it is fitted."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from fromnoise.data import DATASETS
from fromnoise.data.files.header import Broken, header
from fromnoise.data.files.pictures import Look, colour
from fromnoise.data.files.profile import exact
from fromnoise.errors import Usage

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)
RGBA = np.concatenate([RGB, RNG.integers(0, 256, (6, 8, 1), np.uint8)], -1)
GREY = RGB[..., 0]


def chw(picture):
    return np.atleast_3d(picture).transpose(2, 0, 1)


def png16(path, pixels, profile=b""):
    """A 16-bit PNG of (H, W, C) uint16, written from the format's description; every row uses another one of its filters."""
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)
    step, out = 2 * channels, b""
    for y, row in enumerate(rows):
        above = rows[y - 1] if y else np.zeros_like(row)
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        guess = left + above - corner
        a, b, c = abs(guess - left), abs(guess - above), abs(guess - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
        kind = y % 5
        out += bytes([kind]) + ((row - (0 * row, left, above, (left + above) // 2, paeth)[kind]) % 256).astype(np.uint8).tobytes()

    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0])
    head = chunk(b"IHDR", head) + (chunk(b"iCCP", b"its own\0\0" + zlib.compress(profile)) if profile else b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(out)) + chunk(b"IEND", b""))


LOSSLESS = [("png", {}), ("bmp", {}), ("tiff", {}), ("tif", {"compression": "tiff_lzw"}), ("webp", {"lossless": True})]


@pytest.mark.parametrize("ending, options", LOSSLESS)
@pytest.mark.parametrize("mode, pixels", [("grey", GREY), ("rgb", RGB)])
def test_lossless_files_come_back_exactly(tmp_path, ending, options, mode, pixels):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(pixels).save(path, **options)
    assert np.array_equal(Look((6, 8), mode)(path), chw(pixels))
    found = header(path)
    assert (found.width, found.height, found.depth, found.alpha) == (8, 6, 8, False)
    assert found.colour == (mode == "rgb" or ending == "webp")  # WebP knows no grey


@pytest.mark.parametrize("ending", ["png", "tiff", "webp"])
def test_transparency(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(RGBA).save(path, **({"lossless": True, "exact": True} if ending == "webp" else {}))
    assert header(path).alpha
    assert np.array_equal(Look((6, 8), "rgba")(path), chw(RGBA))
    alpha = RGBA[..., 3:] / 255
    on_red = RGBA[..., :3] * alpha + np.array([255, 0, 0]) * (1 - alpha)
    assert np.abs(Look((6, 8), "rgb", background="red")(path) - chw(on_red)).max() <= 1


def test_jpeg_and_gif(tmp_path):
    smooth = np.tile(np.linspace(40, 200, 32, dtype=np.uint8)[:, None, None], (1, 32, 3))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(Look((32, 32), "rgb")(tmp_path / "a.jpg").astype(int) - chw(smooth)).max() < 6
    red, blue = (Image.new("RGB", (8, 6), name) for name in ("red", "blue"))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert Look((6, 8), "rgb")(tmp_path / "a.gif")[:, 3, 3].tolist() == [255, 0, 0]


def test_palette_one_bit_and_cmyk(tmp_path):
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "p.png")
    assert np.array_equal(Look((6, 8), "rgb")(tmp_path / "p.png"), chw(np.asarray(palette.convert("RGB"))))
    holes = Image.new("P", (8, 6), 0)
    holes.putpalette([255, 0, 0, 0, 255, 0])
    holes.putpixel((0, 0), 1)
    holes.save(tmp_path / "t.png", transparency=0)
    assert header(tmp_path / "t.png").alpha
    assert Look((6, 8), "rgb", background="blue")(tmp_path / "t.png")[:, 0, :2].T.tolist() == [[0, 255, 0], [0, 0, 255]]
    Image.fromarray(GREY > 127).save(tmp_path / "1.png")
    assert header(tmp_path / "1.png").depth == 1
    assert np.array_equal(Look((6, 8), "grey")(tmp_path / "1.png"), chw((GREY > 127) * 255))
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=95)
    red = Look((32, 32), "rgb")(tmp_path / "c.jpg")[:, 16, 16]
    assert red[0] > 240 and red[1:].max() < 15


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_of_a_png_are_all_kept(tmp_path, channels):
    pixels = RNG.integers(0, 65536, (6, 8, channels), np.uint16)
    if channels == 4:
        pixels[..., 3] = 65535
    png16(tmp_path / "a.png", pixels)
    assert header(tmp_path / "a.png").depth == 16
    mode = {1: "grey", 3: "rgb", 4: "rgba"}[channels]
    got = Look((6, 8), mode, deep=True)(tmp_path / "a.png")
    assert got.dtype == np.float32 and np.abs((got + 1) / 2 * 65535 - chw(pixels.astype(float))).max() < 0.02


def test_sixteen_bit_tiff(tmp_path):
    pixels = RNG.integers(0, 65536, (6, 8), np.uint16)
    for options in ({}, {"compression": "tiff_lzw"}):
        Image.fromarray(pixels).save(tmp_path / "a.tiff", **options)
        got = Look((6, 8), "grey", deep=True)(tmp_path / "a.tiff")
        assert np.abs((got[0] + 1) / 2 * 65535 - pixels).max() < 0.02
        assert np.array_equal(Look((6, 8), "grey")(tmp_path / "a.tiff")[0], np.rint(pixels / 257).astype(np.uint8))


def tiff16(path, pixels, order, ink):
    """A TIFF of (H, W, C) uint16 from the format's description: a header, the pixels, one directory of nine entries; ink 2 RGB, 5 CMYK."""
    height, width, channels = pixels.shape
    data, bits = pixels.astype(f"{order}u2").tobytes(), struct.pack(f"{order}{channels}H", *[16] * channels)
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, 8 + len(data)), (259, 3, 1, 1), (262, 3, 1, ink)]
    entries += [(273, 4, 1, 8), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(data))]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        form, values = ("HH", (value, 0)) if kind == 3 and count == 1 else ("I", (value,))
        directory += struct.pack(f"{order}HHI{form}", tag, kind, count, *values)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8 + len(data) + len(bits))
    path.write_bytes(head + data + bits + directory + bytes(4))


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_a_colour_tiff_are_all_kept(tmp_path, order):
    pixels = RNG.integers(0, 65536, (6, 8, 3), np.uint16)
    tiff16(tmp_path / "a.tiff", pixels, order, ink=2)
    assert header(tmp_path / "a.tiff").depth == 16
    got = Look((6, 8), "rgb", deep=True)(tmp_path / "a.tiff")
    assert np.abs((got + 1) / 2 * 65535 - chw(pixels.astype(float))).max() < 0.02


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_ink_are_no_transparency(tmp_path, order):
    pixels = np.tile(np.array([0, 65535, 65535, 0], np.uint16), (6, 8, 1))  # magenta and yellow make red
    tiff16(tmp_path / "a.tiff", pixels, order, ink=5)
    assert not header(tmp_path / "a.tiff").alpha
    assert Look((6, 8), "rgb", deep=True)(tmp_path / "a.tiff")[:, 3, 4].tolist() == [1, -1, -1]


def test_deep_and_plain_agree_on_ordinary_files(tmp_path):
    """Two ways to the same picture: 8-bit files in a deep set, at another size, with transparency, in each fit."""
    smooth = np.stack(np.meshgrid(np.linspace(0, 255, 48), np.linspace(255, 0, 40)), -1)
    picture = np.concatenate([smooth, smooth[..., :1] * 0 + 90, 255 - smooth[..., :1] / 2], -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    for channels in ("grey", "rgb", "rgba"):
        for fit in ("crop", "pad", "resize"):
            plain = Look((16, 12), channels, fit, "orange")(tmp_path / "a.png").astype(float)
            deep = (Look((16, 12), channels, fit, "orange", deep=True)(tmp_path / "a.png") + 1) / 2 * 255
            seen = [c[:3] * c[3:] / 255 if channels == "rgba" else c for c in (plain, deep)]
            assert np.abs(seen[0] - seen[1]).max() < 2.5, (channels, fit)


def test_float_tiff(tmp_path):
    shares = RNG.random((6, 8), np.float32)
    Image.fromarray(shares).save(tmp_path / "a.tiff")
    assert np.allclose(Look((6, 8), "grey", deep=True)(tmp_path / "a.tiff")[0], shares * 2 - 1, atol=1e-6)
    Image.fromarray(shares * 1000).save(tmp_path / "b.tiff")
    with pytest.raises(Broken, match="values reach"):
        Look((6, 8), "grey", deep=True)(tmp_path / "b.tiff")


TURN = {  # EXIF 2.3: where the stored row 0 and column 0 are meant to be seen
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p, 2).swapaxes(0, 1), 8: lambda p: np.rot90(p),
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURN)
@pytest.mark.parametrize("ending", ["png", "tiff", "webp"])
@pytest.mark.parametrize("stored", [RGB, GREY], ids=["rgb", "grey"])
def test_exif_orientation(tmp_path, orientation, ending, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(stored).save(path, exif=exif, **({"lossless": True} if ending == "webp" else {}))
    expected = TURN[orientation](stored)
    mode = "rgb" if stored is RGB else "grey"
    found = header(path)
    assert (found.height, found.width) == expected.shape[:2]
    assert np.array_equal(Look(expected.shape[:2], mode)(path), chw(expected))
    deep = Look(expected.shape[:2], mode, deep=True)(path)
    assert np.array_equal(np.rint((deep + 1) / 2 * 255), chw(expected))


@pytest.mark.parametrize("orientation", TURN)
def test_exif_orientation_of_sixteen_bits(tmp_path, orientation):
    pixels = RNG.integers(0, 65536, (6, 8), np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for ending in ("png", "tiff"):
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}", exif=exif)
        expected = TURN[orientation](pixels)
        got = Look(expected.shape, "grey", deep=True)(tmp_path / f"a.{ending}")[0]
        assert np.abs((got + 1) / 2 * 65535 - expected).max() < 0.02
        assert np.array_equal(Look(expected.shape, "grey")(tmp_path / f"a.{ending}")[0], np.rint(expected / 257))


def stripes(path, width=90, height=30):
    """A third each of red, green and blue, side by side."""
    picture = np.zeros((height, width, 3), np.uint8)
    for i in range(3):
        picture[:, i * width // 3 : (i + 1) * width // 3, i] = 255
    Image.fromarray(picture).save(path)


@pytest.mark.parametrize("deep", [False, True])
def test_fits(tmp_path, deep):
    stripes(tmp_path / "a.png")
    crop, pad, stretched = (Look((30, 30), "rgb", fit, "white", deep)(tmp_path / "a.png") for fit in ("crop", "pad", "resize"))
    low, high = (-1, 1) if deep else (0, 255)
    assert (crop[1] == high).all() and (crop[0] == low).all()  # the green middle alone
    assert (pad[:, :10] == high).all() and (pad[:, 20:] == high).all()  # white bars above and below
    assert pad[:, 15, 5].tolist() == [high, low, low] and pad[:, 15, 25].tolist() == [low, low, high]
    assert stretched[:, 2, 5].tolist() == [high, low, low] and stretched[:, 28, 25].tolist() == [low, low, high]


def test_shrinking_keeps_the_mean(tmp_path):
    """A checkerboard of single pixels becomes even grey: nothing is picked out, everything is averaged."""
    Image.fromarray((np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)).save(tmp_path / "a.png")
    small = Look((32, 32), "grey")(tmp_path / "a.png")
    assert abs(small.mean() - 127.5) < 1 and small.std() < 6


def test_large_jpegs_look_the_same_when_decoded_small(tmp_path):
    rows, columns = np.mgrid[:1200, :1600]
    smooth = np.stack([rows / 5, columns / 7, (rows + columns) / 12], -1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95), Image.fromarray(smooth).save(tmp_path / "a.png")
    jpeg, png = (Look((32, 32), "rgb")(tmp_path / f"a.{ending}").astype(int) for ending in ("jpg", "png"))
    assert np.abs(jpeg - png).max() < 6


def test_clear_pixels_do_not_bleed(tmp_path):
    """What lies hidden under full transparency does not colour the edges when the picture shrinks."""
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[..., 0] = 255  # hidden red
    picture[:, 31:] = (0, 0, 255, 255)
    Image.fromarray(picture).save(tmp_path / "a.png")
    for deep in (False, True):
        small = Look((8, 8), "rgba", deep=deep)(tmp_path / "a.png").astype(float)
        low, high = (-1, 1) if deep else (0, 255)
        shown = small[3] > low + 0.02 * (high - low)
        assert shown.any() and (small[0][shown] < low + 0.02 * (high - low)).all()


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "empty"),
        (b"Dear diary", "no picture"),
        *((kind, "cut short|no picture") for kind in ("png", "jpg", "gif", "webp", "tiff", "bmp")),
    ],
)
def test_broken_files(tmp_path, content, words):
    path = tmp_path / "a.png"
    if isinstance(content, str):
        Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / f"whole.{content}")
        whole = (tmp_path / f"whole.{content}").read_bytes()
        content = whole[: len(whole) // 2]
    path.write_bytes(content)
    with pytest.raises(Broken, match=words):
        header(path), Look((64, 64), "rgb")(path)


def test_a_wrong_setting_is_no_broken_file(tmp_path):
    Image.fromarray(RGBA).save(tmp_path / "a.png")
    with pytest.raises(Usage, match="no colour"):
        Look((6, 8), "rgb", background="wihte")(tmp_path / "a.png")


def test_colours():
    assert colour("white") == colour("#ffffff") == colour([255, 255, 255]) == (255, 255, 255)
    for wrong in ("wihte", [1, 2], 7, [300, 0, 0], [0, -1, 0], "rgb(300, 0, 0)"):
        with pytest.raises(Usage, match="no colour"):
            colour(wrong)


COLOURANTS = {"r": (0.43607, 0.22249, 0.01392), "g": (0.38515, 0.71687, 0.09708), "b": (0.14307, 0.06061, 0.71410)}  # of sRGB, under D50


def linear_profile(primaries="rgb", grey=False, of=COLOURANTS, curve=None, more=()):
    """An ICC profile of linear light, its colourants sRGB's in this order, or others, written from the format's description (ICC.1:2001-04); or with this curve."""

    def fixed(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"linear light"
    xyz, curve = b"XYZ " + bytes(4), curve or b"curv" + bytes(4) + struct.pack(">I", 0)  # a curve of no points is the identity
    tags = {"cprt": b"text" + bytes(4) + text + b"\0", "wtpt": xyz + fixed(0.9642, 1.0, 0.8249)}
    tags["desc"] = b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67)
    colours = {f"{to}XYZ": xyz + fixed(*of[name]) for to, name in zip("rgb", primaries, strict=True)}
    tags |= {"kTRC": curve} if grey else {f"{to}TRC": curve for to in "rgb"} | colours | dict(more)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = bytes(8) + b"\x02\x10\0\0mntr" + (b"GRAY" if grey else b"RGB ") + b"XYZ " + bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
    whole = head + table + data
    return struct.pack(">I", len(whole)) + whole[4:]


def encoded(linear):
    """sRGB's values 0..255 of linear light 0..255 (IEC 61966-2-1)."""
    share = np.asarray(linear) / 255
    return 255 * np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("ending, how", [("png", {}), ("tiff", {}), ("webp", {"lossless": True})])
@pytest.mark.parametrize("deep", [False, True])
def test_colour_profiles_are_applied(tmp_path, ending, how, deep):
    path = tmp_path / f"a.{ending}"

    def seen(pixels, mode, profile):
        Image.fromarray(pixels).save(path, icc_profile=profile, **how)
        made = Look((6, 8), mode, deep=deep)(path)
        return (made + 1) * 127.5 if deep else made.astype(float)

    assert np.abs(seen(RGB, "rgb", linear_profile()) - chw(encoded(RGB))).max() < 1.6
    assert np.abs(seen(RGB, "rgb", linear_profile("bgr")) - chw(encoded(RGB[..., ::-1]))).max() < 1.6
    assert header(path).profile
    turned = seen(RGBA, "rgba", linear_profile())
    assert np.abs(turned[:3] - chw(encoded(RGB)))[:, RGBA[..., 3] > 0].max() < 1.6 and np.abs(turned[3] - RGBA[..., 3]).max() < 1e-3
    if ending != "webp":
        assert np.abs(seen(GREY, "grey", linear_profile(grey=True)) - chw(encoded(GREY))).max() < 1.6
    for useless in (b"not a profile", linear_profile(grey=True)):  # of no use, or of another kind of picture
        assert np.abs(seen(RGB, "rgb", useless) - chw(RGB)).max() < 1e-3 and not header(path).profile


def test_a_wide_gamut_is_brought_to_srgb(tmp_path):
    """Display P3: its primaries (SMPTE EG 432-1) and sRGB's by their chromaticities under D65, of which the ratio is the matrix between the two. 8 bits and 16."""

    def to_xyz(*primaries):
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        return columns * np.linalg.solve(columns, white)

    p3, srgb = to_xyz((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), to_xyz((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
    between = np.linalg.inv(srgb) @ p3
    wide = dict(zip("rgb", (np.array([COLOURANTS[c] for c in "rgb"]).T @ between).T, strict=True))
    inside, outside = np.array([180, 120, 60], np.uint8), np.array([0, 255, 0], np.uint8)
    for pixel in (inside, outside):
        Image.fromarray(np.tile(pixel, (6, 8, 1))).save(tmp_path / "a.png", icc_profile=linear_profile(of=wide))
        assert np.abs(Look((6, 8), "rgb")(tmp_path / "a.png")[:, 0, 0] - encoded((between @ pixel).clip(0, 255))).max() < 1.6
        png16(tmp_path / "b.png", np.tile(pixel * np.uint16(257), (6, 8, 1)), linear_profile(of=wide))
        deep = (Look((6, 8), "rgb", deep=True)(tmp_path / "b.png")[:, 0, 0] + 1) * 127.5
        assert np.abs(deep - encoded((between @ pixel).clip(0, 255))).max() < 0.1, "as far as colourants of five digits say it"


def parametric(kind, *values):
    return b"para" + bytes(4) + struct.pack(f">HH{len(values)}i", kind, 0, *(round(value * 65536) for value in values))


def counted(*values):
    return b"curv" + bytes(4) + struct.pack(f">I{len(values)}H", len(values), *values)


CURVES = {  # from the format's description, and what they mean
    "gamma": (counted(round(2.2 * 256)), lambda x: x ** (563 / 256)),
    "table": (counted(0, 10_000, 65535), lambda x: np.interp(x, [0, 0.5, 1], [0, 10_000 / 65535, 1])),
    "0": (parametric(0, 1.8), lambda x: x**1.8),
    "1": (parametric(1, 2.0, 1.25, -0.25), lambda x: np.where(x >= 0.2, (1.25 * x - 0.25) ** 2, 0)),
    "2": (parametric(2, 2.0, 0.75, -0.15, 0.64), lambda x: np.where(x >= 0.2, (0.75 * x - 0.15) ** 2 + 0.64, 0.64)),
    "3": (parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), lambda x: np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)),
    "4": (parametric(4, 2.0, 0.8, 0.1, 0.5, 0.2, 0.1, 0.05), lambda x: np.where(x >= 0.2, (0.8 * x + 0.1) ** 2 + 0.1, 0.5 * x + 0.05)),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("grey", [True, False])
def test_curves_of_profiles(name, grey):
    """Under sRGB's own colourants what remains is the curve, and sRGB's after it."""
    written, meant = CURVES[name]
    x = np.linspace(0, 1, 64).reshape(8, 8, 1).repeat(1 if grey else 3, -1).astype(np.float32)
    made = exact(linear_profile(grey=grey, curve=written), grey)(x)
    assert np.abs(made - encoded(255 * meant(x)) / 255).max() < 1e-3 and made.dtype == np.float32
    assert exact(linear_profile(grey=not grey, curve=written), grey) is None


def test_profiles_of_tables_and_useless_ones_are_not_taken_for_curves():
    cut = linear_profile()[:300]
    for profile in (linear_profile(more={"A2B0": b"mft2" + bytes(40)}), linear_profile(curve=b"parf" + bytes(20)), cut, b"", b"x" * 200):
        assert exact(profile, False) is None


def test_a_profile_of_srgb_changes_nothing(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert np.array_equal(Look((6, 8), "rgb")(tmp_path / "a.png"), chw(RGB)) and not header(tmp_path / "a.png").profile


def test_a_profile_that_more_than_eight_bits_carry_is_applied_or_named(tmp_path, monkeypatch):
    values = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1_000
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=linear_profile(grey=True))
    for deep in (True, False):
        made = (Look((6, 8), "grey", deep=True)(tmp_path / "a.png") + 1) * 127.5 if deep else Look((6, 8), "grey")(tmp_path / "a.png")
        assert np.abs(made[0] - encoded(values / 257)).max() < (1e-3 if deep else 0.51)
    assert DATASETS["folder"](str(tmp_path), held_out=0.0).left_out == ()
    monkeypatch.setattr("fromnoise.data.files.profile.exact", lambda *given: None)
    left_out = DATASETS["folder"](str(tmp_path), held_out=0.0).left_out
    assert left_out == ("1 pictures of more than 8 bits have a colour profile of tables, which is not applied",)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_very_large_pictures_are_reduced_first_to_nearly_the_same(tmp_path, monkeypatch, mode, orientation):
    """On a picture without fine detail, means of squares before Lanczos change next to nothing; turned ones stay turned."""
    y, x = np.mgrid[0:300, 0:400] / 400
    waves = [np.rint(127.5 + 127.5 * np.sin(3 * x + k * y)).astype(np.uint8) for k in range(4)]
    image = Image.fromarray(np.stack(waves, -1)).convert("RGB" if mode in ("P", "CMYK") else mode).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(file, **({} if mode == "CMYK" else {"exif": exif}))
    look = Look((24, 32), "rgb")
    before = look(file).astype(int)
    monkeypatch.setattr("fromnoise.data.files.pictures.LARGE", 1000)
    assert abs(look(file).astype(int) - before).mean() < 2
