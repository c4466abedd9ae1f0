"""Foundations of all packages: errors, command line, files, locks, interrupts."""
