"""The command line: argv to one call to a rendered result. The only code of envpin that prints or exits."""
