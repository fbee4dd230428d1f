"""`python -m weakneg`: the command line, in a process that started earlier if there is one."""

import sys

from weakneg.jobs import warm

if __name__ == "__main__":
    status = warm.run(sys.argv[1:])
    if status is None:
        from weakneg.command_line import main

        status = main()
    sys.exit(status)
