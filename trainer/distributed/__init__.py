"""Ranks, collectives and preemption."""
