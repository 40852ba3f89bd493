"""`python -m likethat` is the command `likethat`."""

from likethat.cli.main import run

if __name__ == "__main__":
    run()
