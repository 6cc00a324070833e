"""Autoencoders: what is diffused <-> what is seen."""

from .autoencoder import Autoencoder, Coded, Identity, drawn
from .bits import Bits
from .conv_ae import ConvAE
from .conv_vae import ConvVAE
from .discriminator import DISCRIMINATORS
from .encoder_decoder import EncoderDecoder
from .kl import KL
from .losses import Measure, bce, loss
from .mel import Mel
from .mlp_vae import MLPVAE
from .tiling import Tiled
from .tiny import Tiny
from .tokens import Tokens
from .vq import VQ

AUTOENCODERS: dict[str, type[Autoencoder]] = {
    "identity": Identity, "conv_ae": ConvAE, "mlp_vae": MLPVAE, "conv_vae": ConvVAE, "kl": KL, "tiny": Tiny, "vq": VQ,
    "tokens": Tokens, "bits": Bits, "mel": Mel,
}  # fmt: skip
