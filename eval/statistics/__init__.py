"""Intervals, tests, power and anytime-valid bounds: numbers in, numbers out. It knows no file and no metric's name.

From outside: any function; each names its source.
"""
