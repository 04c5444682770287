"""Components, the kinds of plugins: loss, perturbation, backbone, data set, metric; settings."""
