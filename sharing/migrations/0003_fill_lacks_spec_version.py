import json

from django.db import migrations


def fill(apps, schema_editor):
    """Say of each observable stored so far whether it left spec_version out."""
    StixObject = apps.get_model("sharing", "StixObject")
    # Everything with a time of its own must say spec_version to be accepted at all.
    for row in StixObject.objects.filter(version_text="").only("body").iterator(chunk_size=500):
        if "spec_version" not in json.loads(row.body):
            StixObject.objects.filter(pk=row.pk).update(lacks_spec_version=True)


class Migration(migrations.Migration):

    dependencies = [
        ("sharing", "0002_writers_envelopes_spec_version"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
