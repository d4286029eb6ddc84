"""Measurements behind the `bench` command: times and sizes as ratios of interleaved runs. Nothing is asserted here.

Each module has `measure(rounds) -> dict` for bench.json and `table(results) -> str`, Markdown for the README.
"""
