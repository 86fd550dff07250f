import java.sql.*;
import java.util.*;

/**
 * PostgreSQL's JDBC driver on the tables of schema.sql: each test runs the same code on the
 * plain and on the encrypted twin and compares all that the driver tells of it, with every
 * way the driver has of talking to the server.
 */
public final class PgJdbc {
    static final String[][] CUSTOMERS = {
        {"ada@example.org", "Ada Lovelace", "4111 1111 1111 1111", "London"},
        {"grace@example.org", "Grace \"Amazing\" O'Hopper\\n\t,", "5555-5555-5555-4444", "New York"},
        {"emilie@example.fr", "Émilie du Châtelet", "378282246310005", "Paris"},
        {null, "", null, null},
        {"LONG@example.org", "long\n".repeat(2000), "6011111111111117", ""},
        {"嫦娥@example.cn", "two\nlines", "4111111111111111", "{北京,NULL}"},
    };
    static final List<Object> MASKS = List.of("a***************", "A***************", "4111 1111 **** 1111");
    static final String[] TWINS = {"plain", "secret"};

    static String database, port;
    static int tests, failures;

    interface Test {
        Object run(Connection connection, String twin) throws Exception;
    }

    // ---- TAP ----

    static void ok(boolean passed, String name, String why) {
        tests++;
        if (!passed)
            failures++;
        System.out.println((passed ? "ok " : "not ok ") + tests + " - " + name);
        if (passed)
            return;
        System.err.println("#   Failed test '" + name + "'");
        why.lines().limit(60).forEach(line -> System.err.println("#   " + line.substring(0, Math.min(line.length(), 1500))));
    }

    static void equal(Object got, Object expected, String name) {
        ok(Objects.equals(got, expected), name, "     got: " + got + "\nexpected: " + expected);
    }

    static void same(String name, String options, Test test) {
        Object[] results = new Object[2];
        for (int i = 0; i < 2; i++) {
            try (Connection connection = connect(TWINS[i], "oms", options)) {
                results[i] = test.run(connection, TWINS[i]);
            } catch (Exception error) {
                java.io.StringWriter trace = new java.io.StringWriter();
                error.printStackTrace(new java.io.PrintWriter(trace));
                ok(false, name, "on " + TWINS[i] + ": " + trace);
                return;
            }
        }
        equal(results[1], results[0], name);
    }

    static Connection connect(String twin, String role, String options) throws SQLException {
        return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/" + database + "?user=" + role
            + "&currentSchema=" + twin + options);
    }

    // ---- results ----

    /** A value with its class; arrays by their elements. */
    static Object typed(Object value) throws SQLException {
        if (value instanceof java.sql.Array)
            return List.of("array of " + ((java.sql.Array) value).getBaseTypeName(),
                Arrays.asList((Object[]) ((java.sql.Array) value).getArray()).toString());
        return value == null ? "null" : value.getClass().getName() + " " + value;
    }

    /** All that the driver says of a result's columns. */
    static List<Object> metadata(ResultSetMetaData m) throws SQLException {
        List<Object> all = new ArrayList<>();
        for (int i = 1; i <= m.getColumnCount(); i++)
            // coalesce(email, ?) with setString() is varchar beside an encrypted column, text beside a plain one.
            all.add(Arrays.asList(m.getColumnName(i), m.getColumnLabel(i), m.getColumnType(i),
                m.getColumnName(i).equals("coalesce") ? "" : m.getColumnTypeName(i),
                m.getColumnClassName(i), m.getPrecision(i), m.getScale(i), m.getColumnDisplaySize(i), m.isNullable(i),
                m.isAutoIncrement(i), m.isCaseSensitive(i), m.isSearchable(i), m.isSigned(i), m.getTableName(i)));
        return all;
    }

    static List<Object> rows(ResultSet set) throws SQLException {
        List<Object> all = new ArrayList<>();
        int columns = set.getMetaData().getColumnCount();
        while (set.next())
            for (int i = 1; i <= columns; i++)
                all.add(Arrays.asList(typed(set.getObject(i)), set.getString(i), set.wasNull()));
        return all;
    }

    static List<Object> whole(ResultSet set) throws SQLException {
        return List.of(metadata(set.getMetaData()), rows(set));
    }

    static List<Object> query(Connection connection, String sql, Object... parameters) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            bind(statement, parameters);
            if (statement.execute())
                return whole(statement.getResultSet());
            return List.of(statement.getUpdateCount());
        }
    }

    static void bind(PreparedStatement statement, Object... parameters) throws SQLException {
        for (int i = 0; i < parameters.length; i++) {
            Object value = parameters[i];
            if (value instanceof String[])
                statement.setArray(i + 1, statement.getConnection().createArrayOf("text", (String[]) value));
            else if (value instanceof Integer)
                statement.setInt(i + 1, (Integer) value);
            else if (value == null)
                statement.setNull(i + 1, Types.VARCHAR);
            else
                statement.setString(i + 1, (String) value);
        }
    }

    static Object sqlstate(Connection connection, String sql, Object... parameters) {
        try {
            return query(connection, sql, parameters);
        } catch (SQLException error) {
            return error.getSQLState();
        }
    }

    // ---- tests ----

    static void writeAndRead() {
        for (String rewrite : new String[] {"false", "true"})
            same("batch, generated keys, reWriteBatchedInserts=" + rewrite, "&reWriteBatchedInserts=" + rewrite, (db, twin) -> {
                List<Object> result = new ArrayList<>();
                query(db, "DELETE FROM orders");
                query(db, "DELETE FROM customers");
                query(db, "ALTER SEQUENCE customers_id_seq RESTART");
                try (PreparedStatement insert = db.prepareStatement(
                        "INSERT INTO customers (email, name, card, city) VALUES (?, ?, ?, ?)")) {
                    for (Object[] row : CUSTOMERS) {
                        bind(insert, row);
                        insert.addBatch();
                    }
                    for (int count : insert.executeBatch())
                        result.add(rewrite.equals("true") ? count == 1 || count == Statement.SUCCESS_NO_INFO : count);
                }
                try (PreparedStatement insert = db.prepareStatement("INSERT INTO orders (email, item) VALUES (?, ?)",
                        new String[] {"email", "item"})) {
                    for (Object[] row : CUSTOMERS) {
                        bind(insert, row[0], "book of " + row[3]);
                        insert.addBatch();
                    }
                    result.add(insert.executeBatch().length);
                    result.add(whole(insert.getGeneratedKeys()));
                }
                result.add(query(db, "SELECT email, name, card, city FROM customers ORDER BY id"));
                List<Object> seen = new ArrayList<>();
                try (Statement s = db.createStatement();
                     ResultSet set = s.executeQuery("SELECT email, name, card, city FROM customers ORDER BY id")) {
                    while (set.next())
                        seen.add(Arrays.asList(set.getString(1), set.getString(2), set.getString(3), set.getString(4)));
                    equal(set.getMetaData().getColumnTypeName(1) + set.getMetaData().getColumnTypeName(3), "texttext",
                        "    " + twin + ": described as text");
                }
                List<Object> written = new ArrayList<>();
                for (String[] row : CUSTOMERS)
                    written.add(Arrays.asList(row));
                equal(seen, written, "    " + twin + ": all is there as it was written");
                return result;
            });
    }

    static final Object[][] QUERIES = {
        {"SELECT * FROM customers WHERE email = ?", "ada@example.org"},
        {"SELECT * FROM customers WHERE ? = email", "ada@example.org"},
        {"SELECT id, card FROM customers WHERE card = ?", "378282246310005"},
        {"SELECT id FROM customers WHERE name = ?", "Ada Lovelace"},
        {"SELECT id FROM customers WHERE email <> ? ORDER BY id", "ada@example.org"},
        {"SELECT id FROM customers WHERE email = ?", new Object[] {null}},
        {"SELECT id FROM customers WHERE email IN (?, ?) ORDER BY id", "ada@example.org", "LONG@example.org"},
        {"SELECT id FROM customers WHERE email = ANY(?) ORDER BY id", new String[] {"ada@example.org", "嫦娥@example.cn", null}},
        {"SELECT id FROM customers WHERE email <> ALL(?) ORDER BY id", new String[] {"ada@example.org"}},
        {"SELECT email FROM customers WHERE email LIKE ? ORDER BY id", "%.org"},
        {"SELECT lower(email) FROM customers WHERE lower(email) = lower(?)", "Long@example.org"},
        {"SELECT email AS mail, name FROM customers ORDER BY email DESC NULLS LAST, id"},
        {"SELECT DISTINCT email FROM customers ORDER BY email"},
        {"SELECT email, count(*) FROM orders GROUP BY email ORDER BY email"},
        {"SELECT o.item, c.name, o.email FROM orders o JOIN customers c ON o.email = c.email ORDER BY o.id"},
        {"SELECT email FROM customers UNION SELECT email FROM orders ORDER BY 1"},
        {"SELECT array_agg(email ORDER BY id), array_agg(card ORDER BY id) FROM customers"},
        {"SELECT row_to_json(c)::text, json_build_object('e', email) FROM customers c ORDER BY id"},
        {"SELECT coalesce(email, ?), email || ? FROM customers ORDER BY id", "none", "!"},
        {"INSERT INTO customers (email, name) VALUES (?, ?) ON CONFLICT (email) DO UPDATE SET name = excluded.name,"
            + " visits = customers.visits + 1 RETURNING id, email, name, visits", "ada@example.org", "Countess"},
        {"UPDATE customers SET name = ?, card = coalesce(?, card) WHERE email = ?", "Ada Lovelace", null, "ada@example.org"},
        {"SELECT id, name, card, visits FROM customers WHERE email = ?", "ada@example.org"},
        {"DELETE FROM orders WHERE email = ANY(?) RETURNING email, item", new String[] {"ada@example.org"}},
        {"INSERT INTO orders (email, item) VALUES (?, ?) RETURNING email", "ada@example.org", "another book"},
    };

    static final String[] OPTIONS = {
        "", "&stringtype=unspecified", "&prepareThreshold=1", "&prepareThreshold=-1&binaryTransfer=true",
        "&prepareThreshold=1&binaryTransferEnable=TEXT,VARCHAR", "&preferQueryMode=simple",
        "&prepareThreshold=1&stringtype=unspecified&autosave=always", "&preferQueryMode=extendedCacheEverything",
    };

    static void queries() {
        for (String options : OPTIONS)
            for (Object[] query : QUERIES) {
                Object[] parameters = query.length == 2 && query[1] instanceof Object[] && !(query[1] instanceof String[])
                    ? (Object[]) query[1] : Arrays.copyOfRange(query, 1, query.length);
                same((options.isEmpty() ? "default" : options.substring(1)) + ": " + query[0], options, (db, twin) -> {
                    List<Object> result = new ArrayList<>();
                    db.setAutoCommit(false); // and rolled back at the end
                    for (int i = 0; i < 3; i++)
                        result.add(query(db, (String) query[0], parameters));
                    db.rollback();
                    return result;
                });
            }
    }

    static void statements() {
        same("a statement prepared in the server, reused, also after ALTER TABLE and ANALYZE", "&prepareThreshold=1", (db, twin) -> {
            List<Object> result = new ArrayList<>();
            try (Connection owner = connect(twin, "postgres", "");
                 PreparedStatement select = db.prepareStatement("SELECT email, item FROM orders WHERE email = ? ORDER BY id")) {
                for (String change : new String[] {"SELECT 1", "ALTER TABLE orders ADD note text", "ANALYZE orders",
                        "ALTER TABLE orders ALTER note TYPE varchar(10)", "ALTER TABLE orders DROP note"}) {
                    try (Statement statement = owner.createStatement()) {
                        statement.execute(change);
                    }
                    for (Object[] row : CUSTOMERS) {
                        bind(select, row[0]);
                        result.add(whole(select.executeQuery()));
                    }
                }
            }
            result.add(query(db, "SELECT count(*) > 0 FROM pg_prepared_statements WHERE statement LIKE 'SELECT email, item%'"));
            return result;
        });
        same("setFetchSize with autocommit off", "", (db, twin) -> {
            List<Object> result = new ArrayList<>();
            db.setAutoCommit(false);
            try (PreparedStatement select = db.prepareStatement("SELECT id, email, name FROM customers WHERE id > ? ORDER BY email, id")) {
                select.setFetchSize(2);
                select.setInt(1, 0);
                for (int i = 0; i < 7; i++)
                    result.add(whole(select.executeQuery()));
            }
            try (PreparedStatement select = db.prepareStatement("SELECT email FROM customers ORDER BY id",
                    ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY, ResultSet.HOLD_CURSORS_OVER_COMMIT)) {
                ResultSet set = select.executeQuery();
                db.commit();
                set.absolute(2);
                result.add(typed(set.getObject("email")));
                set.last();
                result.add(typed(set.getString(1)));
            }
            return result;
        });
        same("getGeneratedKeys: all, by name, by a key", "", (db, twin) -> {
            List<Object> result = new ArrayList<>();
            String insert = "INSERT INTO customers (email, name) VALUES (?, ?)";
            db.setAutoCommit(false);
            for (PreparedStatement statement : new PreparedStatement[] {
                    db.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS),
                    db.prepareStatement(insert, new String[] {"email", "city"}), db.prepareStatement(insert, new String[] {"name"})}) {
                bind(statement, "keys" + result.size() + "@example.org", "Keys");
                result.add(statement.executeUpdate());
                List<Object> keys = whole(statement.getGeneratedKeys());
                result.add(metadata(statement.getGeneratedKeys().getMetaData()));
                result.add(keys.toString().replaceAll("java.lang.Integer \\d+, \\d+", "id"));
                statement.close();
            }
            db.rollback();
            return result;
        });
        same("setObject, setNull, setCharacterStream; getters", "", (db, twin) -> {
            List<Object> result = new ArrayList<>();
            for (int type : new int[] {Types.VARCHAR, Types.LONGVARCHAR, Types.CHAR, Types.OTHER, Types.NULL}) {
                try (PreparedStatement update = db.prepareStatement("UPDATE customers SET name = ? WHERE email = ?")) {
                    if (type == Types.NULL)
                        update.setNull(1, Types.NULL);
                    else
                        update.setObject(1, "set as " + type, type);
                    update.setObject(2, "ada@example.org");
                    result.add(update.executeUpdate());
                }
                result.add(query(db, "SELECT name FROM customers WHERE email = ?", "ada@example.org"));
            }
            try (PreparedStatement update = db.prepareStatement("UPDATE customers SET name = ?, card = ? WHERE email = ?")) {
                update.setCharacterStream(1, new java.io.StringReader("Ada Lovelace"));
                update.setObject(2, "4111 1111 1111 1111");
                update.setString(3, "ada@example.org");
                result.add(update.executeUpdate());
            }
            try (Statement s = db.createStatement(); ResultSet set = s.executeQuery("SELECT name, card FROM customers WHERE id = 1")) {
                set.next();
                result.add(Arrays.asList(set.getObject(1, String.class), set.getString(2), set.getCharacterStream(1).read(),
                    new String(set.getBytes(1), "UTF-8"), set.findColumn("card"), set.getAsciiStream(2).read()));
            }
            return result;
        });
        same("ParameterMetaData does not fail", "", (db, twin) -> {
            try (PreparedStatement s = db.prepareStatement("UPDATE customers SET name = ?, email = ? WHERE email = ? AND id = ?")) {
                return s.getParameterMetaData().getParameterCount();
            }
        });
        same("PreparedStatement.getMetaData before it is run", "", (db, twin) -> {
            try (PreparedStatement s = db.prepareStatement("SELECT *, lower(email), array_agg(email) OVER () FROM customers WHERE email = ?")) {
                return metadata(s.getMetaData());
            }
        });
        same("savepoints, errors", "", (db, twin) -> {
            List<Object> result = new ArrayList<>();
            db.setAutoCommit(false);
            for (String[] wrong : new String[][] {{"INSERT INTO customers (email) VALUES (?)", "ada@example.org"},
                    {"INSERT INTO orders (email, item) VALUES (?, 'x')", "nobody@example.org"},
                    {"DELETE FROM customers WHERE email = ?", "ada@example.org"}}) {
                Savepoint savepoint = db.setSavepoint();
                result.add(sqlstate(db, wrong[0], wrong[1]));
                db.rollback(savepoint);
            }
            result.add(query(db, "SELECT count(*) FROM customers"));
            db.rollback();
            return result;
        });
        same("CopyManager", "", (db, twin) -> {
            org.postgresql.copy.CopyManager copy = db.unwrap(org.postgresql.PGConnection.class).getCopyAPI();
            java.io.StringWriter out = new java.io.StringWriter();
            long in = copy.copyIn("COPY customers (email, name) FROM STDIN (FORMAT csv)", new java.io.StringReader("copy@example.org,\"C, opy\"\n"));
            long read = copy.copyOut("COPY (SELECT email, name, card FROM customers ORDER BY email) TO STDOUT", out);
            query(db, "DELETE FROM customers WHERE email = 'copy@example.org'");
            return List.of(in, read, out.toString());
        });
    }

    static void updatable() {
        same("an updatable result set: updateRow, insertRow, deleteRow, refreshRow", "", (db, twin) -> {
            List<Object> result = new ArrayList<>();
            try (Statement statement = db.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
                 ResultSet set = statement.executeQuery("SELECT id, email, name, card, city FROM customers ORDER BY id")) {
                result.add(set.getConcurrency() == ResultSet.CONCUR_UPDATABLE);
                set.next();
                set.updateString("name", "Augusta Ada King");
                set.updateString("card", "5555-5555-5555-4444");
                set.updateRow();
                result.add(set.getString("name"));
                set.refreshRow();
                result.add(Arrays.asList(set.getString("email"), set.getString("name"), set.getString("card")));
                set.updateNull("card");
                set.updateRow();
                set.updateObject("card", "4111 1111 1111 1111");
                set.updateObject("name", "Ada Lovelace");
                set.updateRow();
                set.moveToInsertRow();
                set.updateInt("id", 1000);
                set.updateString("email", "inserted@example.org");
                set.updateString("name", "Inserted");
                set.insertRow();
                set.moveToCurrentRow();
                set.last();
                result.add(Arrays.asList(set.getString("email"), set.getString("name")));
                result.add(query(db, "SELECT id, email, name, card FROM customers ORDER BY id"));
                set.deleteRow();
            }
            result.add(query(db, "SELECT id, email, name, card FROM customers ORDER BY id"));
            return result;
        });
    }

    static void databaseMetadata() {
        same("DatabaseMetaData: columns but their types, keys, indexes", "", (db, twin) -> {
            DatabaseMetaData m = db.getMetaData();
            List<Object> result = new ArrayList<>();
            for (String table : new String[] {"customers", "orders"}) {
                try (ResultSet set = m.getColumns(null, twin, table, null)) {
                    while (set.next())
                        result.add(Arrays.asList(set.getString("COLUMN_NAME"), set.getInt("NULLABLE"), set.getString("IS_AUTOINCREMENT"),
                            set.getInt("ORDINAL_POSITION")));
                }
                try (ResultSet set = m.getIndexInfo(null, twin, table, false, true)) {
                    while (set.next())
                        result.add(Arrays.asList(set.getString("INDEX_NAME"), set.getString("COLUMN_NAME"), set.getBoolean("NON_UNIQUE")));
                }
                try (ResultSet set = m.getPrimaryKeys(null, twin, table)) {
                    result.add(set.next() ? set.getString("COLUMN_NAME") : "none");
                }
                try (ResultSet set = m.getImportedKeys(null, twin, table)) {
                    while (set.next())
                        result.add(set.getString("PKTABLE_NAME") + set.getString("PKCOLUMN_NAME") + set.getString("FKCOLUMN_NAME"));
                }
            }
            return result;
        });
        try (Connection db = connect("secret", "oms", "");
             ResultSet set = db.getMetaData().getColumns(null, "secret", "customers", "email")) {
            equal(set.next(), true, "getColumns finds the column");
            equal(set.getString("TYPE_NAME"), "\"sdes\".\"enc_text\"", "with the type's own name");
            equal(set.getInt("DATA_TYPE"), Types.OTHER, "which is no JDBC type");
        } catch (SQLException error) {
            ok(false, "getColumns", error.toString());
        }
    }

    static void otherRoles() throws SQLException {
        String columns = "SELECT email, name, card FROM customers WHERE id = 1", write = "UPDATE customers SET name = ? WHERE id = 1";
        for (String role : new String[] {"support", "stranger"}) {
            try (Connection db = connect("secret", role, "&prepareThreshold=1"); Statement statement = db.createStatement()) {
                List<Object> seen = new ArrayList<>();
                try (ResultSet set = statement.executeQuery(columns)) {
                    set.next();
                    for (int i = 1; i <= 3; i++)
                        seen.add(set.getObject(i));
                    equal(set.getMetaData().getColumnTypeName(1), "text", role + ": described as text");
                }
                if (role.equals("support"))
                    equal(seen, MASKS, "support sees masks");
                else
                    ok(seen.stream().allMatch(v -> ((String) v).startsWith("sdes1:")), "a role without grant sees armor", seen.toString());
                equal(sqlstate(db, "UPDATE customers SET city = ? WHERE id = 1", role), List.of(1), role + " writes other columns");
                equal(sqlstate(db, write, "x"), "42501", role + " cannot write an encrypted column");
                equal(sqlstate(db, write, "A***************"), "42501", role + " cannot write a mask");
                equal(sqlstate(db, "SELECT id FROM customers WHERE email = ?", "ada@example.org"), "42501", role + " cannot compare");
                equal(sqlstate(db, "SELECT lower(email) FROM customers"), "42501", role + " cannot cast");
            }
        }
        try (Connection db = connect("secret", "oms", ""); Statement s = db.createStatement(); ResultSet set = s.executeQuery(columns)) {
            set.next();
            equal(Arrays.asList(set.getString(1), set.getString(2), set.getString(3)), Arrays.asList(CUSTOMERS[0]).subList(0, 3),
                "and all is as it was for oms");
        }
    }

    public static void main(String[] arguments) throws Exception {
        database = arguments[0];
        port = arguments[1];
        try (Connection owner = connect("plain", "postgres", ""); Statement statement = owner.createStatement()) {
            statement.execute("ALTER TABLE plain.customers OWNER TO oms; ALTER TABLE secret.customers OWNER TO oms");
        }
        writeAndRead();
        queries();
        statements();
        updatable();
        databaseMetadata();
        otherRoles();
        System.out.println("1.." + tests);
        System.exit(failures > 0 ? 1 : 0);
    }
}
