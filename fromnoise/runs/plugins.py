"""Parts of one's own: their files go with the run."""

import importlib.util
import shutil
import sys
from pathlib import Path

from ..config import Recipe
from ..registry import plugins

FOLDER = "plugins"


def keep_plugins(run: Path, recipe: Recipe) -> None:
    """Copies the files of the recipe's own parts (`module:Name`) into the run's plugins/, so that it tells how it was made."""
    for module in modules(recipe):
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and Path(file).is_file():
            target = kept(run, module)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def import_plugins(run: Path, recipe: Recipe) -> None:
    """Makes the recipe's own parts importable from the run's copies, where they are found nowhere else. It runs their code: for trusted runs."""
    for module in modules(recipe):
        if kept(run, module).is_file() and not _found(module):
            spec = importlib.util.spec_from_file_location(module, kept(run, module))
            assert spec is not None and spec.loader is not None  # a .py file has both
            sys.modules[module] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[module])


def modules(recipe: Recipe) -> list[str]:
    """The modules of the recipe's own parts."""
    node = {key: part for key, part in recipe.as_dict().items() if key not in ("base", "classes")}
    return sorted({name.partition(":")[0] for name in plugins(node)})


def kept(run: Path, module: str) -> Path:
    """Where a module's file is kept."""
    return run / FOLDER / Path(*module.split(".")).with_suffix(".py")


def _found(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that is not there
        return False
