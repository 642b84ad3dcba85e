"""``python -m ramen``: the command line, also where no script of that name is on the path."""

from ramen.cli.main import main

if __name__ == "__main__":
    main()
