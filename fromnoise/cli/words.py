"""What the commands do, once their words are understood."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import config as settings
from ..errors import Problem, Usage, nearest
from ..files import replacing, vacant
from ..model import Model, load
from ..runs.folder import Run


def labels_of(model: Model, text: str | None, n: int) -> dict[str, Any]:
    """--label as the model's argument: class numbers or names with commas, in turn over the samples; 'none' asks for nothing."""
    if text is None:
        return {}
    if "label" not in model.conditions:
        raise Usage("this model was trained without labels; leave --label out")
    if text == "none":
        return {"label": None}
    numbers = class_numbers(text, model.classes)
    if len(numbers) == 1:
        return {"label": numbers[0]}
    if not n:
        raise Usage("several labels are taken by several samples in turn; this takes one")
    return {"label": torch.tensor([numbers[i % len(numbers)] for i in range(n)])}


def class_numbers(text: str, classes: Sequence[str]) -> list[int]:
    """Class numbers or names with commas, as numbers."""
    names = {name.lower(): number for number, name in enumerate(classes)} | {name: i for i, name in enumerate(classes)}
    numbers = []
    for word in text.split(","):
        word = word.strip()
        if word in names or word.lower() in names:
            numbers.append(names[word] if word in names else names[word.lower()])
        elif re.fullmatch(r"-?[0-9]{1,9}", word):
            numbers.append(int(word))
        else:
            raise Usage(f"no class {word!r}{nearest(word.lower(), names)}")
    return numbers


def texts_of(model: Model, texts: list[str] | None, n: int) -> dict[str, Any]:
    """--text as the model's argument: captions, in turn over the samples; 'none' asks for nothing."""
    if not texts:
        return {}
    if "text" not in model.conditions:
        raise Usage("this model was trained without captions; leave --text and --negative out")
    if len(texts) == 1:
        return {"text": None if texts == ["none"] else texts[0]}
    if not n:
        raise Usage("several captions are taken by several samples in turn; this takes one")
    return {"text": [texts[i % len(texts)] for i in range(n)]}


def draw(model: Model, n: int, seed: int, batch: int | None, walk: Mapping[str, Any], conditions: Mapping[str, Any]) -> Tensor:
    """n samples, with a progress bar on a terminal where there is something to wait for."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sampling", total=n)
        return (
            model.sample(n, seed=seed, batch=batch, progress=lambda done: bar.update(task, completed=done), **walk, **conditions)
            .cpu()
            .float()
        )


def write_samples(
    run: Path,
    n: int,
    walk: Mapping[str, Any],
    label: str | None,
    text: list[str] | None,
    negative: str | None,
    seed: int,
    init: Path | None,
    strength: float,
    batch: int | None,
    out: Path,
    gif: bool,
    device: str | None,
    trust: bool,
    weights: str,
    control: Sequence[str],
    adapters: list[str] | None,
    image: Path | None,
    mask: Path | None,
    against: Path | None = None,
) -> None:
    """`fromnoise sample`."""
    from ..figures import save
    from ..figures.picture import check
    from ..model.compose import composed
    from .pictures import images_of, picture

    if n < 1:
        raise Usage(f"draw at least 1 sample, not {n}")
    if batch is not None and batch < 1:
        raise Usage(f"--batch is at least 1, not {batch}")
    if out.suffix not in ("", ".npz", ".gif"):
        check(out)
    if out.suffix == "":
        vacant(out)
    others = adapters_of(adapters)
    model = composed(run, others, device, trust, weights) if others else load(run, device, trust, weights)
    data = None if image is None and mask is None and init is None else Run(run).config().get("data")
    conditions = labels_of(model, label, n) | texts_of(model, text, n) | images_of(model, image, mask, n, data)
    walk = dict(walk) | {"weak": weaker(against, device, trust)}
    led(model, walk)
    if negative is not None:
        walk["negative"] = {"text": texts_of(model, [negative], 1)["text"]}
    if control:
        from .control import heard

        hints, walk["control"] = heard(model, run, control, n, device, trust)
        conditions |= hints
    if init is not None:
        if len(model.shape) != 3:
            raise Usage(f"this model makes examples of shape {model.shape}, no pictures, so it cannot start from one; leave --init out")
        walk |= {"init": picture(init, model.shape[0], model.shape, data)[None], "strength": strength}
    began = time.perf_counter()
    if gif or out.suffix == ".gif":
        from ..figures import reverse_gif

        target = out if out.suffix == ".gif" else out.with_suffix(".gif") if out.suffix else out / "reverse.gif"
        shown = min(n, 64)
        reverse_gif(
            model,
            target,
            shown,
            seed=seed,
            **walk,
            **{key: value[:shown] if isinstance(value, (Tensor, list)) else value for key, value in conditions.items()},
        )
        print(target)
        if out.suffix == ".gif":
            return
    images = draw(model, n, seed, batch, walk, conditions)
    asked = model.asked(n, conditions).get("label")
    columns = len(model.classes) if asked is not None and label is None and len(model.classes) <= 16 else None
    save(images, out, labels=None if asked is None else asked.tolist(), columns=columns)
    print(f"{out}: {n:,} samples in {time.perf_counter() - began:.1f} s")


def write_hint(picture: Path, hint: str, size: int | None, channels: str, out: Path) -> None:
    """`fromnoise data hint`."""
    from ..conditions.hints import HINTS
    from ..data.files import pictures
    from ..figures import save
    from ..figures.picture import check as writable

    if hint not in HINTS:
        raise Usage(f"no hint {hint!r}{nearest(hint, HINTS)}")
    if size is not None and size < 1:
        raise Usage(f"--size is a side in pixels, not {size}")
    writable(out)
    pictures.check("crop", channels)
    x = pictures.picture(picture, pictures.CHANNELS[channels][1], (size, size) if size else None)[None]
    print(save(HINTS[hint](x, None), out))


def noises_of(model: Model, seeds: str, rows: int) -> tuple[Tensor, list[str]]:
    """The noises (k, rows, C, *S) of k seeds with commas, and their names."""
    try:
        numbers = [int(part) for part in seeds.split(",")]
    except ValueError:
        raise Usage(f"--seeds are whole numbers with commas, such as 0,1, not {seeds!r}") from None
    if rows < 1:
        raise Usage(f"draw at least 1 row, not {rows}")
    return torch.stack([model.start(rows, number) for number in numbers]), [f"seed {number}" for number in numbers]


def blend_of(way: str, out: Path, square: bool) -> Any:
    """The blend of two noises of this name; raises Usage where there is none, or where `out` cannot hold what is asked."""
    from ..editing import BLENDS
    from ..figures.picture import check

    if way not in BLENDS:
        raise Usage(f"no way {way!r}{nearest(way, BLENDS)}")
    if out.suffix != ".gif":
        check(out)
    elif square:
        raise Usage("a square is a picture, not a film; end --out in .png")
    return BLENDS[way]


def write_between(model: Model, noises: Tensor, out: Path, n: int | None, square: bool, ends: Sequence[str], **asked: Any) -> None:
    """Writes what lies between noises, as a picture or a film."""
    from ..figures import interpolate, latent_walk, write

    if out.suffix == ".gif":
        print(latent_walk(model, noises, out, 16 * (len(noises) - 1) if n is None else n, **asked))
    else:
        print(write(interpolate(model, noises, 9 if n is None else n, square, ends, **asked), out))


def led(model: Model, walk: Mapping[str, Any]) -> None:
    """Raises Usage where a weaker model is named and guidance is 1, which leads away from nothing."""
    if walk.get("weak") is not None and model.plan(guidance=walk.get("guidance")).guidance == 1:
        raise Usage("--against says what guidance leads away from, and at 1 there is none; add -g 2, say")


def weaker(path: Path | None, device: str | None, trust: bool) -> Model | None:
    """The model that guidance leads away from: of a run folder, or of one of its weights/, such as runs/mnist/weights/step_00001000."""
    if path is None:
        return None
    inside = path.parent.name == "weights"
    return load(path.parent.parent if inside else path, device, trust, path.stem if inside else "last")


def run_data(run: Path, root: str | None, trust: bool = False) -> tuple[Any, ...]:
    """The data that a run was trained on: training and held-out examples."""
    from ..data.examples import examples, with_root

    node = with_root(Run(run).config().get("data"), root)
    return tuple(examples(node, split, trust) for split in ("train", "test"))


def measure(
    run: Path,
    n: int | None,
    walk: Mapping[str, Any],
    seed: int,
    features: str | None,
    compare: str | None,
    root: str | None,
    device: str | None,
    trust: bool,
    weights: str,
    sweep: str | None,
    pairs: bool = False,
    perceptual: str | None = None,
    sweep_steps: str | None = None,
    against: Path | None = None,
    clip_model: str | None = None,
    control: Sequence[str] = (),
) -> None:
    """`fromnoise evaluate`."""
    from rich.console import Console

    from ..evaluation import Card, ClipScore, Sweep, load_perceptual, obedience, score_pairs, score_run

    if n is not None and n < 2:
        raise Usage(f"evaluate at least 2 samples, not {n}")
    if sum(map(bool, (pairs, compare, sweep, control))) > 1:
        raise Usage("--pairs, --compare, --sweep and --control are different questions; ask one at a time")
    if perceptual and not pairs:
        raise Usage("--perceptual measures pairs; add --pairs")
    if clip_model and (pairs or control):
        raise Usage("--clip-model measures captions, --pairs and --control pictures; ask one at a time")
    distance = load_perceptual(perceptual) if perceptual else None
    clip = ClipScore(clip_model, device) if clip_model else None
    model = load(run, device, trust, weights)
    config = Run(run).config()
    asked = settings.call(Evaluate, config.get("evaluate") or {}, "evaluate")
    train, test = run_data(run, root, trust)
    told, net = dict(walk) | {"weak": weaker(against, device, trust)}, features or asked.features
    if not sweep:
        led(model, told)
    step = max((entry.get("step", 0) for entry in Run(run).entries()), default=0)
    own = {key: value for key, value in (dict(walk) | {"against": against}).items() if value not in (None, {})}
    how = {"step": step, "weights": weights, "seed": seed, "network": str(net), "asked": own}

    def write(name: str, found: Any) -> None:
        Run(run).write_json(name, found | how)

    console = Console(width=max(100, Console().width))
    if pairs:
        found = score_pairs(model, train, test, n or asked.n, told, seed, distance, draw)
        console.print(found.table())
        return write("pairs.json", found.json())
    if control:
        from .control import heard

        hints, heeded = heard(model, run, control, 1, device, trust)
        if hints:
            raise Usage("evaluate shows branches the hints of held-out examples; name them without files, as in --control edges:0.8")
        alone = {key: [0.0] for key, condition in model.conditions.items() if not condition.guidable} | heeded
        obeyed = obedience(model, test, min(n or OBEYED, len(test)), seed, alone, **told)
        print("\n".join(obeyed.lines()))
        return write("obedience.json", asdict(obeyed) | {"control": heeded})
    card = score_run(model, train, test, n or asked.n, told, seed, net, compare, draw, sweep, sweep_steps, clip)
    console.print(card.table())
    if isinstance(card, Sweep):
        from ..figures import tradeoff

        write("guidance.json", card.json())
        print(tradeoff(card, run / "guidance.png"))
    elif isinstance(card, Card):
        write("evaluation.json", card.json())
        from ..figures import report

        print(f"{report(run)} now holds these figures")


def measure_once(run: Path, device: str | None) -> None:
    """`fromnoise train --evaluate`: the evaluation that the run's own settings ask for, unless it has been made of these weights."""
    import json

    step = max((entry.get("step", 0) for entry in Run(run).entries()), default=0)
    card = run / "evaluation.json"
    own = settings.call(Evaluate, Run(run).config().get("evaluate") or {}, "evaluate")
    wanted = {"step": step, "n": own.n, "weights": "last", "seed": 0, "network": own.features, "asked": {}}
    if card.is_file():
        found = json.loads(card.read_text())
        if all(found.get(key) == value for key, value in wanted.items()):
            print(f"{card} holds the evaluation of step {step:,} already")
            return
    if not os.environ.get("RANK", "0") == "0":
        return  # one process of a distributed run measures
    measure(run, n=None, walk={}, seed=0, features=None, compare=None, root=None, device=device, trust=True, weights="last", sweep=None)


OBEYED = 500  # held-out examples whose hints `evaluate --control` shows


class Evaluate:
    """The settings of an evaluation: n samples, measured by `features`."""

    def __init__(self, n: int = 10_000, features: str = "cnn"):
        self.n, self.features = n, features


def inspect_data(path: Path, out: Path | None) -> None:
    """`fromnoise data inspect`."""
    from ..data.inspect.report import report

    recipe = report(path)
    if out is not None:
        if out.exists():
            raise Problem(f"{out} is there already; choose another --out, or remove it")
        with replacing(out) as temporary:
            temporary.write_text(recipe)
        print(f"{out}: train it with  fromnoise train {out}")


def print_parts(what: str | None) -> None:
    """`fromnoise list`."""
    from rich.console import Console
    from rich.table import Table

    from ..conditions import CONDITIONS
    from ..conditions.hints import HINTS
    from ..data import DATASETS
    from ..diffusion import BETAS, CLOCKS, PREDICT, SCHEDULES, SOURCES, WEIGHTS
    from ..networks import ADAPTERS, NETWORKS, PRESETS
    from ..samplers import SAMPLERS
    from ..training.optim import OPTIMIZERS

    def first(thing: Any) -> str:
        return (thing.__doc__ or "").strip().split("\n")[0]

    headers = {name: path.read_text().split("\n")[0].lstrip("# ") for name, path in settings.recipes().items()}
    parts: dict[str, Mapping[str, str]] = {"recipes": headers}
    tables = {"data": DATASETS, "networks": NETWORKS, "adapters": ADAPTERS, "conditions": CONDITIONS, "hints": HINTS, "predictions": PREDICT,
              "schedules": SCHEDULES, "tables": BETAS, "samplers": SAMPLERS, "weights": WEIGHTS, "sources": SOURCES, "clocks": CLOCKS,
              "optimizers": OPTIMIZERS}  # fmt: skip
    parts |= {title: {name: first(thing) for name, thing in table.items()} for title, table in tables.items()}
    parts["presets"] = {
        name: ", ".join(f"{key} {value}" for key, value in preset.items() if key != "name") for name, preset in PRESETS.items()
    }
    if what is not None and what not in parts:
        raise Usage(f"no part {what!r}{nearest(what, parts)}")
    console = Console()
    for title in [what] if what else parts:
        table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True, style="cyan")
        table.add_column()
        for name, line in parts[title].items():
            table.add_row(name, line)
        console.print(table)


def import_folder(folder: Path, out: Path) -> None:
    """`fromnoise import`."""
    from .. import convert
    from ..model import taken
    from ..runs.folder import Run

    foreign = convert.read(folder)
    model = taken(foreign)
    run = Run(vacant(out))
    run.save_weights(model, 0)
    run.write_config(foreign.config)
    count = sum(p.numel() for p in model.parameters())
    print(f"{out}: {foreign.config['network']['name']} of {count:,} parameters; draw from it with `fromnoise sample {out}`")


def export_run(path: Path, out: Path, weights: str, adapter: bool = False) -> None:
    """`fromnoise export`."""
    from .. import convert
    from ..model import expanded, load
    from ..networks import changes, merge
    from ..runs.folder import Run

    config, model = Run(path).config(), load(path, "cpu", weights=weights)
    if any(condition.freezes_rest for condition in model.conditions.values()):
        raise Problem(f"{path} holds a control branch, which has no counterpart there yet; export its base, {config['base']['run']}")
    node, added = expanded(config.get("network") or "unet"), changes(model)
    if adapter:
        whole = [name for name, p in model.named_parameters() if p.requires_grad and ".change." not in name]
        if not added:
            raise Problem(f"{path} has no adapter; leave --adapter out")
        if whole:
            raise Problem(
                f"{path} has also trained {whole[0]} whole, for which PEFT's files have no place; leave --adapter out to export all, merged"
            )
        print(
            f"{convert.write_adapter(out, config, node, model.state_dict(), added)}: {len(added)} layers, as PEFT and diffusers name them"
        )
        return
    tensors = {name: tensor.detach().float() for name, tensor in merge(model).state_dict().items()}
    print(f"{out}: reads as {convert.write(out, config, node, tensors, model.grid)}.from_pretrained({str(out)!r}) in diffusers")


def adapters_of(words: list[str] | None) -> list[tuple[Path, float]]:
    """--adapter RUN or RUN:SHARE, any number of times, as (run, share)."""
    found = []
    for word in words or []:
        run, share = (word, "1") if Path(word).exists() or ":" not in word else word.rsplit(":", 1)
        if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", share):
            raise Usage(f"--adapter is RUN, or RUN:SHARE such as runs/fashion_lora:0.7, not {word!r}")
        found.append((Path(run), float(share)))
    return found


def merge_run(run: Path, adapters: list[str] | None, out: Path, weights: str, trust: bool) -> None:
    """`fromnoise merge`."""
    from ..model.compose import write_merged

    model = write_merged(run, adapters_of(adapters), out, trust, weights)
    print(f"{out}: a plain run of {sum(p.numel() for p in model.parameters()):,} parameters; draw from it with `fromnoise sample {out}`")


def print_estimate(config: Mapping[str, Any], seconds: float, device: str | None, trust: bool = False) -> None:
    """`fromnoise estimate`."""
    from rich.console import Console
    from rich.table import Table

    from ..training.estimate import estimate

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for what, much in estimate(config, seconds, device, trust).lines():
        table.add_row(what, much)
    Console().print(table)
