import json

import pytest
from rich.console import Console

from fromnoise.evaluation import Card, Row

CARD = Card(
    "mnist, 2,000 samples", "mnist CNN (99.67 %)", 2000, 10_000, "Reference: 10,000 test images.",
    [Row("Fréchet distance · mnist CNN (99.67 %)", 3.0, 2.0), Row("KID · mnist CNN (99.67 %)", 0.1, -0.01, 0.02, 0.03),
     Row("class accuracy: [b]bold", 0.5, 0.75, better="higher")],
    ("2,000 samples are few",),
)  # fmt: skip


def test_ratio_is_of_distances_whose_floor_is_known():
    assert CARD["Fréchet"].ratio == 1.5
    assert CARD["KID"].ratio is None  # the floor is within its own error
    assert CARD["class accuracy"].ratio is None
    assert Row("d", 1.0).ratio is None and Row("d", 1.0, 0.0).ratio is None
    with pytest.raises(KeyError, match="no 'FID'; one of: Fréchet distance"):
        CARD["FID"]


def test_json_holds_all():
    plain = json.loads(json.dumps(CARD.json()))
    assert plain["n"] == 2000 and plain["reference"] == 10_000 and plain["notes"] == ["2,000 samples are few"]
    assert plain["rows"][0] == {"metric": "Fréchet distance · mnist CNN (99.67 %)", "value": 3.0, "floor": 2.0, "error": None,
                                "floor_error": None, "better": "lower", "ratio": 1.5}  # fmt: skip


def test_table_names_the_network_and_reads_no_markup():
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(CARD.table())
    text = console.export_text()
    for words in ("mnist CNN (99.67 %)", "1.50", "0.1 ± 0.02", "[b]bold", "Note: 2,000 samples are few", "real data"):
        assert words in text
    assert "FID" not in text
