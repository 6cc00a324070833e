"""`fromnoise edit …`: pictures changed by one's own model, without training it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from ..errors import Usage
from ..progress import bar
from . import lib, words
from .command import command, edit_app, flag
from .options import DataOptions, DrawOptions, Number, Option, Out, SamplingOptions
from .show import WayOptions
from .words import unused

Results = Annotated[Path, Option("--out", "-o", help="FILE.png: the results beside the picture; FILE.npz or FOLDER/: the results alone.")]
Samples = Annotated[Path, Option("--out", "-o", help="FILE.png, FILE.npz or FOLDER/, as for `sample`.")]
Strength = Annotated[float, Option("--strength", help="How far the picture is taken back to noise, 0 to 1.")]
Turned = Annotated[float, Option("--strength", help="How far its noise is turned to fresh noise: 0 the picture, 1 another.")]
Mask = Annotated[str, Option("--mask", help="X,Y,W,H: a box of the model's pixels to make new; or a picture file, bright there.")]
Iterations = Annotated[int, Option("--iterations", help="Evaluations a step on the way up; 1 is plain DDIM inversion.", min=1, max=1000)]
Seeds = Annotated[str | None, Option("--seeds", help="In place of pictures: seeds with commas, as in `show interpolate`.")]
Label = Annotated[str, Option("--label", "-l", help="A class of the run's data: number or name; several with commas, in turn.")]
Scale = Annotated[float, Option("--scale", "-s", help="The classifier's weight; 1 is Bayes' rule.")]
Features = Annotated[str, Option("--features", help="The classifier: cnn (trained once on the run's data and kept), or weights.")]
IN_ALL = "How many frames in all; half a window more than are given, or two windows where none are, unless said."
Frames = Annotated[int | None, Option("--frames", help=IN_ALL, min=1, max=100_000)]
FIRST = "How many of its first frames are known; of --clip all, of --example half of the model's length unless said."
Given = Annotated[int | None, Option("--given", help=FIRST, min=1)]
Overlap = Annotated[int | None, Option("--overlap", help="How many frames a window knows of the one before; half of its length unless said.", min=1)]
OTHERS = ("image", "mask", "control", "init", "strength", "source")  # other ways to say what is made of pictures
INVERTED = {"sampler": "ddim", "options": {}, "clip": "none"}  # what brings an inverted picture back,
FIXED = (*OTHERS, "sampler", "option", "clip", "interval", "rescale", "against")  # and so is not to be chosen


@dataclass(frozen=True, kw_only=True)
class EditOptions(DrawOptions):
    """A trained model of pictures, the pictures to edit, and how samples are drawn."""

    run: DataOptions
    files: list[Path] | None = flag("A picture file, cropped and resized to the model's size.", "--image", "-i")
    example: list[int] | None = flag("In place of --image, a held-out example of the run's data, by its number.")

    def pictures(self, count: int | None = None) -> "lib.torch.Tensor":
        """The pictures named by file and by number, (n, C, H, W) in [-1, 1]; raises Usage where there are none, or not `count` of them."""
        files, examples = self.files or [], self.example or []
        found = len(files) + len(examples)
        if not found or count not in (None, found):
            what, others = "one picture" if count == 1 else "a picture", f", not {found} of them" if found else ""
            raise Usage(f"name {what}: --image FILE, or --example NUMBER{others}")
        shape = self.run.model.shape
        parts = [lib.pictures.picture(file, shape[0], shape, self.run.recipe.data)[None] for file in files]
        for number in examples:
            held_out = self.run.data[1]
            if not 0 <= number < len(held_out):
                raise Usage(f"there is no held-out example {number}: {held_out.name} has 0 to {len(held_out) - 1:,}")
            parts.append(held_out.get(lib.torch.tensor([number]))["x"].float().cpu())
        return lib.torch.cat(parts)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises Usage where a model's examples cannot be edited."""
        if len(shape) != 3:
            raise Usage(f"this model makes examples of shape {shape}, no pictures, so there are none to edit")

    def chosen(self, n: int | None, varied: bool = False, **words: Any) -> tuple["lib.model.Sampling", dict[str, Any]]:
        """(how to draw, the conditions of n samples): those that are not given are none, and without any there is nothing to guide by."""
        model = self.run.model
        self.check(model.shape)
        if not self.example:
            unused("no held-out example is named", "name one by --example", root=self.run.root)
        how, given = super().chosen(n, True, **words)
        given = model.unconditional(**given)
        if all(value is None for value in given.values()) and how.weak is None and not how.negative:
            if self.sampling.guidance not in (None, 1):
                raise Usage("guidance leads to a condition; give one by --label or --text, or leave --guidance out")
            how = replace(how, guidance=1.0)
        self.sampling.check_used(model, how)
        return how, given


@dataclass(frozen=True, kw_only=True)
class ClipOptions(EditOptions):
    """A trained model of clips or signals, one to go on from, and how samples are drawn."""

    files: list[Path] | None = flag("A clip to go on from: GIF, WebP, APNG, mp4 and the like, or a folder of numbered frames.", "--clip")
    example: list[int] | None = flag("In place of --clip, a held-out example of the run's data, by its number.")

    def known(self) -> "lib.torch.Tensor | None":
        """The clip (1, C, T, *S) to go on from, where one is named; raises Usage for several."""
        if not (self.files or self.example):
            return None
        if len([*(self.files or []), *(self.example or [])]) > 1:
            raise Usage("name one clip to go on from: --clip FILE, or --example NUMBER")
        return lib.pictures.clip(self.files[0], self.run.model.shape, self.run.recipe.data)[None] if self.files else self.pictures(1)

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2:
            raise Usage(f"this model makes examples of shape {shape}, points, which have no frames")


@command(edit_app, "edit sdedit runs/mnist --image sketch.png --strength 0.5 --label 3", without=OTHERS)
def sdedit(edit: EditOptions, strength: Strength = 0.6, n: Number = 8, out: Results = Path("sdedit.png")) -> None:
    """A picture noised part of the way and drawn anew from there (Meng et al. 2022): its layout stays, its details are the model's."""
    lib.figures.check(out, "", ".npz")
    how, given = edit.chosen(n, strength=strength)
    picture = edit.pictures(1)
    lib.pictures.write_beside(edit.run.model.sample(n, replace(how, init=picture), **given), out, picture)


@command(edit_app, "edit inpaint runs/mnist --example 0 --mask 0,14,28,14", "edit inpaint runs/faces --image me.png --mask hole.png --sampler ddim",
         without=OTHERS, sampler="repaint", steps=50)  # fmt: skip
def inpaint(edit: EditOptions, mask: Mask, n: Number = 8, out: Results = Path("inpaint.png")) -> None:
    """A part of a picture made new, n times; the rest stays, pixel for pixel. repaint goes back and forth until both agree; others are faster."""
    lib.figures.check(out, "", ".npz")
    how, given = edit.chosen(n)
    hole = lib.pictures.mask(mask, edit.run.model.shape, edit.run.recipe.data)
    picture = edit.pictures(1)
    lib.pictures.write_beside(lib.editing.inpaint(edit.run.model, picture, hole, n, how, **given), out, picture, picture * (1 - hole))


@command(edit_app, "edit invert runs/mnist --example 0 --example 1", without=(*FIXED, "seed"), steps=50, guidance=1.0)
def invert(edit: EditOptions, iterations: Iterations = 5, out: Out = Path("invert.png")) -> None:
    """Pictures, the noise that DDIM would draw them from, and what it draws from it, with the PSNR. Guidance 1 is exact; more pulls them apart."""
    lib.figures.check(out)
    how, given = edit.chosen(None, **INVERTED)
    pictures = edit.pictures()
    noise = lib.editing.invert(edit.run.model, pictures, how, iterations, **given)
    back = edit.run.model.sample(len(noise), replace(how, start=noise), **given).float().cpu()
    decibels = [f"{value:.1f} dB" for value in lib.evaluation.psnr(back, pictures).tolist()]
    noisiest = edit.run.model.sampling_schedule(how).levels(how.steps)[0]
    print(lib.figures.write(lib.figures.inverted(pictures, noise, back, noisiest, decibels), out))
    print(f"PSNR of the reconstruction: {', '.join(decibels)}")


@command(edit_app, "edit interpolate runs/mnist --example 0 --example 3", "edit interpolate runs/mnist --image a.png --image b.png -o walk.gif",
         without=(*FIXED, "seed"), steps=50, guidance=1.0)  # fmt: skip
def interpolate(edit: EditOptions, way: WayOptions, seeds: Seeds = None) -> None:
    """What lies between pictures: each is taken up to its noise, and samples are drawn between those noises."""
    how, given = edit.chosen(None, **INVERTED)
    if seeds is None:
        pictures = edit.pictures()
        if len(pictures) < 2:
            raise Usage("name at least two pictures: --image or --example twice, or --seeds 0,1")
        noises = lib.editing.invert(edit.run.model, pictures, how, **given)[:, None]
        ends = [*(file.name for file in edit.files or []), *(f"example {number}" for number in edit.example or [])]
    elif edit.files or edit.example:
        raise Usage("interpolate between pictures or between seeds; leave one of them out")
    else:
        noises, ends = lib.pictures.noises_of(edit.run.model, seeds, 1)
    way.write(edit.run.model, noises, ends, sampling=how, **given)


@command(edit_app, "edit vary runs/mnist --example 0 --strength 0.3", without=FIXED, steps=50, guidance=1.0)
def vary(edit: EditOptions, strength: Turned = 0.2, n: Number = 8, out: Results = Path("vary.png")) -> None:
    """Variations of a picture: taken up to its noise, the noise changed a little, and drawn again."""
    lib.figures.check(out, "", ".npz")
    how, given = edit.chosen(None, **INVERTED)
    picture = edit.pictures(1)
    lib.pictures.write_beside(lib.editing.vary(edit.run.model, picture, n, strength, how, **given), out, picture)


@command(edit_app, "edit steer runs/unconditional --label 3,8 -n 16 --scale 5",
         without=("guidance", "interval", "rescale", "against"), sampler="ddpm", steps=50)  # fmt: skip
def steer(run: DataOptions, sampling: SamplingOptions, label: Label, scale: Scale = 5.0, n: Number = 16, features: Features = "cnn",
          out: Samples = Path("steer.png")) -> None:  # fmt: skip
    """Classifier guidance: samples of a class, led by the classifier that `evaluate` uses; the model itself need not know classes."""
    lib.figures.check(out, "", ".npz")
    model, (train, test) = run.model, run.data
    lib.evaluation.check_data(model, train)
    if len(train.classes) < 2:
        raise Usage("the run's data has no classes, so there is nothing to steer to")
    numbers = lib.conditions.class_numbers(label, train.classes)
    if not all(0 <= number < len(train.classes) for number in numbers):
        raise Usage(f"the data knows the classes 0 to {len(train.classes) - 1}, not {label}")
    labels, how = lib.torch.tensor(words.in_turn("label", numbers, n)).expand(n), sampling.sampling(run, guidance=1.0)
    net = lib.evaluation.load_classifier(features, train, test, model.device)
    made = lib.editing.steer(model, labels, lambda x: net(x)[1], scale, sampling=how, **model.unconditional())
    print(lib.figures.write_samples(made.float().cpu(), out, {"label": labels}, train.classes))


@command(edit_app, "edit extend runs/moving_digits --frames 64 -n 8 -o long.gif", "edit extend runs/moving_digits --example 0 --given 4 -o goes_on.gif",
         "edit extend runs/mine --clip start.mp4 --frames 100 -o film.mp4",
         without=OTHERS)  # fmt: skip
def extend(edit: ClipOptions, frames: Frames = None, given: Given = None, overlap: Overlap = None, n: Number = 8, out: Samples = Path("extend.png")) -> None:
    """Clips that go on from known frames, in windows of the model's own length: those of a clip, of a held-out example, or of samples where none is named."""
    model, recipe = edit.run.model, edit.run.recipe
    lib.figures.check(out, "", ".npz", *lib.figures.endings(model.shape, recipe.medium))
    how, said = edit.chosen(n)
    half, known = max(1, model.shape[1] // 2), edit.known()
    if known is None:
        unused("no clip is named, whose first frames they would be", "name one by --clip or --example", given=given)
        total = frames or 2 * model.shape[1]
    else:
        most, given = known.shape[2], given or (known.shape[2] if edit.files else half)
        total = frames or max(model.shape[1], given + half)
        if not given < total or given > most:
            raise Usage(f"--given is 1 to {min(most, total - 1)} of the clip's {most} frames, fewer than --frames ({total}), not {given}")
        known = known[:, :, :given]
    with bar("extending", total) as advance:
        made = lib.editing.extend(model, known, total, n, overlap, how, advance, **said).float().cpu()
    print(lib.figures.write_samples(made, out, model.with_defaults(n, said), model.classes, recipe))
