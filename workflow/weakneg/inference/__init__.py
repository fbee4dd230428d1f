"""Trained models applied to other recordings."""
