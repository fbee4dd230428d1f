"""Choosing negative bags for weakly labelled data."""
