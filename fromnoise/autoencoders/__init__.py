"""Autoencoders: what is diffused <-> what is seen."""

from .autoencoder import Autoencoder, Coded, Identity, drawn
from .discriminator import DISCRIMINATORS
from .losses import Measure, bce, loss

AUTOENCODERS: dict[str, type[Autoencoder]] = {"identity": Identity}
