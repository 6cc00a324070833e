"""Independent code: the same numbers as diffusers' schedulers from the same network."""

import diffusers
import pytest
import torch

from fromnoise.diffusion import Level, Shifted, Table, predict
from fromnoise.samplers import walk

GENERATOR = torch.Generator().manual_seed(0)
W = torch.randn(12, 12, dtype=torch.float64, generator=GENERATOR) * 0.15
X = torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=GENERATOR)
KINDS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
BETAS = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}


def network(x, index):
    return torch.tanh(x.flatten(1) @ W + 0.001 * index).reshape(x.shape)


def theirs(scheduler, n, **options):
    scheduler.set_timesteps(n)
    x = X * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.step(network(scheduler.scale_model_input(x, t), t.double()), t, x, **options).prev_sample
    return x


def table_of(scheduler, **settings) -> Table:
    return Table(betas=lambda *_: scheduler.betas, **settings)  # theirs are float32


def denoiser(table, kind):
    def denoise(x, level):
        return predict.solve(kind, level, x, network(x / torch.hypot(level.alpha, level.sigma), table.index(level)))

    return denoise


def drawn(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return lambda x: torch.randn(x.shape, generator=generator, dtype=dtype).to(x)


def relative(a, b) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("final_one", [True, False])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_ddim(spacing, final_one, kind, eta):
    for n in (10, 50):
        peer = diffusers.DDIMScheduler(
            **BETAS, prediction_type=KINDS[kind], timestep_spacing=spacing, clip_sample=False, set_alpha_to_one=final_one
        )
        table = table_of(peer, spacing=spacing, final_one=final_one)
        ours = walk("ddim", denoiser(table, kind), X, table.levels(n), eta=eta, randn=drawn())
        assert relative(ours, theirs(peer, n, eta=eta, generator=torch.Generator().manual_seed(1))) < 1e-5


def test_ddim_with_stable_diffusions_settings():
    peer = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False, set_alpha_to_one=False
    )
    table = table_of(peer, offset=1, final_one=False)
    assert relative(walk("ddim", denoiser(table, "eps"), X, table.levels(50)), theirs(peer, 50)) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_ddpm(variance, kind):
    peer = diffusers.DDPMScheduler(**BETAS, prediction_type=KINDS[kind], clip_sample=False, variance_type=variance)
    table = table_of(peer)
    ours = walk("ddpm", denoiser(table, kind), X, table.levels(40), large=variance == "fixed_large", randn=drawn())
    assert relative(ours, theirs(peer, 40, generator=torch.Generator().manual_seed(1))) < 1e-5


SIGMAS = {
    "euler": (diffusers.EulerDiscreteScheduler, lambda s: s),
    "euler_ancestral": (diffusers.EulerAncestralDiscreteScheduler, lambda s: s),
    "heun": (diffusers.HeunDiscreteScheduler, lambda s: torch.cat([s[:1], s[1:-1:2], s[-1:]])),  # each but the ends is listed twice
}


@pytest.mark.parametrize("kind", ["eps", "v"])
@pytest.mark.parametrize("name", SIGMAS)
def test_euler_its_ancestral_kind_and_heun_in_the_ve_frame(name, kind):
    make, once = SIGMAS[name]
    peer = make(**BETAS, prediction_type=KINDS[kind], timestep_spacing="linspace")
    peer.set_timesteps(20)
    table = table_of(peer)
    levels = [Level(torch.ones((), dtype=torch.float64), sigma) for sigma in once(peer.sigmas.double())]
    ancestral = name == "euler_ancestral"
    options = {"randn": drawn()} if ancestral else {}
    ours = walk(name, denoiser(table, kind), X * peer.init_noise_sigma, levels, **options)
    # their Heun interpolates the index of a sigma in log sigma between float32 timesteps
    assert relative(ours, theirs(peer, 20, **({"generator": torch.Generator().manual_seed(1)} if ancestral else {}))) < 1e-5


MULTISTEP = {
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpmpp_3m": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 3}),
    "dpmpp_2m_sde": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "unipc": (diffusers.UniPCMultistepScheduler, {"solver_order": 2, "solver_type": "bh2"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MULTISTEP)
def test_multistep_solvers(name, kind):
    make, settings = MULTISTEP[name]
    peer = make(**BETAS, prediction_type=KINDS[kind], timestep_spacing="trailing", **settings)
    peer.set_timesteps(20)
    table = table_of(peer)
    levels = [Level(torch.ones_like(sigma), sigma).framed("vp") for sigma in peer.sigmas.double()]
    noisy = name == "dpmpp_2m_sde"
    options = {"randn": drawn(torch.float32)} if noisy else {}
    ours = walk(name, denoiser(table, kind), X, levels, **options)
    assert relative(ours, theirs(peer, 20, **({"generator": torch.Generator().manual_seed(1)} if noisy else {}))) < 1e-5


def test_flow_matching_euler():
    peer, n, x = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), 20, X
    peer.set_timesteps(n)
    for t in peer.timesteps:
        x = peer.step(network(x, t.double()), t, x).prev_sample

    def denoise(x, level):
        return predict.solve("velocity", level, x, network(x, 1000 * level.sigma))

    levels = [Level(1 - sigma, sigma) for sigma in peer.sigmas.double()]
    assert relative(walk("euler", denoise, X, levels), x) < 1e-5


def test_their_shifted_grid_is_ours_but_for_its_end():
    """diffusers shifts the smallest sigma twice; between the ends, at the same times, the grids agree."""
    peer = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)
    assert torch.allclose(Shifted(by=5.0)(torch.linspace(1, 0.001, 1000)).sigma, peer.sigmas.double(), atol=1e-6)
