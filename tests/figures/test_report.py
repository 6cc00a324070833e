import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.errors import Problem
from fromnoise.figures import gif, grid, progress, report, write

VOID = {"meta", "img", "br", "link", "path", "use"}


class Page(HTMLParser):
    """A page's text, links and tags; fails on tags that do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.links, self.ids, self.tags = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "srcset")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def page(run):
    parsed = Page(report(run).read_text())
    return " ".join(" ".join(parsed.text).split()), parsed


CARD = {
    "title": "digits, 10,000 samples", "protocol": "Reference: 360 test images.", "notes": ["few images"],
    "rows": [{"metric": "FD", "value": 1.25, "error": 0.02, "floor": 0.9, "floor_error": 0.01}],
    "step": 1234, "weights": "best", "sampling": {"guidance": 1.5},
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "digits <i>"
    run.mkdir()
    (run / "config.yaml").write_text("data: {name: digits}\nnetwork: {name: unet}\npredict: v\nnoise: {name: <script>alert(1)</script>}\n")
    (run / "environment.json").write_text(json.dumps({"version": "0.1", "commit": "abc1234", "device": "<cpu>", "machine": "M&M"}))
    (run / "summary.json").write_text(json.dumps({"parameters": 981_000, "steps": 1000, "images": 128_000, "seconds": 65.2}))
    training = {"lr": 1e-3, "images_per_second": 1280.0}
    lines = [{"step": i, "images": i * 128, "seconds": i / 10, "loss": 1 / i} | training for i in range(1, 1001, 9)]
    held = {"held_out": 0.1, "held_out_by_level": {"0.05": 0.2, "0.95": 0.1}}
    lines += [{"step": i, "images": i, "seconds": i} | held for i in (500, 1000)]
    lines += [{"step": 300, "images": 1, "seconds": 30.0, "event": "skipped", "why": "<script>alert(2)</script>"}]
    lines += [{"step": 1000, "images": 1, "seconds": 99.0, "event": "finished", "why": ""}]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in range(100, 1001, 100):
        write(grid(torch.rand(9, 1, 8, 8) * 2 - 1), run / "samples" / f"step_{step:08d}.png")
    write(grid(torch.rand(16, 3, 8, 8) * 2 - 1), run / "samples" / "final.png")
    gif([grid(torch.rand(9, 1, 8, 8) * 2 - 1) for _ in range(5)], run / "samples" / "reverse.gif")
    (run / "evaluation.json").write_text(json.dumps(CARD))
    return run


def test_all_of_a_run_is_on_the_page(run):
    text, parsed = page(run)
    expected = "digits <i>|finished|981k|1,000|128k|65 s|abc1234|FD|1.25|0.9|M&M|skipped|digits · unet|<script>alert(2)</script>"
    for words in expected.split("|"):
        assert words in text, words
    assert parsed.tags.count("svg") == 4 and parsed.tags.count("img") == 2 + 6
    assert "issing" not in text


def test_what_the_run_says_is_never_run(run):
    assert "script" not in page(run)[1].tags and "i" not in page(run)[1].tags


def test_the_page_needs_nothing_but_itself(run):
    text = report(run).read_text()
    parsed = Page(text)
    assert all(link.startswith(("data:image/", "#")) for link in parsed.links)
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    assert len(set(parsed.ids)) == len(parsed.ids)
    wanted = set(re.findall(r"url\(#([^)]*)\)", text)) | {link[1:] for link in parsed.links if link.startswith("#")}
    assert wanted <= set(parsed.ids)


def test_plots_follow_light_and_dark(run):
    plots = re.findall(r"<svg.*?</svg>", report(run).read_text(), flags=re.S)
    colours = {colour for plot in plots for colour in re.findall(r"#[0-9a-f]{6}\b", plot)}
    assert colours <= {"#ffffff"} and all("currentColor" in plot and "var(--c0)" in plot for plot in plots)


def test_grids_over_training_are_picked_evenly(run):
    text, _ = page(run)
    assert re.findall(r"step ([\d,]+)", text.split("Over training")[1].split("Evaluation")[0]) == [
        "100",
        "300",
        "500",
        "600",
        "800",
        "1,000",
    ]


@pytest.mark.parametrize("gone", ["config.yaml", "environment.json", "summary.json", "log.jsonl", "samples", "evaluation.json"])
def test_a_missing_piece_is_missing_alone(run, gone):
    path = run / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    text, _ = page(run)
    for words, home in (("unet", "config.yaml"), ("abc1234", "environment.json"), ("skipped", "log.jsonl"), ("FD", "evaluation.json")):
        assert (words in text) == (gone != home)


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.95])
def test_a_run_cut_at_any_moment_has_its_report(run, share):
    for file in [*run.glob("*.*"), *run.glob("samples/*")]:
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])
    assert "digits <i>" in page(run)[0]


def test_an_empty_folder_has_its_report(tmp_path):
    text, parsed = page(tmp_path)
    assert text.count("issing") >= 3 and "Nothing has been logged yet" in text and "img" not in parsed.tags


@pytest.mark.parametrize("content", ["[]", "null", "3", '{"a": [1, {"b": null}]}', '[{"metric": null}, 5, {}]', "{]"])
def test_strange_contents_do_not_break_it(run, content):
    for name in ("summary.json", "environment.json", "evaluation.json", "config.yaml"):
        (run / name).write_text(content)
    lines = ['{"step": 1, "event": ["finished"]}', r'{"step": 1, "event": "\ud800"}']
    lines += ['{"step": 1, "loss": null, "event": null}', '{"step": 2, "held_out": 0.1, "held_out_by_level": [1]}']
    (run / "log.jsonl").write_text("\n".join([content, *lines, '{"step": 3, "seconds": "x", "loss": 1}']))
    page(run)


def test_heavy_pictures_are_made_light(run):
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (400, 800, 3), dtype=np.uint8)) for _ in range(8)]
    gif(noise, run / "samples" / "reverse.gif")
    big = Image.fromarray(rng.integers(0, 256, (700, 700, 3), dtype=np.uint8))
    for file in [run / "samples" / "final.png", *run.glob("samples/step_*")]:
        write(big, file)
    assert report(run).stat().st_size < 3_000_000
    assert sorted(file.name for file in (run / "samples").iterdir() if file.name.startswith(".")) == []


def test_progress_plays_the_grids_in_order(run):
    with Image.open(progress(run)) as opened:
        assert opened.n_frames == 10 and opened.height > opened.width
    with pytest.raises(Problem, match="no grids yet"):
        progress(run / "samples")


def test_progress_passes_over_broken_grids(run):
    (run / "samples" / "step_00000300.png").write_bytes(b"\x89PNG")
    (run / "samples" / "step_x.png").write_bytes(b"")
    with Image.open(progress(run, run / "p.gif")) as opened:
        assert opened.n_frames == 9


def test_an_evaluation_says_how_and_of_what_it_was_taken(run):
    text, _ = page(run)
    for words in ("1.25 ± 0.02", "0.9 ± 0.01", "at step 1,234, best weights, guidance 1.5", "Reference: 360 test images.", "few images"):
        assert words in text
