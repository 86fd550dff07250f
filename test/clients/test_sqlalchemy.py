#!/usr/bin/python3
"""SQLAlchemy: Core and ORM, on declared and on reflected tables; and Alembic."""
import os
import tempfile
import textwrap
import warnings
import alembic.autogenerate
import alembic.command
import alembic.config
import alembic.migration
import sqlalchemy as sa
from sqlalchemy import orm
from twins import CUSTOMERS, Twins, done, equal, new_database, ok, other_roles

DATABASE = new_database("sqlalchemy")
COLUMNS = ("email", "name", "card", "city")


def engine(twin, role="oms"):
    return sa.create_engine(f"postgresql+psycopg2://{role}@/{DATABASE}?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}",
                            connect_args={"options": f"-c search_path={twin}"})


class Database:
    """Tables as declared, as reflected, and mapped classes, for one twin."""

    def __init__(self, twin):
        self.twin = twin
        self.engine = engine(twin)
        self.metadata = sa.MetaData()
        self.customers = sa.Table(
            "customers", self.metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("email", sa.String(320)),
            sa.Column("name", sa.Text), sa.Column("card", sa.String), sa.Column("city", sa.String),
            sa.Column("visits", sa.Integer, nullable=False, default=0))
        self.orders = sa.Table(
            "orders", self.metadata, sa.Column("id", sa.BigInteger, primary_key=True),
            sa.Column("email", sa.String, sa.ForeignKey("customers.email")), sa.Column("item", sa.Text))
        registry = orm.registry()
        self.Customer, self.Order = type("Customer", (), {}), type("Order", (), {})
        registry.map_imperatively(self.Customer, self.customers, eager_defaults=True, properties={
            "orders": orm.relationship(self.Order, back_populates="customer", order_by=self.orders.c.id)})
        registry.map_imperatively(self.Order, self.orders, properties={
            "customer": orm.relationship(self.Customer, back_populates="orders")})
        self.warnings = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.reflected = sa.MetaData()
            self.reflected.reflect(self.engine)
            self.warnings = [str(warning.message) for warning in caught]

    def rollback(self):
        self.engine.dispose()


def rows(result):
    return [dict(row) for row in result.mappings()]


twins = Twins(Database)
secret = twins.connections["secret"]


@twins.same("Core: INSERT RETURNING, many, from a list of VALUES")
def _(db):
    as_dicts = [dict(zip(COLUMNS, row)) for row in CUSTOMERS]
    with db.engine.begin() as connection:
        insert = db.customers.insert()
        return (rows(connection.execute(insert.returning(*db.customers.c), as_dicts[0])),
                connection.execute(insert.values(**as_dicts[1])).inserted_primary_key[0],
                connection.execute(insert, as_dicts[2:4]).rowcount,
                rows(connection.execute(insert.values(as_dicts[4:]).returning(*db.customers.c))))


# The same queries on declared and reflected tables.
def queries(c, o):
    yield "all", sa.select(c).order_by(c.c.id)
    yield "==", sa.select(c).where(c.c.email == "ada@example.org")
    yield "== on a card number", sa.select(c.c.id, c.c.card).where(c.c.card == "378282246310005")
    yield "!=", sa.select(c.c.id).where(c.c.email != "ada@example.org").order_by(c.c.id)
    yield "== None", sa.select(c.c.id).where(c.c.email == None).order_by(c.c.id)  # noqa: E711
    yield "in_", sa.select(c.c.id).where(c.c.email.in_(["ada@example.org", "嫦娥@example.cn"])).order_by(c.c.id)
    yield "not_in", sa.select(c.c.id).where(c.c.email.not_in(["ada@example.org"])).order_by(c.c.id)
    yield "like", sa.select(c.c.email).where(c.c.email.like("%.org")).order_by(c.c.id)
    yield "ilike", sa.select(c.c.email).where(c.c.email.ilike("LONG%")).order_by(c.c.id)
    yield "order_by", sa.select(c.c.email, c.c.name).order_by(c.c.email.desc().nullslast(), c.c.id)
    yield "distinct", sa.select(c.c.email).distinct().order_by(c.c.email)
    yield "func.lower", sa.select(sa.func.lower(c.c.email)).where(sa.func.lower(c.c.email) == "long@example.org")
    yield "between", sa.select(c.c.id).where(c.c.email.between("a", "f")).order_by(c.c.id)
    yield "count, min, max", sa.select(sa.func.count(c.c.email.distinct()), sa.func.min(c.c.email), sa.func.max(c.c.name))
    yield "join", sa.select(o.c.item, c.c.name).join_from(o, c, o.c.email == c.c.email).order_by(o.c.id)
    yield "outer join", sa.select(c.c.id, o.c.item).outerjoin_from(c, o, o.c.email == c.c.email).order_by(c.c.id)
    yield "exists", sa.select(c.c.id).where(sa.exists().where(o.c.email == c.c.email)).order_by(c.c.id)
    yield "in a query", sa.select(c.c.id).where(c.c.email.in_(sa.select(o.c.email))).order_by(c.c.id)
    yield "group by", sa.select(o.c.email, sa.func.count()).group_by(o.c.email).order_by(o.c.email)
    yield "union", sa.union(sa.select(c.c.email), sa.select(o.c.email)).order_by("email")
    yield "coalesce", sa.select(sa.func.coalesce(c.c.email, c.c.name)).order_by(c.c.id)
    yield "case", sa.select(sa.case((c.c.id > 3, c.c.name), else_=c.c.email)).order_by(c.c.id)
    yield "array_agg", sa.select(sa.func.array_agg(c.c.email)).where(c.c.id < 2)
    yield "window", sa.select(c.c.id, sa.func.rank().over(order_by=c.c.email)).order_by(c.c.id)
    yield "CTE", sa.select(sa.select(c).where(c.c.id < 4).cte("x").c.email)
    yield "alias and subquery", sa.select(sa.select(c.c.email.label("e")).order_by(c.c.email).limit(3).subquery())


@twins.same("Core: orders")
def _(db):
    with db.engine.begin() as connection:
        return connection.execute(db.orders.insert(), [
            {"email": row[0], "item": f"book {n}"} for n, row in enumerate(CUSTOMERS)]).rowcount


for kind in ("declared", "reflected"):
    for name in [name for name, _ in queries(secret.customers, secret.orders)]:
        @twins.same(f"Core, {kind}: {name}")
        def _(db, kind=kind, name=name):
            tables = db.metadata.tables if kind == "declared" else db.reflected.tables
            with db.engine.connect() as connection:
                query = dict(queries(tables["customers"], tables["orders"]))[name]
                return rows(connection.execute(query))


@twins.same("Core: concatenation")
def _(db):
    with db.engine.connect() as connection:
        return rows(connection.execute(sa.select((db.customers.c.email + "!").label("x")).order_by(db.customers.c.id)))


@twins.same("Core, reflected: INSERT, UPDATE, DELETE")
def _(db):
    customers = db.reflected.tables["customers"]
    with db.engine.begin() as connection:
        return (rows(connection.execute(customers.insert().returning(customers), {"email": "r@example.org", "name": "R"})),
                rows(connection.execute(customers.update().where(customers.c.email == "r@example.org")
                                        .values(name="S", card="4111111111111111").returning(customers))),
                connection.execute(customers.delete().where(customers.c.email == "r@example.org")).rowcount)


@twins.same("Core: a stream with a server-side cursor")
def _(db):
    with db.engine.connect().execution_options(stream_results=True, max_row_buffer=2) as connection:
        return rows(connection.execute(sa.select(db.customers).order_by(db.customers.c.email)))


@twins.same("Core: ON CONFLICT")
def _(db):
    from sqlalchemy.dialects.postgresql import insert  # pylint: disable=import-outside-toplevel
    statement = insert(db.customers).values(email="ada@example.org", name="Again")
    statement = statement.on_conflict_do_update(index_elements=["email"], set_={"visits": 7}).returning(*db.customers.c)
    with db.engine.begin() as connection:
        return rows(connection.execute(statement))


@twins.same("ORM: flush with RETURNING, identity, refresh")
def _(db):
    with orm.Session(db.engine) as session:
        customer = db.Customer()
        customer.email, customer.name, customer.card = "orm@example.org", "O. R. Mapper", "4111 1111 1111 1111"
        customer.orders = [db.Order(), db.Order()]
        for n, order in enumerate(customer.orders):
            order.item = f"item {n}"
        session.add(customer)
        session.flush()
        flushed = customer.id, customer.email, customer.city, [(o.id, o.email, o.item) for o in customer.orders]
        session.commit()
        return flushed, customer.email, customer.name, [o.email for o in customer.orders]


@twins.same("ORM: query, filter, relationship, joined load")
def _(db):
    c = db.Customer
    with orm.Session(db.engine) as session:
        query = session.query(c)
        return (query.filter(c.email == "ada@example.org").one().name,
                query.filter_by(card="378282246310005").one().email,
                [x.id for x in query.filter(c.email.in_(["ada@example.org", "orm@example.org"])).order_by(c.email)],
                [x.id for x in query.filter(c.name.ilike("%lovelace")).all()],
                [x.id for x in query.order_by(c.email.desc(), c.id).all()],
                [x.email for x in query.distinct().order_by(c.email)],
                query.filter(sa.func.lower(c.email) == "long@example.org").count(),
                [[o.item for o in x.orders] for x in query.options(orm.joinedload(c.orders)).order_by(c.id)],
                [[o.item for o in x.orders] for x in query.options(orm.selectinload(c.orders)).order_by(c.id)],
                [(o.item, o.customer and o.customer.name) for o in session.query(db.Order).order_by(db.Order.id)],
                session.query(db.Order).join(c).filter(c.name == "Ada Lovelace").count())


@twins.same("ORM: UPDATE of what has changed, and only of that")
def _(db):
    with orm.Session(db.engine) as session:
        customer = session.query(db.Customer).filter_by(email="orm@example.org").one()
        customer.name = customer.name
        unchanged = session.is_modified(customer)
        customer.name += " II"
        session.commit()
        bulk = session.query(db.Customer).filter(db.Customer.email == "orm@example.org").update({"visits": 3})
        session.commit()
        return unchanged, customer.name, customer.visits, bulk


@twins.same("ORM: DELETE, and the error of a duplicate")
def _(db):
    with orm.Session(db.engine) as session:
        customer = session.query(db.Customer).filter_by(email="orm@example.org").one()
        for order in list(customer.orders):
            session.delete(order)
        session.delete(customer)
        session.commit()
        customer = db.Customer()
        customer.email = "ada@example.org"
        session.add(customer)
        try:
            session.commit()
            return "no error"
        except sa.exc.IntegrityError as error:
            return type(error.orig).__name__, error.orig.pgcode


# ---- reflection ----

equal([sorted(db.reflected.tables) for db in twins.connections.values()], [["customers", "orders"]] * 2, "reflection finds the tables")
table = secret.reflected.tables["customers"]
equal({str(c.name): type(c.type).__name__ for c in table.c},
      {"id": "INTEGER", "email": "NullType", "name": "NullType", "card": "NullType", "city": "TEXT", "visits": "INTEGER"},
      "encrypted columns are of NullType, as is every type that SQLAlchemy does not know")
ok(len(secret.warnings) > 0 and all("Did not recognize type 'sdes.enc_" in text for text in secret.warnings),
   "which it warns of, and of nothing else", *secret.warnings)


@twins.same("the inspector finds the same keys, indexes and other columns")
def _(db):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inspector = sa.inspect(db.engine)
        return [(inspector.get_pk_constraint(t), inspector.get_unique_constraints(t), inspector.get_foreign_keys(t),
                 sorted(i["name"] for i in inspector.get_indexes(t)),
                 [(c["name"], c["nullable"], c["default"] is None) for c in inspector.get_columns(t)])
                for t in ("customers", "orders")]


# ---- Alembic ----

REVISION = '''
import sqlalchemy as sa
from alembic import op
revision, down_revision = {revision!r}, {down!r}
def upgrade():
    {up}
def downgrade():
    {undo}
'''
ENCRYPTED = "sdes.enc_text('customer_pii', 'searchable')"


def migrations(db, directory):
    """Alembic's configuration, with a script that makes a table and one that converts it."""
    os.makedirs(f"{directory}/versions")
    with open(f"{directory}/env.py", "w", encoding="utf-8") as file:
        file.write(textwrap.dedent("""
            from alembic import context
            with context.config.attributes["engine"].connect() as connection:
                context.configure(connection=connection)
                with context.begin_transaction():
                    context.run_migrations()
            """))
    convert = f'ALTER TABLE accounts ALTER login TYPE {ENCRYPTED}' if db.twin == "secret" else "SELECT 1"
    back = "ALTER TABLE accounts ALTER login TYPE text USING login::text" if db.twin == "secret" else "SELECT 1"
    for revision, down, up, undo in [
            ("1", None, 'op.create_table("accounts", sa.Column("id", sa.Integer, primary_key=True),'
             ' sa.Column("login", sa.Text, nullable=False)); op.bulk_insert(sa.table("accounts", sa.column("login")),'
             ' [{"login": "ada"}, {"login": "grace"}])', 'op.drop_table("accounts")'),
            ("2", "1", f"op.execute({convert!r})", f"op.execute({back!r})"),
            ("3", "2", 'op.create_unique_constraint("one_login", "accounts", ["login"]);'
             ' op.add_column("accounts", sa.Column("note", sa.Text))',
             'op.drop_constraint("one_login", "accounts"); op.drop_column("accounts", "note")')]:
        with open(f"{directory}/versions/{revision}.py", "w", encoding="utf-8") as file:
            file.write(REVISION.format(revision=revision, down=down, up=up, undo=undo))
    config = alembic.config.Config()
    config.set_main_option("script_location", directory)
    config.attributes["engine"] = db.engine
    return config


@twins.same("Alembic: upgrade, a column converted on the way, downgrade")
def _(db):
    logins = sa.text("SELECT id, login FROM accounts WHERE login = 'ada'")
    result = []
    with tempfile.TemporaryDirectory() as directory:
        config = migrations(db, directory + "/a")
        for command, revision in ((alembic.command.upgrade, "1"), (alembic.command.upgrade, "2"),
                                  (alembic.command.upgrade, "head"), (alembic.command.downgrade, "1"),
                                  (alembic.command.upgrade, "head")):
            command(config, revision)
            with db.engine.connect() as connection:
                result += [rows(connection.execute(logins)),
                           connection.execute(sa.text("SELECT count(*) FROM pg_constraint WHERE conname = 'one_login'"
                                                      " AND connamespace = current_schema::regnamespace")).scalar()]
    return result


with secret.engine.connect() as asked:
    equal(asked.execute(sa.text("SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
                                " WHERE attrelid = 'secret.accounts'::regclass AND attname = 'login'")).scalar(),
          "sdes.enc_text('customer_pii', 'searchable')", "    it was converted")


@twins.same("Alembic: autogenerate finds nothing to change")
def _(db):
    with warnings.catch_warnings(), db.engine.connect() as connection:
        warnings.simplefilter("ignore")
        context = alembic.migration.MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name == "customers"})
        metadata = sa.MetaData()
        db.customers.to_metadata(metadata)
        return [d[0] for d in alembic.autogenerate.compare_metadata(context, metadata) if d[0] != "remove_constraint"], 1


def query(role, sql):
    with engine("secret", role).connect() as connection:
        try:
            with connection.begin():
                return [list(row) for row in connection.execute(sa.text(sql.replace(":", "\\:")))]
        except sa.exc.DBAPIError as error:
            return error.orig.pgcode


other_roles(query)
done()
