"""The command line: one file for each command, and the code that they share.

main                             the table of commands
train translate generate fill evaluate export
                                 a file for each command
options translation_options      command-line options, and how errors become an exit status
terms_report                     which required terms were met
streams                          standard streams that outlive their terminal or pipe
compiling                        says that a program is being compiled
huge_pages                       the memory allocator of a command's process
"""
