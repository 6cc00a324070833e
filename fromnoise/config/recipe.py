"""A run as text: recipes, dotted overrides, and the frozen value that both become."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from inspect import signature
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

from ..errors import Problem, Usage, check_text, nearest
from ..registry import PATHS, name_of, plugins
from .build import Within, coerce

PARTS = ("data", "adapter", "autoencoder", "network", "noise", "source", "sample")  # a name and the settings that go with it
MADE = ("shape", "medium", "rate", "units", "classes", "image", "version", "id")  # what a run adds, so that sampling needs no data
SEED = Annotated[int, Within(-(2**63), 2**64 - 1)]  # as torch takes them
SIDE = Annotated[int, Within(1, 2**20)]  # channels, or pixels
TYPES = {"predict": str, "frame": str, "data_std": Annotated[float, Within(1e-6, 10**6)], "self_condition": bool, "seed": SEED, "train": dict, "evaluate": dict,
         "shape": list[SIDE], "medium": str, "rate": Annotated[float, Within(0, 10**6)], "units": dict, "classes": list[str], "image": list[SIDE],
         "version": int, "id": str}  # fmt: skip
FIRST = ("identity", "run")  # autoencoders that are there already: nothing, and that of another run
LENGTHS = ("images", "steps", "minutes")  # of training: one at a time
WORDS = (*PATHS, "run", "image", "target", "label")  # settings that are a user's words, whatever these look like
NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
IDLE = (  # settings that do nothing where another is one of these values
    (("train.ema", "train.ema_warmup"), "train.optimizer", ("schedule_free",), "which keeps an average of its own"),
    (("sample.rescale", "sample.low", "sample.high"), "sample.guidance", (None, 1), "which is no guidance"),
)
NEST, DEEPEST = {"[": 1, "{": 1, "]": -1, "}": -1}, 64
LONGEST = 4_000_000  # of a file: as many take about a minute to read
NODES = 1_000_000  # of a file at most, aliases followed: a run names its classes, of which there may be thousands
PLACES = (Path(__file__).parents[1] / "recipes", Path(__file__).parents[2] / "recipes")


@dataclass(frozen=True)
class Recipe:
    """What a run is made from, every part as it is written in YAML: a name, and the settings that go with it.

    base, adapter     the run to begin with, and how its weights change;  data, autoencoder, network, conditions, noise, source  parts by name
    predict, clock, frame, data_std, self_condition  how the network is read as a denoiser (`Denoiser`);  train, sample, evaluate  settings of each;  seed
    shape, medium, rate, units, classes, image, version, id   what a run adds: of its examples, so that sampling needs no data; and which run it is
    A part that is None was not named: it is the base's, or else the default (`with_defaults`).
    """

    base: Any = None
    adapter: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    autoencoder: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    conditions: list[dict[str, Any]] | None = None
    predict: str | None = None
    noise: dict[str, Any] | None = None
    clock: Any = None
    frame: str | None = None
    data_std: float | None = None
    self_condition: bool | None = None
    source: dict[str, Any] | None = None
    train: dict[str, Any] = field(default_factory=dict)
    sample: dict[str, Any] | None = None
    evaluate: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    shape: tuple[int, ...] = ()
    medium: str | None = None
    rate: float | None = None
    units: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()
    image: tuple[int, ...] = ()
    version: int | None = None
    id: str | None = None

    @classmethod
    def of(cls, settings: "Mapping[str, Any] | Recipe", where: str = "the recipe") -> "Recipe":
        """A mapping as a recipe: names in short become {name: …}, callables the names by which they are found again. Raises Usage for unknown keys."""
        if isinstance(settings, Recipe):
            return settings
        if not isinstance(settings, Mapping):
            raise Problem(f"{where} holds no settings; a recipe is a YAML mapping with keys such as {', '.join(KEYS[:3])}")
        for key in settings:
            if key not in KEYS + MADE:
                raise Usage(f"{where}: no setting {key!r}{nearest(key, KEYS)}")
        said = {key: _plain(value, f"{where}: {key}") for key, value in settings.items() if value is not None}
        said |= {key: _part(key, said[key], where) for key in PARTS if key in said}
        if "conditions" in said:
            several = said["conditions"] if isinstance(said["conditions"], list) else [said["conditions"]]
            said["conditions"] = [_part("conditions", node, where) for node in several]
            if unnamed := [node for node in said["conditions"] if "name" not in node]:
                raise Usage(f"{where}: each condition is a name, or a mapping with one, as in {{name: control, hint: edges}}, not {unnamed[0]!r}")
        for key, wanted in TYPES.items():
            if key in said:
                said[key] = coerce(said[key], wanted, f"{where}: {key}", {})
        return cls(**{key: tuple(value) if key in MADE and isinstance(value, list) else value for key, value in said.items()})

    def as_dict(self) -> dict[str, Any]:
        """What was said, as plain values."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value not in (None, {}, ())}

    @property
    def reconstructs(self) -> bool:
        """Whether it is an autoencoder that is trained: one is named that is not there already, and no network; a base is then an autoencoder as well."""
        return self.autoencoder is not None and self.autoencoder.get("name") not in FIRST and self.network is None

    def with_defaults(self) -> "Recipe":
        """The recipe with the default of every part that it does not name, and that has a place in it."""
        keys = ("data",) if self.reconstructs else DEFAULTS
        return replace(self, **{key: DEFAULTS[key] for key in keys if getattr(self, key) is None})

    def check_trusted(self, trust: bool, where: Any, data: bool = False) -> None:
        """Raises Problem where parts of the model are somebody's own (`module:Name`), whose code would run, unless they are trusted.

        data: of the data and its evaluation as well, where those are to be made.
        """
        out = ("base", "classes") if data else ("base", "classes", "data", "train", "evaluate")
        parts = {key: node for key, node in self.as_dict().items() if key not in out}
        if not trust and (own := next(plugins(parts), None)):
            raise Problem(f"{where} names {own}, a part of somebody's own; loading it runs that code: say trust=True (--trust) if you trust it")

    def text(self) -> str:
        """The recipe as YAML."""
        from omegaconf import OmegaConf

        return OmegaConf.to_yaml(OmegaConf.create(_literal(self.as_dict())))


KEYS = tuple(part.name for part in fields(Recipe) if part.name not in MADE)
DEFAULTS: dict[str, Any] = {"data": {"name": "mnist"}, "network": {"name": "unet"}, "conditions": [], "predict": "v", "noise": {"name": "cosine"}}
DEFAULTS |= {"frame": "vp", "data_std": 1.0, "source": {"name": "gaussian"}, "autoencoder": {"name": "identity"}, "sample": {}}


def _plain(node: Any, where: str) -> Any:
    """A node of plain values: callables by name."""
    if callable(node):
        return name_of(node, where)
    if isinstance(node, str):
        check_text(where, node)
    if isinstance(node, Mapping):
        return {str(key): _plain(value, where) for key, value in node.items()}
    return [_plain(value, where) for value in node] if isinstance(node, (list, tuple)) else node


def _literal(node: Any) -> Any:
    """A node whose words are read back as they are: a class called ${x} is no reference to another setting."""
    if isinstance(node, Mapping):
        return {key: _literal(value) for key, value in node.items()}
    if isinstance(node, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", node)
    return [_literal(value) for value in node] if isinstance(node, list) else node


def _part(key: str, node: Any, where: str) -> dict[str, Any]:
    if isinstance(node, str):
        return {"name": node}
    if not isinstance(node, dict):
        raise Usage(f"{where}: {key} is a name, or a mapping of settings, not {node!r}")
    if not isinstance(node.get("name", ""), str):
        raise Usage(f"{where}: the name of {key} is a word, not {node['name']!r}")
    return node


def recipes() -> dict[str, Path]:
    """The recipes that come with fromnoise, by name."""
    return {path.stem: path for place in PLACES for path in sorted(place.glob("*.yaml"))}


def check_used(recipe: Recipe, typed: Sequence[str]) -> None:
    """Raises Usage for a setting that does nothing as another is, unless the other was typed over a recipe in which it did something."""
    for keys, other, idle, why in IDLE:
        part, name = other.split(".")
        said = getattr(recipe, part) or {}
        value = said[name].get("name") if isinstance(said.get(name), Mapping) else said.get(name)
        for key in keys if value in idle else ():
            if key.split(".")[1] in said and (key in typed or other not in typed):
                raise Usage(f"{key} would do nothing: {other} is {value or idle[-1]}, {why}; leave one of them out")


def find(recipe: str) -> Path:
    """The file of a recipe, given by name or path."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise Usage(f"there is no recipe file {recipe}; `fromnoise list` prints the recipes that come with fromnoise")
        return path
    known = recipes()
    if recipe not in known:
        raise Usage(f"no recipe {recipe!r}{nearest(recipe, known)}; or give the path of a .yaml file, or a setting as key=value, such as train.batch=64")
    return known[recipe]


def read(paths: Path | Sequence[Path], overrides: Sequence[str] = ()) -> Recipe:
    """YAML files as a recipe, each merged over those before it, and dotted overrides `key.key=value` over all.

    An override of a part's name, `network=conv` or `network.name=conv`, takes that part's defaults: settings of the old one make no sense there.
    One length of training takes the place of the file's other.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    paths = [paths] if isinstance(paths, Path) else paths
    config, path = OmegaConf.create(reduce(_over, map(_content, paths))), " + ".join(map(str, paths))
    pairs = [_override(text) for text in overrides]
    lengths = {key for key, _ in pairs if key in [f"train.{length}" for length in LENGTHS]}
    for key, text in sorted(pairs, key=lambda pair: pair[0].count(".")):  # names before the settings below them
        try:
            _put(config, key, text)
        except Exception as error:
            raise Usage(f"cannot set {key}={text}: {' '.join(str(error).split())[:160]}") from error
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise Usage(f"${{…}} stands for another setting, and there is none such: {str(error).splitlines()[0]}") from error
    if lengths and isinstance(plain.get("train"), dict):
        plain["train"] = {key: value for key, value in plain["train"].items() if key not in LENGTHS or f"train.{key}" in lengths}
    return Recipe.of(plain, path)


def _content(path: Path) -> Any:
    """What a file holds; raises Problem where that is no recipe, before anything is put over it."""
    from omegaconf import OmegaConf
    from yaml import MarkedYAMLError

    deep = f"{path} is nested deeper than {DEEPEST} levels; a recipe has three or four"
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > LONGEST:
            raise Problem(f"{path} has {len(text):,} letters, more than {LONGEST:,}; a recipe is a page")
        if max(accumulate((NEST.get(sign, 0) for sign in text), initial=0)) > DEEPEST:  # YAML's parser recurses, in C
            raise Problem(deep)
        many = {"max_yaml_expanded_nodes": NODES} if "max_yaml_expanded_nodes" in signature(OmegaConf.load).parameters else {}
        config = OmegaConf.load(path, **many)
        Recipe.of(OmegaConf.to_container(config, resolve=True), str(path))
        return OmegaConf.to_container(config)
    except Problem:
        raise
    except UnicodeDecodeError as error:
        raise Problem(f"{path} is not UTF-8 text, as recipes are; save it as UTF-8, or name a recipe") from error
    except RecursionError as error:
        raise Problem(deep) from error
    except MarkedYAMLError as error:
        at = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}" if error.problem_mark else "somewhere"
        tabs = "; indent with spaces, not with tabs" if "cannot start any token" in str(error.problem) else ""
        raise Problem(f"{path} is not readable as YAML: {str(error.problem)[:200]} in {at}{tabs}") from error
    except Exception as error:  # YAML and OmegaConf raise many types
        raise Problem(f"{path} is not readable as YAML: {' '.join(str(error).split())[:200]}") from error


def _over(below: Any, above: Any, key: str = "") -> Any:
    """A node of a recipe over another: mappings key by key, but a part of another name, a list or a value takes the other's place."""
    if isinstance(below, Mapping) and isinstance(above, str):  # a word is short for a part of that name
        above = {"name": above}
    if isinstance(below, str) and isinstance(above, Mapping):
        below = {"name": below}
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)) or above.get("name", below.get("name")) != below.get("name"):
        return above
    if key == "train" and set(LENGTHS) & above.keys():
        below = {name: value for name, value in below.items() if name not in LENGTHS}
    return {**below, **{name: _over(below.get(name), value, f"{key}.{name}" if key else str(name)) for name, value in above.items()}}


def load(recipe: str, more: Sequence[str] = ()) -> Recipe:
    """A recipe that comes with fromnoise, by name, or a file; `more` are further recipes, each merged over those before it, and settings key=value over all.

    Raises Usage for what would do nothing, which a run may hold all the same.
    """
    others, overrides = ([word for word in more if ("=" in word) == setting] for setting in (False, True))
    found = read([find(name) for name in (recipe, *others)], overrides)
    check_used(found, [_override(text)[0] for text in overrides])
    return found


def _override(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Usage(f"an override is key=value, such as train.batch=64, not {text!r}")
    part, _, leaf = key.partition(".")
    if part not in KEYS:
        raise Usage(f"no setting {part!r}{nearest(part, KEYS)}")
    if leaf.rpartition(".")[2] not in WORDS and re.fullmatch(rf"{NUMBER}(,{NUMBER})+", value):
        several = f"for v in {value.replace(',', ' ')}; do fromnoise train RECIPE {key}=$v --out runs/{leaf or part}_$v; done"
        raise Usage(f"{key} takes one value, or a list such as [{value}]; to compare several, train a run for each: {several}")
    return key.removesuffix(".name") if part in PARTS and part != "sample" else key, value


def _put(config: Any, key: str, text: str) -> None:
    from omegaconf import OmegaConf

    value = _typed(key, text)
    if isinstance(OmegaConf.select(config, key), Mapping) and isinstance(value, str):
        value = {"name": value}
    *above, _ = key.split(".")
    node = OmegaConf.select(config, ".".join(above)) if above else config
    if isinstance(node, str):  # `noise: cosine` is short for `noise: {name: cosine}`
        OmegaConf.update(config, ".".join(above), {"name": node})
    OmegaConf.update(config, key, value, merge=False, force_add=True)


def _typed(key: str, text: str) -> Any:
    """The value of an override, as it was typed: numbers, true, false, null, [lists] and {mappings} are YAML; all else, and every folder, are words.

    YAML would take #ff8800 for a comment, `p: q` for a mapping, and a folder called 2024 for a number.
    """
    from omegaconf import OmegaConf
    from yaml import YAMLError

    flow, place = text.lstrip()[:1] in ("[", "{", '"', "'"), key.rpartition(".")[2]
    if (place in WORDS or (key == "base" and not flow)) and text != "null":
        return text
    try:
        value = OmegaConf.from_dotlist([f"x={text}"]).x
    except YAMLError:
        if flow:
            raise
        return text
    if odd := _unspaced(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value):
        raise Usage(f"YAML wants a space after a colon, as in {odd.replace(':', ': ', 1)}")
    block = not flow and (OmegaConf.is_config(value) or "#" in text)
    return text if block or (value is None and text.lower() not in ("null", "~", "")) else value


def _unspaced(node: Any) -> str | None:
    """The first key of a node that was meant as key: value; None where there is none."""
    pairs = node.items() if isinstance(node, Mapping) else [(None, part) for part in node] if isinstance(node, list) else []
    return next((odd for key, part in pairs if (odd := key if part is None and ":" in str(key) else _unspaced(part))), None)


def differences(a: Any, b: Any, at: str = "") -> list[tuple[str, Any, Any]]:
    """Where two recipes, or nodes of them, differ: (dotted key, value in a, value in b)."""
    a, b = (value.as_dict() if isinstance(value, Recipe) else value for value in (a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return [d for key in {**a, **b} for d in differences(a.get(key), b.get(key), f"{at}.{key}" if at else key)]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{at}.{i}")]
    return [] if a == b else [(at, a, b)]
