"""``make bench``: run every measurement."""

from bench import sightings, taxii, walk

if __name__ == "__main__":
    walk.main()
    taxii.main([])
    sightings.main([])
