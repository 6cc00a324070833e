"""fromnoise: train, sample, evaluate and understand diffusion models, in code that reads like the papers."""
