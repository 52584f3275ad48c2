"""Experiment trackers: what a finished run is to W&B, trackio, MLflow and TensorBoard."""
