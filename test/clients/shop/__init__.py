"""A Django application whose tables have encrypted columns and do not know it."""
