from django.db import migrations
from django.db.models import Max


def fill(apps, schema_editor):
    """Tell of each collection when it last changed."""
    Collection = apps.get_model("sharing", "Collection")
    Placement = apps.get_model("sharing", "Placement")
    for collection in Collection.objects.all():
        newest = Placement.objects.filter(collection=collection).aggregate(n=Max("date_added"))["n"]
        Collection.objects.filter(pk=collection.pk).update(changed=newest or 0, newest=newest or 0)


class Migration(migrations.Migration):

    dependencies = [
        ("sharing", "0004_segments"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
