"""Converts columns to encrypted ones; on the plain twin it does nothing."""
from django.db import migrations

CONVERT = """
ALTER TABLE shop_account ALTER login TYPE sdes.enc_text('customer_pii', 'searchable'),
    ALTER note TYPE sdes.enc_text('customer_pii')
"""
BACK = """
ALTER TABLE shop_account ALTER login TYPE varchar(100) USING login::text, ALTER note TYPE text USING note::text
"""


class RunSQL(migrations.RunSQL):
    """Django's own, but for the plain twin."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.alias == "secret":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.alias == "secret":
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [RunSQL(CONVERT, BACK)]
