"""Formulas that several parts share: similarities, weighted log-sum-exp, Sinkhorn, rank fusion."""
