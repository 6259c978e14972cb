"""Layers and networks that several models share."""
