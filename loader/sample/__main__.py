"""The command `python -m loader.sample`."""

from loader.sample.command import main

if __name__ == "__main__":
    main(prog_name="python -m loader.sample")
