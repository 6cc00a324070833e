"""The README's programs run, and what it names is there."""

import re
from pathlib import Path

import torch

from fromnoise import config
from fromnoise.cli.main import app

README = (Path(__file__).parent.parent / "README.md").read_text()


def programs() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_ten_line_program_draws_moons():
    from fromnoise import moons

    program = programs()[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 11
    torch.manual_seed(0)
    room: dict = {}
    exec(program.replace("steps=2000", "steps=500"), room)
    data = moons().get(torch.arange(4096))["x"]
    far = torch.cdist(torch.randn(1000, 2), data).amin(1).mean()
    assert torch.cdist(room["samples"], data).amin(1).mean() < far / 8


def test_the_commands_of_the_readme_exist():
    import typer

    group = typer.main.get_command(app)
    for line in re.findall(r"^fromnoise ([a-z]+)(?: ([a-z]+))?", README, re.M):
        command = group.commands[line[0]]  # type: ignore[attr-defined]
        if line[0] in ("show", "data", "edit"):
            assert line[1] in command.commands
    for recipe in re.findall(r"^fromnoise train (\w+)(?:\s|$)", README, re.M):
        config.find(recipe)


def test_the_pictures_of_the_readme_are_there():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README) + re.findall(r'src="([^"]+)"', README):
        assert (Path(__file__).parent.parent / picture).is_file(), picture
