"""``make bench``: run every measurement."""

from bench import sightings, walk

if __name__ == "__main__":
    walk.main()
    sightings.main()
