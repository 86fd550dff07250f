"""Models of the tables of schema.sql, and one whose table Django makes itself."""
from django.db import models


class Customer(models.Model):
    email = models.CharField(max_length=320, unique=True, null=True)
    name = models.TextField(null=True)
    card = models.CharField(max_length=40, null=True)
    city = models.CharField(max_length=80, null=True)
    visits = models.IntegerField(default=0)

    class Meta:
        managed = False
        db_table = "customers"


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.DO_NOTHING, to_field="email", db_column="email", null=True)
    item = models.TextField()

    class Meta:
        managed = False
        db_table = "orders"


class Account(models.Model):
    login = models.CharField(max_length=100)
    note = models.TextField(blank=True, default="")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["login"], name="one_login")]
        indexes = [models.Index(fields=["login", "created"], name="by_login")]
