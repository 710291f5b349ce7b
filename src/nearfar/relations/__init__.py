"""Makers of relations: who is a positive of whom, who competes, who is left out. One file each."""
