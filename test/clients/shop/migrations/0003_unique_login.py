"""What comes after the conversion: a constraint, an index, another column."""
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_encrypt")]
    operations = [
        migrations.AddConstraint("Account", models.UniqueConstraint(fields=["login"], name="one_login")),
        migrations.AddIndex("Account", models.Index(fields=["login", "created"], name="by_login")),
        migrations.AddField("Account", "age", models.IntegerField(null=True)),
        migrations.RemoveField("Account", "age"),
    ]
