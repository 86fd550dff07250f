"""As makemigrations writes it, plus two accounts."""
from django.db import migrations, models


def two_accounts(apps, schema_editor):
    account = apps.get_model("shop", "Account")
    for login in ("ada", "grace"):
        account.objects.using(schema_editor.connection.alias).create(login=login, note=f"the account of {login}")


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Customer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", models.CharField(max_length=320, null=True, unique=True)),
                ("name", models.TextField(null=True)),
                ("card", models.CharField(max_length=40, null=True)),
                ("city", models.CharField(max_length=80, null=True)),
                ("visits", models.IntegerField(default=0)),
            ],
            options={"managed": False, "db_table": "customers"},
        ),
        migrations.CreateModel(
            name="Order",
            fields=[("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")), ("item", models.TextField())],
            options={"managed": False, "db_table": "orders"},
        ),
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("login", models.CharField(max_length=100)),
                ("note", models.TextField(blank=True, default="")),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.RunPython(two_accounts, migrations.RunPython.noop),
    ]
