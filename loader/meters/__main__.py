"""The command `python -m loader.meters`."""

from loader.meters.command import main

if __name__ == "__main__":
    main(prog_name="python -m loader.meters")
