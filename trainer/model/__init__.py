"""The model: an XLM-R encoder cut at the perturbation site, a head per task kind, and loading from earlier runs."""
