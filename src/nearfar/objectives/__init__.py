"""Contrastive rules, one file each; `scored` and `composed` make objectives of them."""
