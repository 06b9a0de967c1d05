"""The command line: one file for each command, and the code that they share.

main                             the table of commands
train translate generate fill explain evaluate prepare cache export
                                 a file for each command
sweep calibrate                  `dragoman evaluate` with --sweep and with --calibrate
options translation_options evaluation_options
                                 command-line options, and how errors become an exit status
evaluation_values evaluation_files
                                 what the options of `dragoman evaluate` mean, and the files that it writes
paths                            rejects outputs that would overwrite an input or a part of a run
terms_report                     which required terms were met
streams                          standard streams that outlive their terminal or pipe
compiling                        says that a program is being compiled
huge_pages                       the memory allocator of a command's process
"""
