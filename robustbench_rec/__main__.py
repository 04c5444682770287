"""`python -m robustbench_rec` is the command line."""

from robustbench_rec.cli import main

if __name__ == "__main__":
    main()
