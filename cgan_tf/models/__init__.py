"""The networks: layers, generator, discriminator, ResNet-50."""
