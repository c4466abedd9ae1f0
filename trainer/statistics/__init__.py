"""Statistics over numbers and arrays; nothing here knows of languages, files or models, and nothing needs torch."""
