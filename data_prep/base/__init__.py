"""Foundations of both packages: errors, command line, locks, interrupts."""
