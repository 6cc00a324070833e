"""The papers' algorithms in their own letters; they know nothing of fromnoise. `net` stands for a trained network."""

import math

import pytest
import torch

from fromnoise.diffusion import Cosine, Flow, Karras, Level, Table, predict
from fromnoise.samplers import walk

GENERATOR = torch.Generator().manual_seed(0)
W = torch.randn(6, 6, dtype=torch.float64, generator=GENERATOR) * 0.4
X = torch.randn(5, 2, 3, dtype=torch.float64, generator=GENERATOR)
NOISE = torch.randn(1000, 5, 2, 3, dtype=torch.float64, generator=GENERATOR)

BETA = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
ABAR = (1 - BETA).cumprod(0)


def net(x, t):
    return torch.tanh(x.flatten(1) @ W + 0.7 * float(t)).reshape(x.shape)


def eps_denoiser(table):
    def denoise(x, level):
        return predict.solve("eps", level, x, net(x, table.index(level) / 1000))

    return denoise


def noise():
    draws = iter(NOISE)
    return lambda x: next(draws)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_is_algorithm_2(variance):
    """x_t-1 = 1/sqrt(alpha_t) (x_t - beta_t / sqrt(1 - abar_t) eps_theta) + sigma_t z (Ho et al. 2020)."""
    x = X
    draw = noise()
    for t in reversed(range(1000)):
        z = draw(x) if t > 0 else 0.0
        tilde = BETA[t] * (1 - ABAR[t - 1]) / (1 - ABAR[t]) if t > 0 else 0.0
        sigma = math.sqrt(BETA[t] if variance == "large" else tilde)
        x = (x - BETA[t] / (1 - ABAR[t]).sqrt() * net(x, t / 1000)) / (1 - BETA[t]).sqrt() + sigma * z
    ours = walk("ddpm", eps_denoiser(Table()), X, Table().levels(1000), large=variance == "large", randn=noise())
    assert torch.allclose(ours, x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_is_equation_12_with_the_sigma_of_16(eta, steps):
    """x_tau-1 = sqrt(a') (x - sqrt(1-a) eps)/sqrt(a) + sqrt(1 - a' - sigma²) eps + sigma z (Song et al. 2021; their alpha is abar)."""
    tau = list(range(0, 1000, 1000 // steps))
    x, draw = X, noise()
    for i in reversed(range(steps)):
        a, was = ABAR[tau[i]], ABAR[tau[i - 1]] if i else torch.tensor(1.0).double()
        sigma = eta * ((1 - was) / (1 - a)).sqrt() * (1 - a / was).sqrt()
        e = net(x, tau[i] / 1000)
        x0 = (x - (1 - a).sqrt() * e) / a.sqrt()
        x = was.sqrt() * x0 + (1 - was - sigma**2).clamp(min=0).sqrt() * e + (sigma * draw(x) if eta and i else 0.0)
    assert close(walk("ddim", eps_denoiser(Table()), X, Table().levels(steps), eta=eta, randn=noise()), x)


def edm_denoiser(x, level):
    sigma = level.sigma / level.alpha
    x0 = 0.5 * net(x / (level.alpha * (1 + sigma**2).sqrt()), sigma.log() / 4)
    return x0, level.eps(x, x0)


@pytest.mark.parametrize(("churn", "low", "high", "s_noise"), [(0, 0, math.inf, 1), (40, 0.05, 50, 1.003), (80, 0, math.inf, 1)])
def test_edm_is_algorithm_2(churn, low, high, s_noise):
    """Karras et al. (2022), algorithm 2, with S_churn, S_tmin, S_tmax, S_noise."""
    N, draw = 18, noise()
    t = [(80 ** (1 / 7) + i / (N - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(N)] + [0.0]

    def D(x, sigma):
        return 0.5 * net(x / math.sqrt(1 + sigma**2), math.log(sigma) / 4)

    x = 80.0 * X
    for i in range(N):
        gamma = min(churn / N, math.sqrt(2) - 1) if low <= t[i] <= high else 0.0
        t_hat = t[i] + gamma * t[i]
        x_hat = x + (math.sqrt(t_hat**2 - t[i] ** 2) * s_noise * draw(x) if gamma else 0.0)
        d = (x_hat - D(x_hat, t_hat)) / t_hat
        x = x_hat + (t[i + 1] - t_hat) * d
        if t[i + 1] != 0:
            d_prime = (x - D(x, t[i + 1])) / t[i + 1]
            x = x_hat + (t[i + 1] - t_hat) * (d / 2 + d_prime / 2)
    options = {"churn": churn, "churn_min": low, "churn_max": high, "churn_noise": s_noise}
    assert close(walk("edm", edm_denoiser, 80.0 * X, Karras().levels(N), randn=noise(), **options), x)


def test_edm_without_churn_is_heun():
    levels = Karras().levels(10)
    assert torch.equal(walk("edm", edm_denoiser, 80 * X, levels), walk("heun", edm_denoiser, 80 * X, levels))


def test_iadb_is_the_loop_of_alpha_blending():
    """x_a + (a' - a) D(x_a, a), a from 0 to 1 (Heitz et al. 2023, algorithm 4); a = 0 is noise there."""
    T, x = 32, X
    for t in range(T):
        a, a_next = t / T, (t + 1) / T
        x = x + (a_next - a) * net(x, a)

    def denoise(x, level):
        return predict.solve("iadb", level, x, net(x, level.alpha))

    assert close(walk("iadb", denoise, X, Flow().levels(T)), x)


@pytest.mark.parametrize("grid", [Cosine(high=0.99), Flow(high=0.99)])
def test_dpmpp_2m_is_algorithm_2(grid):
    """Lu et al. (2022), DPM-Solver++(2M): lambda = log(alpha / sigma), D = (1 + 1/(2r)) x_theta - 1/(2r) x_theta before."""
    levels = grid.levels(12)
    alpha, sigma = [float(v.alpha) for v in levels], [float(v.sigma) for v in levels]
    lam = [math.log(a / s) for a, s in zip(alpha[:-1], sigma[:-1], strict=True)]

    def x_theta(x, i):
        return net(x / math.hypot(alpha[i], sigma[i]), lam[i] / 8)

    x, Q, h_was = X, None, None
    for i in range(1, 12):
        h = lam[i] - lam[i - 1]
        now = x_theta(x, i - 1)
        D = now if Q is None else (1 + h / (2 * h_was)) * now - h / (2 * h_was) * Q
        x = sigma[i] / sigma[i - 1] * x - alpha[i] * (math.exp(-h) - 1) * D
        Q, h_was = now, h
    x = x_theta(x, 11)  # the clean end: all of the prediction, none of x

    def denoise(x, level):
        x0 = net(x / torch.hypot(level.alpha, level.sigma), level.half_logsnr / 8)
        return x0, level.eps(x, x0)

    assert close(walk("dpmpp_2m", denoise, X, levels), x)


def test_euler_and_its_ancestral_kind_are_those_of_k_diffusion():
    """d = (x - D) / sigma; sigma_up² = s'² (s² - s'²) / s², sigma_down² = s'² - sigma_up² (Song et al. 2021, as sampled by Crowson)."""
    levels = Karras().levels(15)
    sigma = [float(level.sigma) for level in levels]

    def D(x, s):
        return 0.5 * net(x / math.sqrt(1 + s**2), math.log(s) / 4)

    for name, ancestral in (("euler", False), ("euler_ancestral", True)):
        x, draw = 80 * X, noise()
        for s, after in zip(sigma, sigma[1:], strict=False):
            up = math.sqrt(after**2 * (s**2 - after**2) / s**2) if ancestral else 0.0
            down = math.sqrt(after**2 - up**2)
            x = x + (down - s) * (x - D(x, s)) / s
            if up:
                x = x + up * draw(x)
        options = {"randn": noise()} if ancestral else {}
        assert close(walk(name, edm_denoiser, 80 * X, levels, **options), x)


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("grid", [Karras(), Cosine(high=0.99)])
def test_dpmpp_2m_sde_is_that_of_k_diffusion_at_every_eta(grid, eta):
    """Crowson's sample_dpmpp_2m_sde (midpoint), typed out: lambda = -log sigma, eta h of its own in every term; it steps in the ve frame."""
    levels = grid.levels(12)
    sigmas = [float(level.sigma / level.alpha) for level in levels]

    def model(x, sigma):
        return 0.5 * net(x / math.sqrt(1 + sigma**2), math.log(sigma) / 4)

    x, draw = X * math.hypot(1, sigmas[0]), noise()
    old_denoised = h_last = None
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i])
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        t, s = -math.log(sigmas[i]), -math.log(sigmas[i + 1])
        h = s - t
        eta_h = eta * h
        x = sigmas[i + 1] / sigmas[i] * math.exp(-eta_h) * x - math.expm1(-h - eta_h) * denoised
        if old_denoised is not None:
            x = x - 0.5 * math.expm1(-h - eta_h) * (h / h_last) * (denoised - old_denoised)
        if eta:
            x = x + draw(x) * sigmas[i + 1] * math.sqrt(-math.expm1(-2 * eta_h))
        old_denoised, h_last = denoised, h
    start = X * torch.hypot(levels[0].alpha, levels[0].sigma)
    assert close(walk("dpmpp_2m_sde", edm_denoiser, start, levels, eta=eta, randn=noise()), x)


def test_heun_of_a_flow_averages_the_velocity_at_both_ends():
    x, n = X, 10
    for i in range(n):
        t, after = 1 - i / n, 1 - (i + 1) / n
        u = net(x, t)
        if i < n - 1:
            u = (u + net(x + (after - t) * u, after)) / 2
        x = x + (after - t) * u

    def denoise(x, level):
        return predict.solve("velocity", level, x, net(x, level.sigma))

    assert close(walk("heun", denoise, X, Flow().levels(n)), x)


def test_the_first_step_from_pure_noise_has_no_history():
    """At alpha = 0 lambda is minus infinity: two steps of 2M, 3M and UniPC's predictor fall back to first order and stay finite."""
    exact = lambda x, level: predict.solve("velocity", level, x, -0.3 * torch.ones_like(x) + x * 0)  # noqa: E731
    level = Flow().levels(4)
    for name in ("dpmpp_2m", "dpmpp_3m"):
        assert torch.isfinite(walk(name, exact, X, level)).all()
    assert isinstance(level[0], Level) and float(level[0].alpha) == 0
