"""Sources: benchmark files by publishers' layouts, and the hub."""
