"""Pictures made of pictures, to condition on."""
