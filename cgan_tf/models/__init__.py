"""The networks: layers, generator, discriminator, classifiers and their starting weights."""
