"""From shards to trained, evaluated and reported models; `python -m trainer --help` lists the commands."""
