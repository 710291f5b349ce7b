"""Contrastive rules, one file each, and what composes them into an objective (`scored`, `composed`)."""
