"""Text before tokenisation. These modules need only the standard library: an exported program carries copies of them.

long_lines  splits a line that is too long for one search
"""
