"""Autoencoders: what is diffused <-> what is seen."""

from .autoencoder import Autoencoder, Identity
from .conv_ae import ConvAE
from .conv_vae import ConvVAE
from .encoder_decoder import EncoderDecoder
from .mlp_vae import MLPVAE

AUTOENCODERS: dict[str, type[Autoencoder]] = {"identity": Identity, "conv_ae": ConvAE, "mlp_vae": MLPVAE, "conv_vae": ConvVAE}

__all__ = ["AUTOENCODERS", "Autoencoder", "ConvAE", "ConvVAE", "EncoderDecoder", "Identity", "MLPVAE"]
