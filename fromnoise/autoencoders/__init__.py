"""Autoencoders: what is diffused <-> what is seen."""

from .autoencoder import Autoencoder, Identity

AUTOENCODERS: dict[str, type[Autoencoder]] = {"identity": Identity}

__all__ = ["AUTOENCODERS", "Autoencoder", "Identity"]
