#!/usr/bin/python3
"""Django: the ORM on existing tables, migrations that make and convert one, inspectdb."""
import io
import os
import django
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, connections, models, transaction
from django.db.models import Count, F, Max, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, Concat, Length, Lower, Upper
from twins import CUSTOMERS, TWINS, Twins, done, equal, new_database, ok, other_roles

DATABASE = new_database("django")


def database(twin, role="oms"):
    return {"ENGINE": "django.db.backends.postgresql", "NAME": DATABASE, "USER": role, "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"], "OPTIONS": {"options": f"-c search_path={twin}"}}


settings.configure(
    INSTALLED_APPS=["shop"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": database("plain"), **{twin: database(twin) for twin in TWINS},
               "support": database("secret", "support"), "stranger": database("secret", "stranger"),
               "oms": database("secret")})
django.setup()
from shop.models import Account, Customer, Order  # noqa: E402  pylint: disable=wrong-import-position

COLUMNS = ("email", "name", "card", "city")


class Database:
    """The managers of one twin."""

    def __init__(self, alias):
        self.alias = alias
        self.customers = Customer.objects.using(alias)
        self.orders = Order.objects.using(alias)
        self.accounts = Account.objects.using(alias)


def recover(db):
    connections[db.alias].close()


def fields(instance):
    return {f.attname: getattr(instance, f.attname) for f in instance._meta.fields if f.attname != "created"}


def locked(db):
    with transaction.atomic(using=db.alias):
        return [fields(c) for c in db.customers.select_for_update().filter(email="ada@example.org")]


twins = Twins(Database, recover)


@twins.same("create, save, bulk_create")
def _(db):
    rows = [dict(zip(COLUMNS, row)) for row in CUSTOMERS]
    one = db.customers.create(**rows[0])
    two = Customer(**rows[1])
    two.save(using=db.alias)
    more = db.customers.bulk_create([Customer(**row) for row in rows[2:]])
    orders = db.orders.bulk_create([Order(customer_id=row[0], item=f"book {n}") for n, row in enumerate(CUSTOMERS)])
    return [fields(x) for x in [one, two, *more, *orders]]


@twins.same("all")
def _(db):
    equal([c[1:5] for c in db.customers.order_by("id").values_list()], CUSTOMERS, "    all is there as it was written")
    return [fields(c) for c in db.customers.order_by("id")]


for name, query in {
        "get": lambda db: [fields(db.customers.get(email="ada@example.org"))],
        "get by a card number": lambda db: [fields(db.customers.get(card="378282246310005"))],
        "exact without a token": lambda db: db.customers.filter(name="Ada Lovelace").values_list("id"),
        "iexact": lambda db: db.customers.filter(email__iexact="long@EXAMPLE.org").values_list("id"),
        "contains": lambda db: db.customers.filter(email__contains="%_off").values_list("id", "email"),
        "icontains": lambda db: db.customers.filter(name__icontains="AMAZING").values_list("id", "name"),
        "startswith, endswith": lambda db: db.customers.filter(email__startswith="a", email__endswith=".org").values_list(),
        "regex": lambda db: db.customers.filter(email__iregex=r"^L\w+@").values_list("email"),
        "in": lambda db: db.customers.filter(email__in=["ada@example.org", "嫦娥@example.cn"]).order_by("id").values_list("id"),
        "exclude": lambda db: db.customers.exclude(email="ada@example.org").order_by("id").values_list("id"),
        "isnull": lambda db: db.customers.filter(email__isnull=True).values(),
        "gt, range": lambda db: db.customers.filter(email__gt="a", email__range=("b", "z")).order_by("id").values_list("id"),
        "Q": lambda db: db.customers.filter(Q(email="ada@example.org") | Q(name__iexact="")).order_by("id").values_list("id"),
        "F": lambda db: db.customers.filter(email=F("email")).order_by("id").values_list("id"),
        "order_by": lambda db: db.customers.order_by("-email", "id").values_list("id", "email"),
        "order_by, nulls": lambda db: db.customers.order_by(F("email").asc(nulls_first=True)).values_list("id", "name"),
        "order_by lower": lambda db: db.customers.order_by(Lower("email"), "id").values_list("id", "email"),
        "distinct": lambda db: db.customers.order_by("email").distinct().values_list("email", flat=True),
        "distinct on": lambda db: db.customers.order_by("email", "id").distinct("email").values_list("email", "id"),
        "values_list, slices": lambda db: db.customers.order_by("email").values_list("email", "card", named=True)[1:4],
        "count, exists": lambda db: [db.customers.filter(email="ada@example.org").count(),
                                     db.customers.filter(email="nobody@example.org").exists()],
        "aggregate": lambda db: [db.customers.aggregate(Max("email"), Count("email", distinct=True))],
        "annotate, group": lambda db: db.orders.values("customer_id").annotate(n=Count("id")).order_by("customer_id"),
        "functions": lambda db: db.customers.order_by("id").values_list(
            Upper("name"), Length("name"), Concat("email", Value("!"))),
        "Coalesce": lambda db: db.customers.order_by("id").values_list(Coalesce("email", "card", "city")),
        "Coalesce with a value": lambda db: db.customers.order_by("id").values_list(
            Coalesce("email", Value("none"), output_field=models.TextField())),
        "related": lambda db: db.orders.filter(customer__name="Ada Lovelace").values_list("item", "customer__email"),
        "select_related": lambda db: [(o.item, o.customer and o.customer.name)
                                      for o in db.orders.select_related("customer").order_by("id")],
        "prefetch_related": lambda db: [[o.item for o in c.order_set.all()]
                                        for c in db.customers.prefetch_related("order_set").order_by("id")],
        "reverse": lambda db: [o.item for o in db.customers.get(email="ada@example.org").order_set.all()],
        "subquery": lambda db: db.orders.order_by("id").annotate(
            who=Subquery(db.customers.filter(email=OuterRef("customer_id")).values("name")[:1])).values_list("id", "who"),
        "union": lambda db: db.customers.values_list("email").union(db.orders.values_list("customer_id")).order_by("email"),
        "iterator": lambda db: [c.email for c in db.customers.order_by("email", "id").iterator(chunk_size=2)],
        "in_bulk": lambda db: [{k: v.name for k, v in db.customers.in_bulk(["ada@example.org"], field_name="email").items()}],
        "raw": lambda db: [(c.id, c.email) for c in db.customers.raw(
            "SELECT * FROM customers WHERE email = %s", ["ada@example.org"])],
        "only, defer, refresh": lambda db: [c.name for c in db.customers.only("email").order_by("id")],
        "select_for_update": lambda db: locked(db),
}.items():
    @twins.same(name)
    def _(db, query=query):
        return list(query(db))


@twins.same("update, save of some fields, F expressions")
def _(db):
    count = db.customers.filter(email="ada@example.org").update(name="Countess", visits=F("visits") + 1)
    ada = db.customers.get(email="ada@example.org")
    seen = ada.name
    ada.name, ada.card = "Ada Lovelace", "4111 1111 1111 1111"
    ada.save(update_fields=["name", "card"])
    ada.refresh_from_db()
    ada.city = "Ockham"
    ada.save()
    copied = db.customers.filter(id=3).update(city=Lower("city"))
    return count, seen, copied, fields(ada)


@twins.same("bulk_update")
def _(db):
    customers = list(db.customers.filter(id__in=[1, 2, 3]).order_by("id"))
    for customer in customers:
        customer.name = customer.name.upper()
    db.customers.bulk_update(customers, ["name", "card"])
    return [fields(c) for c in db.customers.order_by("id")]


@twins.same("get_or_create, update_or_create, bulk_create ignoring conflicts")
def _(db):
    result = []
    for visits in (1, 2):
        for method in (db.customers.get_or_create, db.customers.update_or_create):
            customer, created = method(email="goc@example.org", defaults={"visits": visits, "name": f"No. {visits}"})
            result.append((fields(customer), created))
    db.customers.bulk_create([Customer(email="goc@example.org"), Customer(email="goc2@example.org")], ignore_conflicts=True)
    return result, list(db.customers.filter(email__startswith="goc").values_list("email", "name").order_by("email"))


@twins.same("delete, errors")
def _(db):
    result = [db.customers.filter(email__startswith="goc").delete()]
    for make in (lambda: db.customers.create(email="ada@example.org"),
                 lambda: db.orders.create(customer_id="nobody@example.org", item="x")):
        try:
            with transaction.atomic(using=db.alias):
                make()
        except IntegrityError as error:
            result.append(error.__cause__.pgcode)
    return result


# ---- migrations ----

def column_types(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attnum > 0 AND NOT"
                       " attisdropped AND attrelid = to_regclass('shop_account') ORDER BY attnum")
        return dict(cursor.fetchall())


@twins.same("migrate: a table, its conversion, a constraint; back and forth")
def _(db):
    result = []
    for target in ("0001", "0002", "0003", "0001", "0003"):
        call_command("migrate", "shop", target, database=db.alias, verbosity=0)
        result.append([fields(a) for a in db.accounts.filter(login="ada")])
    return result


equal(column_types("secret"), {
    "id": "bigint", "login": "sdes.enc_text('customer_pii', 'searchable')", "note": "sdes.enc_text('customer_pii')",
    "created": "timestamp with time zone"}, "    it was converted")


@twins.same("the migrated table works")
def _(db):
    db.accounts.create(login="emilie")
    try:
        with transaction.atomic(using=db.alias):
            db.accounts.create(login="ada")
        duplicate = None
    except IntegrityError as error:
        duplicate = error.__cause__.pgcode
    return (duplicate, [fields(a) for a in db.accounts.order_by("-login")],
            [fields(a) for a in db.accounts.filter(note__icontains="GRACE")],
            [fields(a) for a in db.accounts.exclude(note="").filter(login__in=["ada", "emilie"])])


@twins.same("makemigrations sees nothing to do", nonempty=False)
def _(db):
    out = io.StringIO()
    call_command("makemigrations", "shop", "--check", "--dry-run", verbosity=3, stdout=out)
    return out.getvalue()


for twin in TWINS:
    out = io.StringIO()
    call_command("inspectdb", "customers", "orders", database=twin, stdout=out)
    model = out.getvalue()
    ok("class Customers(models.Model)" in model and "email = models.TextField(" in model, f"inspectdb of {twin}", model)


def query(role, sql):
    try:
        with transaction.atomic(using=role), connections[role].cursor() as cursor:
            cursor.execute(sql)
            return [list(row) for row in cursor.fetchall()]
    except django.db.Error as error:
        return error.__cause__.pgcode


other_roles(query)
done()
