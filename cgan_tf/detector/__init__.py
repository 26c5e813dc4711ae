"""A detector of lesions on whole mammograms: its images, its network, its training and scoring."""
