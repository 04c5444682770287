"""What a plugin is: a loss, a perturbation, a backbone, a data set, a metric; and settings."""
