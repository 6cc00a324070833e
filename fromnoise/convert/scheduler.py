"""diffusers' schedulers as ours: every field of each class that we take, which values it may have, and how a recipe says them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ..diffusion import Table
from ..errors import Problem
from . import field
from .field import Config, Field, Said, flag, number, only, word

STEPS = 1000  # to which the network's clock is scaled, in both libraries
BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}  # theirs: ours
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
FILE = "scheduler_config.json"
refuse = partial(field.refuse, FILE)

# What several fields say together


def _steps(value: Any, config: Config) -> Said:
    """A table shorter than the clock's is the beginning of one of as many steps as that has."""
    if value != STEPS and len(config["trained_betas"] or ()) != STEPS:
        raise refuse("num_train_timesteps", config, f"is no part of a table of {STEPS} steps, to which the network's time is taken to run")
    return {"noise.steps": STEPS} | ({"noise.high": value / STEPS} if value < STEPS else {})


def _betas(value: Any, config: Config) -> Said:
    return {} if value is None else {"noise.betas": [float(beta) for beta in value]}


def _number_or_none(value: Any) -> bool:
    return value is None or number(1.0).takes(value)


def _offset(value: Any, config: Config) -> Said:
    return {"noise.offset": int(value)} if config["timestep_spacing"] == "leading" and value else {}  # other spacings do not read it


def _static(keep: bool) -> Callable[[Any, Config], Said]:
    """Clipping of x0, after which DDIM keeps the network's eps (`use_clipped_model_output` of its step is False), all others derive it anew."""

    def says(value: Any, config: Config) -> Said:
        if not value or config.get("thresholding"):
            return {}
        own = {"bound": float(config["clip_sample_range"])} if config["clip_sample_range"] != 1 else {}
        return {"sample.clip": {"name": "static", **own, **({"keep_eps": True} if keep else {})} if own or keep else "static"}

    return says


def _dynamic(keep: bool) -> Callable[[Any, Config], Said]:
    def says(value: Any, config: Config) -> Said:
        own = {"share": float(config["dynamic_thresholding_ratio"]), "most": float(config["sample_max_value"])}
        return {"sample.clip": {"name": "dynamic", **own, **({"keep_eps": True} if keep else {})}} if value else {}

    return says


def _variance(value: Any, config: Config) -> Said:
    ends = config["timestep_spacing"] == "linspace" or (config["timestep_spacing"] == "leading" and config["steps_offset"] == 0)
    if value == "fixed_large" and not ends:
        raise refuse("variance_type", config, "adds noise to the finished picture unless the walk ends at index 0, which fromnoise does not do")
    return {"sample.options": {"large": True}} if value == "fixed_large" else {}


def _skip(value: Any, config: Config) -> Said:
    if not value:
        raise refuse("skip_prk_steps", config, "begins with Runge and Kutta's steps, which fromnoise has not; set it to true, or save with DDIMScheduler")
    return {}


def _solver(value: Any, config: Config) -> Said:
    solver = SOLVERS.get((config["algorithm_type"], value))
    if solver is None:
        raise refuse("solver_order", config, f"with algorithm_type {config['algorithm_type']!r} has no counterpart here")
    return {"sample.name": solver} | ({"sample.options": {"short": 15}} if solver == "dpmpp_3m" and config["lower_order_final"] else {})


def _karras(whole: bool) -> Callable[[Any, Config], Said]:
    """Karras' levels, between the ends of the spacing, or of the table (`whole`) and then with whole indices as the network's time."""

    def says(value: Any, config: Config) -> Said:
        for key in ("sigma_min", "sigma_max"):
            if value and config.get(key) is not None:
                raise refuse(key, config)
        if value and whole and config["num_train_timesteps"] != STEPS:
            raise refuse("num_train_timesteps", config, "with use_karras_sigmas has no counterpart here")
        if value and whole and config["beta_schedule"] == "squaredcos_cap_v2":
            raise refuse("use_karras_sigmas", config, "with beta_schedule 'squaredcos_cap_v2' gives the network one time for several levels")
        return ({"noise.rho": 7.0} | ({"noise.whole": True, "noise.spacing": "even", "noise.offset": 0} if whole else {})) if value else {}

    return says


def _start(value: Any, config: Config) -> Said:
    """Where Euler's and Heun's schedulers start from sigma eps, we do from a blend of unit variance: the same where little is left of x0."""
    alpha = float(_table(config).at(config["num_train_timesteps"] - 1).alpha)
    if value != "leading" and alpha > 0.07:
        key = "trained_betas" if config["trained_betas"] else "beta_end"
        raise refuse(key, config, f"leaves {alpha:.2g} of x0 at the noisiest level, where fromnoise starts from more noise")
    return {"noise.spacing": SIGMAS[value]}


def _table(config: Config) -> Table:
    said = {key: value for name in PROCESS for key, value in PROCESS[name].says(config[name], config).items() if key.startswith("noise.")}
    return Table(**{key.removeprefix("noise."): value for key, value in said.items()})


# Every field of every class

INDICES = {"leading": "leading", "trailing": "trailing", "linspace": "linspace"}
SIGMAS = {"leading": "leading", "trailing": "trailing", "linspace": "even"}
OPEN = {"leading": "leading_open", "trailing": "trailing", "linspace": "linspace_open"}
SOLVERS = {
    ("dpmsolver++", 1): "ddim", ("dpmsolver++", 2): "dpmpp_2m", ("dpmsolver++", 3): "dpmpp_3m",
    ("sde-dpmsolver++", 1): "ddpm", ("sde-dpmsolver++", 2): "dpmpp_2m_sde",
}  # fmt: skip
PROCESS = {
    "num_train_timesteps": Field(STEPS, lambda value: type(value) is int and 1 <= value <= STEPS, _steps, f"a whole number up to {STEPS}"),
    "beta_start": number(1e-4, "noise.start", 0, 1), "beta_end": number(0.02, "noise.end", 0, 1), "beta_schedule": word("noise.betas", BETAS, "linear"),
    "trained_betas": Field(
        None, lambda value: value is None or (isinstance(value, list) and len(value) == STEPS and all(map(number(0.5).takes, value))), _betas,
        f"None or {STEPS} numbers",
    ),
    "prediction_type": word("predict", PREDICTIONS, "epsilon"),
    "steps_offset": Field(0, lambda value: type(value) is int and value >= 0, _offset, "a whole number from 0"),
}  # fmt: skip
SNR = {"rescale_betas_zero_snr": only(False)}


def _clips(keep: bool, clipped: bool | None, thresholded: bool) -> dict[str, Field]:
    static = {"clip_sample": flag(bool(clipped), _static(keep)), "clip_sample_range": number(1.0, above=0)} if clipped is not None else {}
    ratio, most = number(0.995, above=0, most=1), number(1.0, above=0)
    dynamic = {"thresholding": flag(False, _dynamic(keep)), "dynamic_thresholding_ratio": ratio, "sample_max_value": most}
    return static | (dynamic if thresholded else {})


SPACED = {"use_exponential_sigmas": only(False), "use_beta_sigmas": only(False)}
FLOW = {
    "use_flow_sigmas": only(False), "flow_shift": number(1.0), "use_dynamic_shifting": only(False), "time_shift_type": only("exponential"),
}  # fmt: skip
EULER = PROCESS | SNR | {"timestep_spacing": Field("linspace", lambda value: value in list(SIGMAS), _start, ", ".join(SIGMAS))}
SOLVER = PROCESS | SNR | SPACED | FLOW | _clips(False, None, True) | {
    "timestep_spacing": word("noise.spacing", OPEN, "linspace"), "use_karras_sigmas": flag(False, _karras(whole=True)), "final_sigmas_type": only("zero"),
}  # fmt: skip
KARRAS = {"use_karras_sigmas": flag(False, _karras(whole=False))}

SCHEDULERS: dict[str, tuple[Said, dict[str, Field]]] = {  # theirs: what it always says, and its fields
    "DDPMScheduler": ({"sample.name": "ddpm", "sample.steps": 1000}, PROCESS | SNR | _clips(False, True, True) | {
        "beta_schedule": word("noise.betas", BETAS | {"sigmoid": "sigmoid"}, "linear"),
        "timestep_spacing": word("noise.spacing", INDICES, "leading"),
        "variance_type": Field("fixed_small", lambda value: value in ("fixed_small", "fixed_small_log", "fixed_large"), _variance, "fixed_small or fixed_large"),
    }),
    "DDIMScheduler": ({"sample.name": "ddim", "sample.steps": 50}, PROCESS | SNR | _clips(True, True, True) | {
        "timestep_spacing": word("noise.spacing", {"leading": "leading", "trailing": "trailing"}, "leading"),  # linspace: its steps are not its indices'
        "set_alpha_to_one": flag(True, lambda value, config: {"noise.final_one": value}),
    }),
    "PNDMScheduler": ({"sample.name": "plms", "sample.steps": 50}, PROCESS | {
        "prediction_type": word("predict", {"epsilon": "eps"}, "epsilon"),  # of v it averages v, where we average eps
        "timestep_spacing": word("noise.spacing", {"leading": "leading"}, "leading"),  # of others its steps are not its indices'
        "set_alpha_to_one": flag(False, lambda value, config: {"noise.final_one": value}), "skip_prk_steps": flag(False, _skip),
    }),
    "DPMSolverMultistepScheduler": ({"sample.name": "dpmpp_2m", "sample.steps": 20}, SOLVER | {
        "algorithm_type": only("dpmsolver++", "sde-dpmsolver++"), "solver_type": only("midpoint"), "variance_type": only(None),
        "solver_order": Field(2, lambda value: value in (1, 2, 3), _solver, "1, 2 or 3"), "lower_order_final": flag(True), "euler_at_final": flag(False),
        "use_lu_lambdas": only(False), "lambda_min_clipped": only(-math.inf),
    }),
    "UniPCMultistepScheduler": ({"sample.name": "unipc", "sample.steps": 20}, SOLVER | {
        "solver_order": only(2), "solver_type": only("bh2"), "predict_x0": only(True), "lower_order_final": only(True), "disable_corrector": only([]),
        "solver_p": only(None), "sigma_min": only(None), "sigma_max": only(None), "shift_terminal": only(None),
    }),
    "EulerDiscreteScheduler": ({"sample.name": "euler", "sample.steps": 50}, EULER | SPACED | KARRAS | {
        "interpolation_type": only("linear"), "timestep_type": only("discrete"),
        "sigma_min": Field(None, _number_or_none), "sigma_max": Field(None, _number_or_none),  # which only Karras' levels read
        "final_sigmas_type": word("noise.final_one", {"zero": True, "sigma_min": False}, "zero"),
    }),
    "EulerAncestralDiscreteScheduler": ({"sample.name": "euler_ancestral", "sample.steps": 50}, EULER | {
        "prediction_type": word("predict", {"epsilon": "eps", "v_prediction": "v"}, "epsilon"),
    }),
    "HeunDiscreteScheduler": (
        {"sample.name": "heun", "sample.steps": 25, "sample.options": {"frame": "ve"}},
        {key: field for key, field in EULER.items() if key not in SNR} | SPACED | KARRAS | _clips(False, False, False)
        | {"beta_start": number(0.00085, "noise.start", 0, 1), "beta_end": number(0.012, "noise.end", 0, 1)},
    ),
}  # fmt: skip
OLD = {"predict_epsilon": only(True), "tensor_format": only("pt", "np"), "timestep_values": only(None)}  # fields that diffusers once had
OTHERS = {key for _, fields in SCHEDULERS.values() for key in fields}  # which a class that has them not does not read, here or there

READ_BY_ALL = ("sigma_min", "sigma_max")  # by Karras' levels, of every class, whether or not it is a field of that


def notes(config: Config) -> list[str]:
    """What is to be said of a scheduler_config.json that is taken."""
    kind = str(config.get("_class_name", "DDPMScheduler"))
    found = field.off(FILE, config, {*OTHERS, *OLD, *SCHEDULERS[kind][1]})
    if kind == "DDIMScheduler" and config.get("timestep_spacing") == "trailing":
        trained = config.get("num_train_timesteps", STEPS)
        found.append(f"{FILE}: trailing steps of {kind} are diffusers' where their number divides {trained}; else its steps do not reach its own indices")
    return found


def read(config: Config) -> dict[str, Any]:
    """predict, noise and sample of a recipe from a scheduler_config.json; raises Problem for each field that cannot be honoured.

    What the file leaves out has the default of its class; `notes` says what else is to be known.
    """
    kind = str(config.get("_class_name", "DDPMScheduler"))
    if kind not in SCHEDULERS:
        cure = "save the pipeline with another, as in DDIMScheduler.from_config(pipeline.scheduler.config)"
        raise Problem(f"scheduler_config.json: _class_name {kind!r} has no counterpart here; {cure}; known are {', '.join(SCHEDULERS)}")
    always, fields = SCHEDULERS[kind]
    found = field.checked(FILE, {**config, "_class_name": kind}, fields | OLD, OTHERS)
    full = {key: found[key] for key in (*fields, "_class_name", *READ_BY_ALL) if key in found}
    said = {"noise.name": "table", **always}
    for key, part in fields.items():
        said |= part.says(full[key], full)
    said["sample.steps"] = min(said["sample.steps"], full["num_train_timesteps"])
    parts: dict[str, Any] = {}
    for place, value in said.items():
        part, _, key = place.partition(".")
        if key:
            parts.setdefault(part, {})[key] = value
        else:
            parts[part] = value
    return parts
