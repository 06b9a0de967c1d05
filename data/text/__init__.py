"""Text before tokenisation. These modules need only the standard library: an exported program carries copies of them.

cleaning     removes what carries no meaning: odd spaces, invisible characters
sentences    splits lines into sentences; `abbreviations` has what it knows of languages
casing       lines in capitals and in Title Case, and their usual form
statistics   what a run remembers of its source text
preparation  all of that for a line to translate
long_lines   splits a line that is too long for one search
scripts      which scripts a text is in, and where its words are
joining      joins translated parts of a line
"""
