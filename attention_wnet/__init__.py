"""Vessels on photographs of the retina: Attention W-Net, its data sets, its training and the command ``wnet``."""
