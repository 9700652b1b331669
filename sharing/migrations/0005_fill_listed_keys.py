import hashlib

from django.db import migrations


def fill(apps, schema_editor):
    """Give the values listed so far their keys."""
    ListedValue = apps.get_model("sharing", "ListedValue")
    for row in ListedValue.objects.filter(key="").iterator(chunk_size=1000):
        said = row.value if row.kind == "url" else row.value.lower()
        key = hashlib.sha256(f"{row.kind}:{said}".encode()).hexdigest()
        ListedValue.objects.filter(pk=row.pk).update(key=key)


class Migration(migrations.Migration):

    dependencies = [
        ("sharing", "0004_sighting_counts"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
