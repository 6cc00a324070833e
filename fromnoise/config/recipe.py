"""A run as text: recipes and dotted overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import Problem, Usage, nearest

KEYS = (
    "base",
    "adapter",
    "data",
    "network",
    "conditions",
    "predict",
    "noise",
    "grid",
    "clock",
    "frame",
    "data_std",
    "source",
    "train",
    "sample",
    "evaluate",
    "seed",
)
PARTS = ("data", "adapter", "network", "noise", "grid", "source")  # a name and the settings that go with it
MADE = ("shape", "classes", "image", "version")  # what a run adds, so that sampling needs no data
LENGTHS = ("images", "steps", "minutes")  # of `train`: one at a time
PLACES = (Path(__file__).parents[1] / "recipes", Path(__file__).parents[2] / "recipes")
def recipes() -> dict[str, Path]:
    """The recipes that come with fromnoise, by name."""
    return {path.stem: path for place in PLACES for path in sorted(place.glob("*.yaml"))}


def find(recipe: str) -> Path:
    """The file of a recipe, given by name or path."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise Usage(f"there is no recipe file {recipe}; `fromnoise list` prints the recipes that come with fromnoise")
        return path
    known = recipes()
    if recipe not in known:
        raise Usage(f"no recipe {recipe!r}{nearest(recipe, known)}; or give the path of a .yaml file")
    return known[recipe]


def read(path: Path) -> dict[str, Any]:
    """A YAML file as a plain dict; unknown keys are refused."""
    from omegaconf import OmegaConf

    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except Exception as error:  # YAML and OmegaConf raise many types
        raise Problem(f"{path} is not readable as YAML: {' '.join(str(error).split())[:200]}") from error
    return checked(config, str(path))


def checked(config: Any, where: str) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise Problem(f"{where} holds no settings; a recipe is a YAML mapping with keys such as {', '.join(KEYS[:3])}")
    for key in config:
        if key not in KEYS + MADE:
            raise Usage(f"{where}: no setting {key!r}{nearest(key, KEYS)}")
    return config


def load(recipe: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A recipe with dotted overrides `key.key=value` merged over it.

    An override of a part's name, `network=conv` or `network.name=conv`, takes that part's defaults: settings of the old one make no sense there.
    """
    from omegaconf import OmegaConf

    config = OmegaConf.create(read(find(recipe)))
    pairs = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise Usage(f"an override is key=value, such as train.batch=64, not {override!r}")
        if key.split(".")[0] not in KEYS:
            raise Usage(f"no setting {key.split('.')[0]!r}{nearest(key.split('.')[0], KEYS)}")
        pairs.append((key.removesuffix(".name") if key.split(".")[0] in PARTS else key, text))
    for key, text in sorted(pairs, key=lambda pair: pair[0].count(".")):  # names before the settings below them
        try:
            value = OmegaConf.from_dotlist([f"x={text}"]).x
            if isinstance(OmegaConf.select(config, key), Mapping) and isinstance(value, str):
                value = {"name": value}
            *above, _ = key.split(".")
            node = OmegaConf.select(config, ".".join(above)) if above else config
            if isinstance(node, str):  # `noise: cosine` is short for `noise: {name: cosine}`
                OmegaConf.update(config, ".".join(above), {"name": node})
            OmegaConf.update(config, key, value, merge=False, force_add=True)
        except Exception as error:
            raise Usage(f"cannot set {key}={text}: {' '.join(str(error).split())[:160]}") from error
    plain = checked(OmegaConf.to_container(config, resolve=True), recipe)
    if isinstance(plain.get("train"), Mapping):
        plain["train"] = one_length(plain["train"], {key.removeprefix("train.") for key, _ in pairs})
    return plain


def one_length(train: Mapping[str, Any], named: set[str]) -> dict[str, Any]:
    """The settings of training with the length that was named on the command line in place of the recipe's."""
    said = any(train.get(key) is not None for key in named.intersection(LENGTHS))
    return {key: value for key, value in train.items() if not said or key not in LENGTHS or key in named}


def dump(config: Mapping[str, Any]) -> str:
    """The settings as YAML, each part on one line."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


def difference(a: Any, b: Any, at: str = "") -> list[tuple[str, Any, Any]]:
    """Where two configs differ: (dotted key, value in a, value in b)."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return [d for key in {**a, **b} for d in difference(a.get(key), b.get(key), f"{at}.{key}" if at else key)]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in difference(x, y, f"{at}.{i}")]
    return [] if a == b else [(at, a, b)]
