"""The contextual GAN: its losses, its schedules, its training, the generator that comes out."""
