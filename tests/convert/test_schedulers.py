"""Every field of every scheduler: diffusers' own loop draws what we draw, to 60 dB, or the field is refused by name."""

import inspect
import json
import re

import diffusers
import pytest
import torch

from fromnoise.config import Recipe
from fromnoise.convert.scheduler import SCHEDULERS, read
from fromnoise.errors import Problem
from fromnoise.model import draw
from fromnoise.networks import Network
from tests.parts import built

SHAPE = (1, 4, 4)
BETAS = torch.linspace(1e-4, 0.02, 1000).tolist()
BASES = {"PNDMScheduler": {"skip_prk_steps": True}}  # what each class is tried with; PNDM's own first steps we have not
VALUES = {  # of each field, what is tried beside its default; of fields that speak only beside others, with those
    "num_train_timesteps": [500, 2000],
    "beta_start": [0.001, 0.0, "small"],
    "beta_end": [0.012, 0.011, 0.03, 0.005],
    "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp", "nonsense"],
    "trained_betas": [{"trained_betas": BETAS, "num_train_timesteps": 900}]
    + [{"trained_betas": BETAS, "num_train_timesteps": 900, "use_karras_sigmas": True}]
    + [torch.linspace(2e-4, 0.018, 1000).tolist(), [0.1] * 10, "linear"],
    "prediction_type": ["v_prediction", "sample", "flow_prediction"],
    "steps_offset": [1, {"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing", "steps_offset": 1}, 0.5],
    "timestep_spacing": ["leading", "trailing", "linspace", "nonsense"],
    "rescale_betas_zero_snr": [True],
    "variance_type": ["fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"]
    + [{"variance_type": "fixed_large", "timestep_spacing": spacing} for spacing in ("trailing", "linspace")]
    + [{"variance_type": "fixed_large", "steps_offset": 1}],
    "clip_sample": [True, False, "yes"],
    "clip_sample_range": [{"clip_sample": True, "clip_sample_range": 0.5}, {"clip_sample": False, "clip_sample_range": 0.5}, "wide"],
    "thresholding": [True, {"thresholding": True, "clip_sample": True}],
    "dynamic_thresholding_ratio": [0.5, {"thresholding": True, "dynamic_thresholding_ratio": 0.5, "sample_max_value": 3.0}],
    "sample_max_value": [1.5, {"thresholding": True, "sample_max_value": 1.3}, {"thresholding": True, "sample_max_value": 0.5}],
    "set_alpha_to_one": [False, {"set_alpha_to_one": False, "steps_offset": 1}],
    "algorithm_type": ["dpmsolver", "sde-dpmsolver", "deis"]
    + [{"algorithm_type": "sde-dpmsolver++", "solver_order": order} for order in (1, 2, 3)],
    "solver_order": [1, 2, 3, {"solver_order": 3, "lower_order_final": False}],
    "solver_type": ["midpoint", "heun", "bh1", "bh2"],
    "lower_order_final": [False],
    "euler_at_final": [True],
    "use_karras_sigmas": [True, None]
    + [{"use_karras_sigmas": True, "timestep_spacing": spacing} for spacing in ("leading", "trailing")]
    + [{"use_karras_sigmas": True, "beta_schedule": betas} for betas in ("scaled_linear", "squaredcos_cap_v2")],
    "use_exponential_sigmas": [True],
    "use_beta_sigmas": [True],
    "use_lu_lambdas": [True],
    "use_flow_sigmas": [True],
    "flow_shift": [3.0, {"use_flow_sigmas": True, "flow_shift": 3.0}],
    "use_dynamic_shifting": [True],
    "time_shift_type": ["linear"],
    "final_sigmas_type": ["sigma_min", {"final_sigmas_type": "sigma_min", "use_karras_sigmas": True, "timestep_spacing": "trailing"}],
    "lambda_min_clipped": [-5.1],
    "predict_x0": [False],
    "disable_corrector": [[0]],
    "solver_p": ["DDIMScheduler"],
    "sigma_min": [0.1, {"use_karras_sigmas": True, "sigma_min": 0.1}],
    "sigma_max": [20.0, {"use_karras_sigmas": True, "timestep_spacing": "leading", "sigma_max": 20.0, "sigma_min": 0.05}],
    "shift_terminal": [0.02],
    "skip_prk_steps": [False, None],
    "interpolation_type": ["log_linear"],
    "timestep_type": ["continuous", {"timestep_type": "continuous", "prediction_type": "v_prediction"}],
}


def fields(kind: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(getattr(diffusers, kind).__init__).parameters
    return {name: p for name, p in parameters.items() if name != "self" and p.kind is not p.VAR_KEYWORD}


def cases() -> list:
    found = []
    for kind in SCHEDULERS:
        own, seen = fields(kind), []
        for field in own:
            for value in VALUES[field]:  # a field that diffusers adds is a KeyError here
                config = BASES.get(kind, {}) | (value if isinstance(value, dict) else {field: value})
                if config not in seen and config.keys() <= own.keys():
                    seen.append(config)
        found += [pytest.param(kind, config, id=f"{kind}-{str(config)[:70]}") for config in [BASES.get(kind, {}), *seen]]
    return found


class Toy(Network):
    """The noise that two blurs and a sharp picture were blended with, and more of it than there was, so that x0 goes beyond [-1, 1]."""

    dim = 1

    def __init__(self, kind: str = "epsilon"):
        super().__init__()
        self.kind, self.weight = kind, torch.nn.Parameter(torch.zeros(1))
        means = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
        self.register_buffer("means", means, persistent=False)

    @classmethod
    def fitting(cls, shape):
        return {}

    def forward(self, x, t, context=None):
        s = (t.double() + 0.001).reshape(-1, 1, 1, 1)  # DDPM's betas in continuous time
        signal = torch.exp(-9.95 * s.square() - 0.1 * s)
        alpha, sigma, x64 = signal.sqrt(), (1 - signal).sqrt(), x.double()
        spread = alpha**2 * 0.04 + sigma**2
        apart = x64[:, None] - alpha[:, None] * self.means
        weights = (-apart.square().flatten(2).sum(2) / (2 * spread.reshape(-1, 1))).softmax(1)
        x0 = (weights[..., None, None, None] * (self.means + 0.04 * alpha[:, None] / spread[:, None] * apart)).sum(1)
        x0 = 1.2 * x0 + 0.2 * torch.sin(20 * s) * (1 - s)
        eps = (x64 - alpha * x0) / sigma
        return {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - sigma * x0}[self.kind].float()


class Stream:
    """The same noise, in the same order, in both."""

    def __init__(self, *numbers):
        self.generator = torch.Generator().manual_seed(1)

    def __call__(self, x):
        return torch.randn(x.shape, generator=self.generator)


def theirs(scheduler, network: Toy, eps: torch.Tensor, steps: int) -> torch.Tensor:
    scheduler.set_timesteps(steps)
    x, words = eps * scheduler.init_noise_sigma, {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        words["generator"] = torch.Generator().manual_seed(1)
    for t in scheduler.timesteps:
        with torch.no_grad():
            out = network(scheduler.scale_model_input(x, t), t.reshape(1) / 1000)
        x = scheduler.step(out, t, x, **words).prev_sample
    return x


def ours(config: dict, kind: str, eps: torch.Tensor, steps: int, monkeypatch) -> torch.Tensor:
    process = read(config)
    model = built(Recipe.of({"network": {"name": "tests.convert.test_schedulers:Toy", "kind": kind}, **process}), SHAPE)
    monkeypatch.setattr(draw, "Seeded", Stream)
    model.eps = lambda *numbers: eps
    *_, (x, _) = model.trajectory(len(eps), steps=steps)
    return x


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """In dB, of pictures of which nothing is clipped away; the peak is 2 over [-1, 1], and more where they go beyond it."""
    peak = 2 * a.abs().max().clamp(min=1)
    return float(10 * torch.log10(peak**2 / (a - b).square().mean()))


@pytest.mark.parametrize(("kind", "config"), cases())
def test_a_field_draws_what_it_draws_in_diffusers_or_is_refused_by_name(kind, config, monkeypatch):
    written = {"_class_name": kind, **config}  # what is left out has the class's default
    try:
        read(written)
    except Problem as problem:
        named = [name for name, value in config.items() if f"{name} {value!r}"[:40] in str(problem)]
        assert named and "\n" not in str(problem)
        return
    scheduler = getattr(diffusers, kind)(**config)
    eps, predicts = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(2)), config.get("prediction_type", "epsilon")
    for steps in (12, 20):
        expected, found = theirs(scheduler, Toy(predicts), eps, steps), ours(written, predicts, eps, steps, monkeypatch)
        assert psnr(expected, found) > 60
    assert read(json.loads(scheduler.to_json_string())) == read(written)  # as save_pretrained writes it


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_the_fields_are_those_of_diffusers_with_its_defaults(kind):
    assert {name: p.default for name, p in fields(kind).items()} == {name: field.default for name, field in SCHEDULERS[kind][1].items()}


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("value", [True, 0.5, "word", [1]])
def test_a_field_that_nobody_knows_is_refused(kind, value):
    written = {"_class_name": kind, **BASES.get(kind, {})}
    with pytest.raises(Problem, match=re.escape(f"use_new_sigmas {value!r} of {kind}")):
        read({**written, "use_new_sigmas": value})
    assert read({**written, "use_new_sigmas": False}) == read(written)


def test_fields_of_another_class_that_from_config_left_are_as_little_read_as_in_diffusers():
    scheduler = diffusers.DDIMScheduler.from_config(diffusers.DPMSolverMultistepScheduler(solver_order=3, use_karras_sigmas=True).config)
    config = json.loads(scheduler.to_json_string())
    assert config["use_karras_sigmas"] and "rho" not in read(config)["noise"]
    clipped = {"_class_name": "HeunDiscreteScheduler", "clip_sample": True}
    assert read({**clipped, "thresholding": True}) == read(clipped)
    with pytest.raises(Problem, match="sigma_min 0.1 of Heun"):  # which diffusers reads, for all that it is no field of Heun's
        read({"_class_name": "HeunDiscreteScheduler", "use_karras_sigmas": True, "sigma_min": 0.1})


@pytest.mark.parametrize("kind", ["LMSDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", ["DDIMScheduler"]], ids=str)
def test_a_class_that_we_have_not_is_refused_with_a_cure(kind):
    with pytest.raises(Problem, match=r"_class_name .* has no counterpart here; .*DDIMScheduler.from_config"):
        read({"_class_name": kind})


def test_a_table_that_is_used_in_part_is_walked_from_where_it_ends(monkeypatch):
    """num_train_timesteps below the number of betas, as runs whose noise ends at high = 0.9 are exported."""
    config = {"num_train_timesteps": 900, "trained_betas": torch.linspace(1e-4, 0.02, 1000).tolist()}
    written, eps = {"_class_name": "DDPMScheduler", **config}, torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(2))
    assert read(written)["sample"]["steps"] == 900
    expected = theirs(diffusers.DDPMScheduler(**config), Toy(), eps, 12)
    assert psnr(expected, ours(written, "epsilon", eps, 12, monkeypatch)) > 60
