"""`python -m racctl` is the command `racctl`, for what starts Python itself, as torchrun does."""

from racctl.cli.app import main

if __name__ == "__main__":  # worker processes import this file again
    main()
