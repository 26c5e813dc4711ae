"""Finding lesions in whole mammograms: predictions, scores of images, breasts and patients."""
