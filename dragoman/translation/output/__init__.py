"""From lines that are read to lines that are written.

line_stream       reads lines, a chunk at a time; `pipe_reader` reads them as they arrive
shards            which lines a process takes
translated_lines  the loop: read, translate, write
resumable_output  writes them: to standard output, or to a file that survives an interruption
"""
