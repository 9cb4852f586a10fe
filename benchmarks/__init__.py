"""Measurements, apart from tests: every one states hardware, shapes, warm-up, repeats and its baseline."""
