"""`python -m robustbench_rec` is the command line."""

from robustbench_rec.cli.main import main

if __name__ == "__main__":
    main(prog_name="robustbench-rec")
