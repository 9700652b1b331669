"""``make bench``: run every measurement."""

from bench import walk

if __name__ == "__main__":
    walk.main()
