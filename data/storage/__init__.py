"""Bytes on the disk: reading files of any size and form, and keeping what was prepared once.

compression  opens plain and compressed files
scan         one pass over a text: where its lines end, its SHA-256
stored       bytes and numbers in files, read where they are asked for
cache        a directory of prepared data that processes share
checksums    notice when a file in it is damaged
"""
