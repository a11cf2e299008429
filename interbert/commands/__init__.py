"""One module a verb of `python -m interbert`: HELP, add_arguments(parser), run(arguments) -> exit code."""
