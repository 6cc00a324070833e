import numpy as np
import pytest
from PIL import Image

from fromnoise.errors import Usage
from fromnoise.figures import strip
from fromnoise.figures.strip import GAP, joined, titled

RED, BLUE = Image.new("RGB", (40, 30), (200, 0, 0)), Image.new("RGB", (40, 30), (0, 0, 200))


def where(picture, colour):
    """(top, bottom, left, right) of a colour."""
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(-1))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_tiles_are_whole_and_in_order():
    picture = strip([[RED, RED, BLUE]])
    assert picture.size == (3 * 43 + 24, 33 + 24)
    assert where(picture, (0, 0, 200))[2] > where(picture, (200, 0, 0))[3]
    assert ((np.asarray(picture) == (200, 0, 0)).all(-1)).sum() == 2 * 40 * 30


def test_words_never_cover_tiles():
    picture = strip([[RED], [BLUE]], ["a long name\nand more", "b"], ["one very long column name\nsecond line"], [["l1 0.1"], ["l1 0.2"]])
    for colour in ((200, 0, 0), (0, 0, 200)):
        assert ((np.asarray(picture) == colour).all(-1)).sum() == 40 * 30


def test_words_are_inside_the_picture():
    picture = np.array(strip([[RED] * 3], ["name"], ["log-SNR −99999.9"] * 3, [["l1 12345.678"] * 3]))
    picture[4:-4, 4:-4] = 255
    assert (picture == 255).all()


def test_columns_are_equally_wide():
    wide = strip([[RED, RED]], columns=["a name that is much wider than its tile", "b"])
    top, _, left, right = where(wide, (200, 0, 0))
    row = (np.asarray(wide)[top] == (200, 0, 0)).all(-1)
    edges = np.flatnonzero(np.diff(row.astype(int)) == 1)
    assert edges[1] - edges[0] > 200 and right - left > 240


def test_none_is_a_gap():
    assert strip([[RED], None, [BLUE]]).height == strip([[RED], [BLUE]]).height + GAP
    with pytest.raises(Usage):
        strip([None])


def test_joined_and_titled_add_up():
    assert joined(RED, BLUE, gap=5).size == (85, 30)
    assert joined(RED, BLUE, gap=5, down=True).size == (40, 65)
    assert titled(Image.new("L", (60, 30)), "step 1\nof 2", height=20).size == (60, 70)
    assert titled(Image.new("L", (10, 30)), "step 1", height=20).width > 30, "words are not cut"
