"""Recipes that build a data set folder: one module each, with one function ``prepare``."""
