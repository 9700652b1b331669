"""``make bench``: run every measurement."""

from bench import drill, fanout, sightings, taxii, walk

if __name__ == "__main__":
    walk.main()
    taxii.main([])
    sightings.main([])
    fanout.main([])
    drill.main([])
