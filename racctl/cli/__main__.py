"""`python -m racctl.cli`, for what starts Python itself, as torchrun does."""

from racctl.cli.app import main

if __name__ == "__main__":
    main()
