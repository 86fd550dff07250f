# SdesReading.pm
#     Who may read what on which path: the rules of docs/roles.md as functions of a
#     role's grants, and the paths with the SQL that tries each.
#
# A rule says what must come out from what the role may do, never from what did come
# out. A reader should be able to check every line against the documentation.

package SdesReading;

use strict;
use warnings;

use Exporter 'import';
our @EXPORT = qw(%VALUES $GUESS $SCHEMA rule_outcome rules paths);

# The table's values by id. 1 is looked at; 2 is guessed, so that the client's own text
# holds it. 4 sorts after 2 by its text, and before it by its mask, which is shorter.
our %VALUES = (
    1 => [ 'walrus.k7q2x9@example.org', '4012 8888 8888 1881' ],
    2 => [ 'badger.m3v8t1@example.org', '5555 3412 4444 1115' ],
    3 => [ 'ocelot.p5z4n6@example.org', '4000 0566 5566 5556' ],
    4 => [ 'bison.a1h6w8@x', '4111 1111 1111 1111' ],
);
our $GUESS = $VALUES{2}[0];
# A wrong one, with the same mask.
our $WRONG = 'basset.m3v8t1@example.org';

# ---- the tables ----
# Their values come later: fill() makes those of the tables below `plain`.

our $SCHEMA = <<'SQL';
CREATE DOMAIN pii AS sdes.enc_text('pii');
CREATE TYPE pair AS (a sdes.enc_text('pii'), n int);
CREATE TABLE person (
    id int PRIMARY KEY,
    email sdes.enc_text('pii', 'searchable'),
    login sdes.enc_text('pii', 'searchable_ci'),
    note sdes.enc_text('pii'),
    card sdes.enc_pan('pay'),
    tag sdes.enc_text('other'),
    memo text
);
CREATE INDEX ON person (email);
CREATE INDEX ON person (login sdes.enc_text_ci_ops);
CREATE TABLE twin (id int, email sdes.enc_text('pii', 'searchable'), note sdes.enc_text('pii'));
CREATE TABLE plain (id int, v text);

CREATE TABLE form (id int, many sdes.enc_text('pii')[], dom pii, comp pair);
CREATE TABLE parted (id int, email sdes.enc_text('pii')) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE generated (id int, email sdes.enc_text('pii'),
    again sdes.enc_text('pii') GENERATED ALWAYS AS (email) STORED);
CREATE TABLE lone (id int, email sdes.enc_text('pii'));
CREATE TABLE uniq (id int, email sdes.enc_text('pii', 'searchable') UNIQUE);
CREATE TABLE exclusive (id int, email sdes.enc_text('pii', 'searchable'), EXCLUDE (email WITH =));
CREATE TABLE checked (id int CHECK (id < 100), email sdes.enc_text('pii', 'searchable'));
CREATE TABLE check_opens (id int, email sdes.enc_text('pii') CHECK (email::text LIKE '%@%'));
CREATE TABLE required (id int, email sdes.enc_text('pii'), memo text NOT NULL);
CREATE TABLE elsewhere (id int, v sdes.enc_text('other', 'searchable'));
CREATE TABLE guarded (id int, email sdes.enc_text('pii'));
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_of_it ON guarded USING (id > 0);
CREATE TABLE seen (id int, email sdes.enc_text('pii'), memo text);
CREATE TABLE traced (id int, email sdes.enc_text('pii'), memo text);
CREATE TABLE leaky (id int, email sdes.enc_text('pii'), memo text);
CREATE TABLE history (was jsonb);
CREATE TABLE inside (id int, email sdes.enc_text('vault', 'searchable'));
CREATE TABLE cards (id int, card sdes.enc_pan('shop', 'searchable'));
CREATE TABLE parent (id int, email sdes.enc_text('pii'));
CREATE TABLE child () INHERITS (parent);
CREATE TABLE listed (id int, email sdes.enc_text('pii', 'searchable')) PARTITION BY LIST (email);
CREATE TABLE listed_guess PARTITION OF listed FOR VALUES IN ('badger.m3v8t1@example.org');
CREATE TABLE frequent (id int, email sdes.enc_text('pii', 'searchable'));
CREATE TABLE known (email sdes.enc_text('pii', 'searchable') PRIMARY KEY);
CREATE TABLE orders (id int, email sdes.enc_text('pii', 'searchable') REFERENCES known);
ALTER TABLE person OWNER TO owner;
ALTER TABLE lone OWNER TO owner;

CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE NOTICE ''%'', NEW.email::text; RETURN NEW; END';
CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO history VALUES (to_jsonb(NEW)); RETURN NEW; END';
CREATE FUNCTION leak() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO plain VALUES (NEW.id, NEW.email); RETURN NEW; END';

CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
    INSERT INTO form SELECT id, ARRAY[email], email, ROW(email, id)::pair FROM person;
    INSERT INTO parted SELECT id, email FROM person;
    INSERT INTO generated (id, email) SELECT id, email FROM person;
    INSERT INTO lone SELECT id, email FROM person;
    INSERT INTO uniq SELECT id, email FROM person;
    INSERT INTO exclusive SELECT id, email FROM person;
    INSERT INTO guarded SELECT id, email FROM person;
    INSERT INTO seen SELECT id, email FROM person;
    INSERT INTO traced SELECT id, email FROM person;
    INSERT INTO leaky SELECT id, email FROM person;
    INSERT INTO frequent SELECT n, email FROM person, generate_series(1, 50) AS n WHERE n <= 10 OR id = 2;
    INSERT INTO child SELECT id, email FROM person;
    REFRESH MATERIALIZED VIEW person_matview;
$$;
CREATE TRIGGER tell BEFORE UPDATE ON seen FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER trace AFTER UPDATE ON traced FOR EACH ROW EXECUTE FUNCTION trace();
CREATE TRIGGER leak AFTER UPDATE ON leaky FOR EACH ROW EXECUTE FUNCTION leak();

CREATE VIEW person_view AS SELECT id, email FROM person;
CREATE VIEW person_barrier WITH (security_barrier) AS SELECT id, email FROM person WHERE id > 0;
CREATE VIEW sorted_view AS SELECT id FROM person ORDER BY email;
CREATE VIEW reader_view AS SELECT id, email, email::text AS opened FROM person;
ALTER VIEW reader_view OWNER TO reader;
CREATE VIEW invoker_view WITH (security_invoker) AS SELECT id, email FROM person;
CREATE VIEW text_view AS SELECT id, (ARRAY[email])::text AS t, to_jsonb(email) AS j FROM person;
CREATE VIEW few_view AS SELECT * FROM seen WHERE id > 100 WITH CHECK OPTION;
CREATE MATERIALIZED VIEW person_matview AS SELECT id, email FROM person WITH NO DATA;

CREATE FUNCTION opened_as_reader() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS
    'SELECT email::text FROM person WHERE id = 1';
ALTER FUNCTION opened_as_reader() OWNER TO reader;
CREATE FUNCTION opened_as_caller() RETURNS text LANGUAGE plpgsql AS
    'BEGIN RETURN (SELECT email::text FROM person WHERE id = 1); END';
CREATE FUNCTION opened_by_sql() RETURNS text LANGUAGE sql AS 'SELECT email::text FROM person WHERE id = 1';
CREATE FUNCTION persons_by_sql() RETURNS SETOF person LANGUAGE sql AS 'SELECT * FROM person';
CREATE FUNCTION value_by_plpgsql() RETURNS sdes.enc_text LANGUAGE plpgsql AS
    'BEGIN RETURN (SELECT email FROM person WHERE id = 1); END';
CREATE FUNCTION revealed_by_plpgsql() RETURNS text LANGUAGE plpgsql AS
    'BEGIN RETURN (SELECT sdes.reveal(email) FROM person WHERE id = 1); END';
CREATE FUNCTION sorted_ids() RETURNS text LANGUAGE plpgsql AS
    'DECLARE ids text; BEGIN SELECT string_agg(id::text, '','') INTO ids FROM (SELECT id FROM person ORDER BY email OFFSET 0) AS s; RETURN ids; END';
CREATE FUNCTION same_text(t text) RETURNS text LANGUAGE sql AS 'SELECT t';
CREATE FUNCTION anything(a anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT a';
CREATE FUNCTION persons_by_plpgsql() RETURNS SETOF person LANGUAGE plpgsql AS
    'BEGIN RETURN QUERY SELECT * FROM person; END';
CREATE FUNCTION texts_by_plpgsql() RETURNS TABLE (t text) LANGUAGE plpgsql AS
    'BEGIN RETURN QUERY SELECT email::text FROM person WHERE id = 1; END';
CREATE FUNCTION text_variable() RETURNS text LANGUAGE plpgsql AS
    'DECLARE t text; BEGIN SELECT email INTO t FROM person WHERE id = 1; RETURN t; END';
-- How many rows the planner expects to be equal.
CREATE FUNCTION estimate(guess text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) SELECT FROM frequent WHERE email = $1' INTO plan USING guess;
    RETURN (plan->0->'Plan'->>'Plan Rows')::int;
END
$$;
CREATE FUNCTION is_it(guess text) RETURNS boolean LANGUAGE plpgsql AS
    'BEGIN IF (SELECT email = guess FROM person WHERE id = 2) THEN RETURN true; END IF; RETURN false; END';
CREATE FUNCTION open_cursor(name refcursor) RETURNS refcursor LANGUAGE plpgsql AS
    'BEGIN OPEN name FOR SELECT email FROM person WHERE id = 1; RETURN name; END';
CREATE PROCEDURE opened_inout(INOUT v text) LANGUAGE plpgsql AS
    'BEGIN SELECT email::text INTO v FROM person WHERE id = 1; END';

-- What the extension's functions say of a value and a right guess, where they say
-- something else of a wrong one: each is a way to learn the value by trying.
CREATE FUNCTION try_functions(good text, bad text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    f record;
    call text;
    answers text[];
    guess text;
    answer text;
BEGIN
    FOR f IN SELECT p.oid, p.oid::regproc::text AS name, t.argument, p.pronargs
        FROM pg_proc AS p
            JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'sdes',
            LATERAL (SELECT array_agg(format_type(a, NULL) ORDER BY n) AS argument
                FROM unnest(p.proargtypes) WITH ORDINALITY AS x (a, n)) AS t
        WHERE t.argument[1] = 'sdes.enc_text' OR t.argument[1] = 'text' AND t.argument[2] = 'sdes.enc_text'
    LOOP
        IF f.pronargs = 2 AND f.argument[2] = 'sdes.enc_text' AND f.argument[1] = 'text' THEN
            call := '%1$s(%2$L::text, email)';
        ELSIF f.pronargs = 2 AND f.argument[2] IN ('sdes.enc_text', 'text') THEN
            call := '%1$s(email, %2$L::%3$s)';
        ELSIF f.pronargs = 1 THEN
            call := '(%1$s(email)::text = %2$L OR %1$s(email)::text = %1$s(%2$L::sdes.enc_text)::text)';
        ELSIF f.pronargs = 2 AND f.argument[2] = 'bigint' THEN
            call := '%1$s(email, 1) = %1$s(%2$L::sdes.enc_text, 1)';
        ELSE
            CONTINUE;
        END IF;
        answers := '{}';
        FOREACH guess IN ARRAY ARRAY[good, bad]
        LOOP
            BEGIN
                EXECUTE format('SELECT (' || call || ')::text FROM person WHERE id = 2', f.name, guess, f.argument[2])
                    INTO answer;
            EXCEPTION WHEN OTHERS THEN
                answer := SQLSTATE;
            END;
            answers := answers || answer;
        END LOOP;
        IF answers[1] IS DISTINCT FROM answers[2] THEN
            RETURN NEXT f.name;
        END IF;
    END LOOP;
END
$$;
SQL

# ---- rules ----
# Each gets what the current role may do with the bucket ({ decrypt => 1, … }), its other
# properties ({ super, owns, behind, elsewhere, mapped, guesses }) and the path's answers. It
# returns an outcome as the test names them: plaintext, mask, armor, "denied decrypt",
# a SQLSTATE, "answer …", or silent.

sub shown
{
    my ($may) = @_;
    return $may->{decrypt} ? 'plaintext' : $may->{mask} ? 'mask' : 'armor';
}

my %RULE;
%RULE = (
    shown => \&shown,
    opened => sub {
        my ($may) = @_;
        return $may->{decrypt} ? 'plaintext' : 'denied decrypt';
    },
    computed => sub {
        my ($may, $is, $path) = @_;
        return $may->{decrypt} ? "answer $path->{answer}" : 'denied decrypt';
    },
    sought => sub {
        my ($may, $is, $path) = @_;
        return $may->{search} ? "answer $path->{answer}" : 'denied search';
    },
    'sought or opened' => sub {
        my ($may, $is, $path) = @_;
        return $may->{search} || $may->{decrypt} ? "answer $path->{answer}" : 'denied search';
    },
    compared => sub {
        my ($may, $is, $path) = @_;
        return "answer $path->{answer}";
    },
    sorted => sub {
        my ($may, $is, $path) = @_;
        return
              $may->{decrypt} ? "answer $path->{answer}"
            : $may->{mask} ? "answer $path->{masked}"
            : 'denied decrypt';
    },
    weighed => sub {
        my ($may, $is, $path) = @_;
        return 'answer ' . ($may->{decrypt} ? $path->{answer} : $path->{otherwise});
    },
    sealed => sub { return 'armor' },
    silent => sub { return 'silent' },
    refused => sub {
        my ($may, $is, $path) = @_;
        return $path->{state};
    },
    'as definer' => sub {
        my ($may, $is) = @_;
        return $is->{behind}{decrypt} ? 'plaintext' : 'denied decrypt';
    },
    'as the mapped user' => sub {
        my ($may, $is) = @_;
        return shown($is->{mapped});
    },
    'as the mapped user, sealed again' => sub {
        my ($may, $is) = @_;
        # Plaintext or mask arrives and has to be sealed; armor is no input.
        return '22000' if !$is->{mapped}{decrypt} && !$is->{mapped}{mask};
        return $may->{encrypt} ? shown($may) : 'denied encrypt';
    },
    rewritten => sub {
        my ($may, $is, $path) = @_;
        my $first = $path->{first} // 'decrypt';
        my ($second) = grep { $_ ne $first } qw(encrypt decrypt);
        return !$may->{$first} ? "denied $first" : !$may->{$second} ? "denied $second" : "answer $path->{answer}";
    },
    stored => sub {
        my ($may, $is, $path) = @_;
        return $may->{encrypt} ? "answer $path->{answer}" : 'denied encrypt';
    },
    'for the owner' => sub {
        my ($may, $is, $path) = @_;
        return '42501' if !$is->{owns} && !$is->{super};
        return $path->{then} ? rule_outcome({ %$path, rule => $path->{then} }, $may, $is) : $path->{state};
    },
    'for superusers' => sub {
        my ($may, $is, $path) = @_;
        return $is->{super} ? rule_outcome({ %$path, rule => $path->{then} }, $may, $is) : '42501';
    },
    'of another bucket' => sub {
        my ($may, $is, $path) = @_;
        return $is->{elsewhere}{decrypt} ? "answer $path->{answer}" : 'armor';
    },
    moved => sub {
        my ($may, $is) = @_;
        return 'denied encrypt' if !$is->{elsewhere}{encrypt};
        return $may->{decrypt} ? shown($is->{elsewhere}) : 'denied decrypt';
    },
    'stored elsewhere' => sub {
        my ($may, $is, $path) = @_;
        return $is->{elsewhere}{encrypt} ? "answer $path->{answer}" : 'denied encrypt';
    },
    failed => sub {
        my ($may, $is, $path) = @_;
        return $may->{decrypt} ? $path->{state} : 'denied decrypt';
    },
    'explained if sought' => sub {
        my ($may) = @_;
        return $may->{search} ? 'armor' : 'denied search'; # of the constant
    },
    explained => sub {
        my ($may) = @_;
        return $may->{decrypt} ? 'silent' : 'denied decrypt';
    },
    guessed => sub {
        my ($may, $is, $path) = @_;
        return $may->{decrypt} || $is->{guesses} ? 'answer some' : 'answer none';
    },
);

sub rules
{
    return sort keys %RULE;
}

sub rule_outcome
{
    my ($path, $may, $is) = @_;
    my $rule = $RULE{ $path->{rule} } or die "there is no rule $path->{rule}";
    my $outcome = $rule->($may, $is, $path);
    # What a statement reports beside the value.
    return defined $path->{beside} && $outcome !~ /^denied|^\d/ ? "$path->{beside}+$outcome" : $outcome;
}

# ---- paths ----
# [ name, rule, { statements, answers } ]. Each runs in a transaction that is rolled back.
# A statement is SQL, or { extended => SQL, parameters, binary }, or { sql => function } or
# { bytes => function } of the test's session, where the SQL is only then known or another
# program gets the bytes.

my $guess = "'$GUESS'";
my $wrong = "'$WRONG'";

sub show
{
    my ($name, $sql, %more) = @_;
    return path($name, 'shown', $sql, %more);
}

sub path
{
    my ($name, $rule, $sql, %more) = @_;
    return { name => $name, rule => $rule, run => ref $sql eq 'ARRAY' ? $sql : [$sql], %more };
}

sub paths
{
    return (
        results(), forms(), expressions(), comparisons(), sorts(), functions(), stores(),
        errors(), catalogs(), vault(), outside(), tricks());
}

# What a client's own statement returns.
sub results
{
    return (
        show('plain SELECT', 'SELECT email FROM person WHERE id = 1'),
        show('card number', 'SELECT card FROM person WHERE id = 1'),
        show('column alias', 'SELECT p.email AS contact FROM person AS p WHERE id = 1'),
        show('SELECT *', 'SELECT * FROM twin WHERE id = 1'),
        show('extended protocol', { extended => 'SELECT email FROM person WHERE id = $1', parameters => [1] }),
        show('binary format', { extended => 'SELECT email FROM person WHERE id = 1', binary => 1 }),
        show('subquery', 'SELECT s.email FROM (SELECT email FROM person WHERE id = 1 OFFSET 0) AS s'),
        show('common table expression',
            'WITH c AS MATERIALIZED (SELECT * FROM twin WHERE id = 1) SELECT email FROM c'),
        show('scalar sublink', 'SELECT (SELECT email FROM person WHERE id = 1)'),
        show('CASE', 'SELECT CASE WHEN id = 1 THEN email END FROM person WHERE id = 1'),
        show('coalesce', "SELECT coalesce(email, 'none') FROM person WHERE id = 1"),
        show('UNION ALL', 'SELECT email FROM person WHERE id = 1 UNION ALL SELECT email FROM twin WHERE id = 1'),
        show('UNION', 'SELECT email FROM person WHERE id = 1 UNION SELECT email FROM twin WHERE id = 1'),
        show('DISTINCT', 'SELECT DISTINCT email FROM person WHERE id = 1'),
        show('VALUES', 'VALUES ((SELECT email FROM person WHERE id = 1))'),
        show('window function', 'SELECT first_value(email) OVER (ORDER BY id) FROM person WHERE id = 1'),
        show('RETURNING', "UPDATE person SET memo = 'seen' WHERE id = 1 RETURNING email"),
        show('DELETE RETURNING *', 'DELETE FROM twin WHERE id = 1 RETURNING *'),
        show('data-modifying WITH',
            "WITH u AS (UPDATE person SET memo = 'seen' WHERE id = 1 RETURNING email) SELECT email FROM u"),
        show('recursive WITH', 'WITH RECURSIVE r AS (SELECT email, 1 AS n FROM person WHERE id = 1'
                . ' UNION ALL SELECT email, n + 1 FROM r WHERE n < 3) SELECT email FROM r'),
        show('LATERAL', 'SELECT s.e FROM person AS p, LATERAL (SELECT p.email AS e OFFSET 0) AS s WHERE id = 1'),
        show('EXCEPT', 'SELECT email FROM person WHERE id = 1 EXCEPT SELECT email FROM twin WHERE id = 2'),
        show('INTERSECT', 'SELECT email FROM person WHERE id = 1 INTERSECT SELECT email FROM twin'),
        show('DISTINCT ON', 'SELECT DISTINCT ON (id) email FROM person WHERE id = 1 ORDER BY id'),
        show('GROUP BY, the value itself', 'SELECT email FROM person WHERE id = 1 GROUP BY email'),
        show('GROUPING SETS', 'SELECT email FROM person WHERE id = 1 GROUP BY GROUPING SETS ((email), ())'),
        show('lag', 'SELECT lag(email, 0) OVER (ORDER BY id) FROM person WHERE id = 1'),
        show('FOR UPDATE', 'SELECT email FROM person WHERE id = 1 FOR UPDATE'),
        show('TABLESAMPLE', 'SELECT email FROM person TABLESAMPLE SYSTEM (100) WHERE id = 1'),
        show('INSERT ON CONFLICT, RETURNING', "INSERT INTO person (id) VALUES (1)"
                . " ON CONFLICT (id) DO UPDATE SET memo = 'again' RETURNING person.email"),
        show('portal of a few rows', { extended => 'SELECT email FROM person WHERE id <> 2 ORDER BY id' }),
        show('cursor', [ 'DECLARE c CURSOR FOR SELECT email FROM person WHERE id = 1', 'FETCH ALL FROM c' ]),
        show('scroll cursor, backwards',
            [ 'DECLARE c SCROLL CURSOR FOR SELECT email FROM person WHERE id = 1', 'MOVE ALL FROM c',
                'FETCH BACKWARD ALL FROM c' ]),
        show('WITH HOLD cursor',
            [ 'DECLARE held CURSOR WITH HOLD FOR SELECT email FROM person WHERE id = 1', 'COMMIT',
                'FETCH ALL FROM held', 'CLOSE held' ]),
        show('PREPARE and EXECUTE',
            [ 'PREPARE q AS SELECT email FROM person WHERE id = $1', 'EXECUTE q(1)', 'DEALLOCATE q' ]),
        path('prepared, then SET ROLE, then EXECUTE', 'sealed',
            [ 'PREPARE q AS SELECT email FROM person WHERE id = 1', 'SET LOCAL ROLE common', 'EXECUTE q',
                'DEALLOCATE q' ]),
        path('prepared by another role, then EXECUTE', 'shown',
            [ 'SAVEPOINT s', 'SET LOCAL ROLE common', 'PREPARE q AS SELECT email FROM person WHERE id = 1',
                'ROLLBACK TO s', 'EXECUTE q', 'DEALLOCATE q' ]),
        path('cursor opened, then SET ROLE, then FETCH', 'sealed',
            [ 'DECLARE c CURSOR FOR SELECT email FROM person WHERE id = 1', 'SET LOCAL ROLE common',
                'FETCH ALL FROM c' ]),
        show('COPY (query) TO STDOUT', 'COPY (SELECT email FROM person WHERE id = 1) TO STDOUT'),
        show('COPY (query) TO STDOUT, CSV', 'COPY (SELECT email FROM person WHERE id = 1) TO STDOUT (FORMAT csv, HEADER)'),
        show('COPY (query) TO STDOUT, binary', 'COPY (SELECT email FROM person WHERE id = 1) TO STDOUT (FORMAT binary)'),
        path('COPY table TO STDOUT, CSV', 'sealed', 'COPY person (id, email) TO STDOUT (FORMAT csv)'),
        path('COPY table TO STDOUT', 'sealed', 'COPY person (id, email) TO STDOUT'),
        path('COPY table TO STDOUT, binary', 'silent', 'COPY person (email) TO STDOUT (FORMAT binary)'),
        path('column of another bucket', 'of another bucket', 'SELECT tag FROM person WHERE id = 1', answer => 'heron.r2'),
        show('parallel plan', [ parallel(), 'SELECT email FROM person WHERE id = 1' ]),
        show('index-only scan', [ 'SET LOCAL enable_seqscan = off', 'SET LOCAL enable_bitmapscan = off',
                'SELECT email FROM person WHERE email = (SELECT email FROM twin WHERE id = 1)' ]),
    );
}

sub parallel
{
    return 'SET LOCAL ' . SdesTest::force_parallel() . ' = on; SET LOCAL parallel_setup_cost = 0;'
        . ' SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0';
}

# Values inside other values, and other relations than tables.
sub forms
{
    return (
        show('array column', 'SELECT many FROM form WHERE id = 1'),
        show('array element', 'SELECT many[1] FROM form WHERE id = 1'),
        show('array constructor', 'SELECT ARRAY[email] FROM person WHERE id = 1'),
        show('array_agg', 'SELECT array_agg(email) FROM person WHERE id = 1'),
        show('unnest', 'SELECT unnest(many) FROM form WHERE id = 1'),
        show('domain', 'SELECT dom FROM form WHERE id = 1'),
        show('composite', 'SELECT comp FROM form WHERE id = 1'),
        show('field of a composite', 'SELECT (comp).a FROM form WHERE id = 1'),
        show('whole row', 'SELECT p FROM twin AS p WHERE id = 1'),
        show('row constructor', 'SELECT ROW(id, email) FROM person WHERE id = 1'),
        show('row_to_json of a whole row', 'SELECT row_to_json(p) FROM twin AS p WHERE id = 1'),
        show('to_jsonb', 'SELECT to_jsonb(email) FROM person WHERE id = 1'),
        show('json_agg', 'SELECT json_agg(email) FROM person WHERE id = 1'),
        show('json_build_object', "SELECT json_build_object('email', email) FROM person WHERE id = 1"),
        show('concat', "SELECT concat(email, '!') FROM person WHERE id = 1"),
        show('format', "SELECT format('<%s>', email) FROM person WHERE id = 1"),
        show('array, cast to text', 'SELECT array_agg(email)::text FROM person WHERE id = 1'),
        show('whole row, cast to text', 'SELECT p::text FROM twin AS p WHERE id = 1'),
        show('xmlforest', 'SELECT xmlforest(email) FROM person WHERE id = 1'),
        show('array to json', 'SELECT to_json(many) FROM form WHERE id = 1'),
        show('json_object_agg', 'SELECT json_object_agg(id, email) FROM person WHERE id = 1'),
        path('array, cast to text in a view', 'sealed', 'SELECT t FROM text_view WHERE id = 1'),
        path('whole row, cast to text in WHERE', 'weighed',
            "SELECT count(*) FROM twin AS p WHERE p::text LIKE '%' || $guess || '%'", answer => 1, otherwise => 0),
        path('json in WHERE', 'weighed',
            "SELECT count(*) FROM person WHERE to_jsonb(email) = to_jsonb($guess\::text)", answer => 1, otherwise => 0),
        path('json in a view', 'sealed', 'SELECT j FROM text_view WHERE id = 1'),
        path('table_to_xml', 'sealed', "SELECT table_to_xml('twin', false, false, '')"),
        path('query_to_xml', 'sealed',
            "SELECT query_to_xml('SELECT email FROM person WHERE id = 1', false, false, '')"),
        show('view', 'SELECT email FROM person_view WHERE id = 1'),
        show('security_barrier view', 'SELECT email FROM person_barrier WHERE id = 1'),
        show('view owned by a role with decrypt', 'SELECT email FROM reader_view WHERE id = 1'),
        path('view with a cast, owned by a role with decrypt', 'opened',
            'SELECT opened FROM reader_view WHERE id = 1'),
        show('security_invoker view', 'SELECT email FROM invoker_view WHERE id = 1'),
        show('inherited table', 'SELECT email FROM parent WHERE id = 1'),
        show('FROM a function of rows', 'SELECT email FROM persons_by_plpgsql() WHERE id = 1'),
        show('materialized view', 'SELECT email FROM person_matview WHERE id = 1'),
        show('partitioned table', 'SELECT email FROM parted WHERE id = 1'),
        show('generated column', 'SELECT again FROM generated WHERE id = 1'),
        show('temporary table made of a query',
            [ 'CREATE TEMP TABLE t AS SELECT email FROM person WHERE id = 1', 'SELECT email FROM t' ]),
        show('row security', 'SELECT email FROM guarded WHERE id = 1'),
    );
}

# The text of a value inside an expression.
sub expressions
{
    my @computed = (
        [ 'CAST in WHERE', "SELECT id FROM person WHERE CAST(email AS text) = $guess", 2 ],
        [ 'length', 'SELECT length(email) FROM person WHERE id = 1', 25 ],
        [ 'md5', "SELECT md5(email) = md5($guess) FROM person WHERE id = 2", 't' ],
        [ 'LIKE', "SELECT id FROM person WHERE email LIKE 'walrus%'", 1 ],
        [ 'ILIKE', "SELECT id FROM person WHERE email ILIKE 'WALRUS%'", 1 ],
        [ 'regular expression', "SELECT id FROM person WHERE email ~ '^wal.us'", 1 ],
        [ 'range', "SELECT id FROM person WHERE email::text > 'w'", 1 ],
        [ 'substr and =', "SELECT id FROM person WHERE substr(email, 1, 3) = 'wal'", 1 ],
        [ 'left, a few characters', 'SELECT left(email, 3) FROM person WHERE id = 1', 'wal' ],
        [ 'strpos', "SELECT strpos(email, '\@') FROM person WHERE id = 1", 14 ],
        [ 'hashtext', "SELECT hashtext(email) = hashtext($guess) FROM person WHERE id = 2", 't' ],
        [ 'IS DISTINCT FROM as text', "SELECT email::text IS DISTINCT FROM 'x' FROM person WHERE id = 1", 't' ],
        [ 'in a parallel worker', [ parallel(), "SELECT count(*) FROM person WHERE email::text LIKE 'wal%'" ], 1 ],
        [ 'row < row', "SELECT count(*) FROM person AS p, twin AS t WHERE (p.email, 1) < (t.email, 1)", 6 ],
        [ 'filter of an aggregate', "SELECT count(*) FILTER (WHERE email LIKE 'wal%') FROM person", 1 ],
    );
    return (
        path('cast to text', 'opened', 'SELECT email::text FROM person WHERE id = 1'),
        path('cast to varchar', 'opened', 'SELECT email::varchar FROM person WHERE id = 1'),
        path('cast to char(n)', 'opened', 'SELECT email::char(40) FROM person WHERE id = 1'),
        path('cast of a card number', 'opened', 'SELECT card::text FROM person WHERE id = 1'),
        path('cast of an array', 'opened', 'SELECT many::text[] FROM form WHERE id = 1'),
        path('lower', 'opened', 'SELECT lower(email) FROM person WHERE id = 1'),
        path('concatenation', 'opened', "SELECT '<' || email || '>' FROM person WHERE id = 1"),
        path('min', 'opened', 'SELECT min(email) FROM person WHERE id = 1'),
        path('string_agg', 'opened', "SELECT string_agg(email, ',') FROM person WHERE id = 1"),
        path('text to bytes', 'opened', "SELECT convert_to(email, 'UTF8') FROM person WHERE id = 1"),
        path('CAST of a domain', 'opened', 'SELECT dom::text FROM form WHERE id = 1'),
        path('quote_literal', 'opened', 'SELECT quote_literal(email) FROM person WHERE id = 1'),
        path('string_to_table', 'opened', "SELECT string_to_table(email, ',') FROM person WHERE id = 1"),
        path('set_config', 'opened', "SELECT set_config('my.mail', email, true) FROM person WHERE id = 1"),
        path('argument of a function of text', 'opened', 'SELECT same_text(email) FROM person WHERE id = 1'),
        path('pg_notify', 'opened', [ 'LISTEN mail', "SELECT pg_notify('mail', email) FROM person WHERE id = 1", 'COMMIT',
                'UNLISTEN mail' ]),
        path('xmlelement', 'opened', 'SELECT xmlelement(NAME e, email::text) FROM person WHERE id = 1'),
        (map { path($_->[0], 'computed', $_->[1], answer => $_->[2]) } @computed),
        path('sdes.reveal() in WHERE', 'weighed',
            "SELECT count(*) FROM person WHERE sdes.reveal(email) = $guess", answer => 1, otherwise => 0),
    );
}

# Comparisons: with a token, without one, with texts and among stored values.
sub comparisons
{
    my @sought = (
        [ '= literal', "SELECT id FROM person WHERE email = $guess", 2 ],
        [ '= literal that is not there', "SELECT count(*) FROM person WHERE email = 'nobody\@example.org'", 0 ],
        [ '= parameter', { extended => 'SELECT id FROM person WHERE email = $1', parameters => [$GUESS] }, 2 ],
        [ '= text', "SELECT id FROM person WHERE email = $guess\::text", 2 ],
        [ 'literal =', "SELECT id FROM person WHERE $guess = email", 2 ],
        [ '<> literal', "SELECT count(*) FROM person WHERE email <> $guess", 3 ],
        [ 'IN', "SELECT id FROM person WHERE email IN ($guess, 'x')", 2 ],
        [ '= ANY (array of text)', "SELECT id FROM person WHERE email = ANY (ARRAY[$guess, 'x']::text[])", 2 ],
        [ '= literal, through the index',
            [ 'SET LOCAL enable_seqscan = off', "SELECT id FROM person WHERE email = $guess" ], 2 ],
        [ '= in the select list', "SELECT email = $guess FROM person WHERE id = 2", 't' ],
        [ '= in CASE', "SELECT CASE WHEN email = $guess THEN 'yes' ELSE 'no' END FROM person WHERE id = 2", 'yes' ],
        [ '= ANY (array of the type)', "SELECT id FROM person WHERE email = ANY (ARRAY[$guess, 'x']::sdes.enc_text[])", 2 ],
        [ 'IN (VALUES)', "SELECT id FROM person WHERE email IN (VALUES ($guess), ('x'))", 2 ],
        [ 'NOT IN', "SELECT count(*) FROM person WHERE email NOT IN ($guess, 'x')", 3 ],
        [ 'IS DISTINCT FROM', "SELECT count(*) FROM person WHERE email IS DISTINCT FROM $guess", 3 ],
        [ 'NULLIF', "SELECT count(NULLIF(email, $guess)) FROM person", 3 ],
        [ 'CASE of the value', "SELECT CASE email WHEN $guess THEN 'yes' END FROM person WHERE id = 2", 'yes' ],
        [ 'row = row', "SELECT id FROM person WHERE (id, email) = (2, $guess)", 2 ],
        [ 'row IN', "SELECT id FROM person WHERE (email, id) IN (($guess, 2), ('x', 3))", 2 ],
        [ 'INTERSECT with a constant',
            "SELECT count(*) FROM (SELECT email FROM person INTERSECT SELECT $guess) AS s", 1 ],
        [ 'array of values = array of constants',
            "SELECT id FROM person WHERE ARRAY[email] = ARRAY[$guess\::sdes.enc_text]", 2 ],
        [ 'array @> array', "SELECT id FROM person WHERE ARRAY[email] @> ARRAY[$guess\::sdes.enc_text]", 2 ],
        [ 'array_position', "SELECT array_position(array_agg(email ORDER BY id), $guess) FROM person", 2 ],
        [ '= by a hash join with constants', [ 'SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off',
                "SELECT p.id FROM person AS p JOIN (VALUES ($guess), ('x')) AS v (e) ON p.email = v.e::text" ], 2 ],
        [ '= of a card number', "SELECT id FROM cards WHERE card = '$VALUES{2}[1]'", 2 ],
        [ 'UPDATE WHERE', [ "UPDATE person SET memo = 'hit' WHERE email = $guess",
                "SELECT id FROM person WHERE memo = 'hit'" ], 2 ],
        [ 'join with a text column', 'SELECT p.id FROM person AS p JOIN plain AS q ON p.email = q.v', 2 ],
        [ '= in a parallel worker', [ parallel(), "SELECT count(*) FROM person WHERE email = $guess" ], 1 ],
        [ '= in plpgsql', { extended => 'SELECT is_it($1)', parameters => [$GUESS] }, 't' ],
    );
    my @computed = (
        [ 'without a token: = literal', "SELECT id FROM person WHERE note = $guess", 2 ],
        [ 'without a token: IN', "SELECT id FROM person WHERE note IN ($guess, 'x')", 2 ],
        [ 'without a token: <> literal', "SELECT count(*) FROM person WHERE note <> $guess", 3 ],
        [ 'without a token: = text', "SELECT id FROM person WHERE note = $guess\::text", 2 ],
        [ 'without a token: array = array', "SELECT id FROM form WHERE many = ARRAY[$guess\::sdes.enc_text]", 2 ],
        [ 'without a token: with one that has', 'SELECT count(*) FROM person AS p JOIN twin AS t ON p.note = t.note AND p.id = 1', 1 ],
        [ 'without a token: = stored', 'SELECT count(*) FROM person AS p JOIN twin AS t ON p.note = t.note', 4 ],
        [ 'without a token: GROUP BY', 'SELECT count(*) FROM (SELECT note FROM person GROUP BY note) AS s', 4 ],
        [ 'without a token: DISTINCT', 'SELECT count(DISTINCT note) FROM person', 4 ],
    );
    my @compared = (
        [ 'stored = stored', 'SELECT count(*) FROM person AS p, twin AS t WHERE p.email = t.email', 4 ],
        [ 'hash join', [ 'SET LOCAL enable_mergejoin = off; SET LOCAL enable_nestloop = off',
                'SELECT count(*) FROM person AS p JOIN twin AS t ON p.email = t.email' ], 4 ],
        [ 'merge join', [ 'SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off',
                'SELECT count(*) FROM person AS p JOIN twin AS t ON p.email = t.email' ], 4 ],
        [ 'IN (subquery)', 'SELECT count(*) FROM person WHERE email IN (SELECT email FROM twin)', 4 ],
        [ 'count(DISTINCT)', 'SELECT count(DISTINCT email) FROM person', 4 ],
        [ 'GROUP BY', 'SELECT count(*) FROM (SELECT email FROM person GROUP BY email) AS s', 4 ],
        [ 'EXISTS', 'SELECT count(*) FROM person AS p WHERE EXISTS (SELECT FROM twin AS t WHERE t.email = p.email)', 4 ],
        [ 'NOT EXISTS', 'SELECT count(*) FROM person AS p WHERE NOT EXISTS (SELECT FROM twin AS t WHERE t.email = p.email)', 0 ],
        [ 'PARTITION BY', 'SELECT sum(n) FROM (SELECT count(*) OVER (PARTITION BY email) AS n FROM person) AS s', 4 ],
        [ 'rows IN a query', 'SELECT count(*) FROM person WHERE (id, email) IN (SELECT id, email FROM twin)', 4 ],
        [ 'IS NULL', 'SELECT count(*) FROM person WHERE email IS NULL', 0 ],
        [ 'count', 'SELECT count(email) FROM person', 4 ],
    );
    return (
        (map { path($_->[0], 'sought', $_->[1], answer => $_->[2]) } @sought),
        (map { path($_->[0], 'computed', $_->[1], answer => $_->[2]) } @computed),
        (map { path($_->[0], 'compared', $_->[1], answer => $_->[2]) } @compared),
        path('LOWER(column) = literal, through the index', 'sought or opened',
            [ 'SET LOCAL enable_seqscan = off', "SELECT id FROM person WHERE lower(login) = lower($guess)" ],
            answer => 2),
    );
}

sub sorts
{
    my @sorted = (
        [ 'ORDER BY', 'SELECT id FROM person ORDER BY email' ],
        [ 'ORDER BY without a token', 'SELECT id FROM person ORDER BY note' ],
        [ 'ORDER BY with a collation', 'SELECT id FROM person ORDER BY email COLLATE "C"' ],
        [ 'ORDER BY in a view', 'SELECT id FROM sorted_view' ],
        [ 'ORDER BY of an aggregate', "SELECT string_agg(id::text, ',' ORDER BY email) FROM person" ],
        [ 'ORDER BY of a window', 'SELECT id FROM (SELECT id, row_number() OVER (ORDER BY email) AS n FROM person) AS s ORDER BY n' ],
        [ 'ORDER BY, most of all', [ 'SET LOCAL enable_seqscan = off', 'SELECT id FROM person ORDER BY email LIMIT 4' ] ],
        [ 'ORDER BY several', 'SELECT id FROM person ORDER BY email, id' ],
        [ 'ORDER BY in a cursor', [ 'DECLARE c CURSOR FOR SELECT id FROM person ORDER BY email', 'FETCH ALL FROM c' ] ],
        [ 'ORDER BY in a function', 'SELECT sorted_ids()' ],
    );
    return map { path($_->[0], 'sorted', $_->[1], answer => '2,4,3,1', masked => '4,2,3,1') } @sorted;
}

# What functions make of it: by their nature text, or the value itself.
sub functions
{
    return (
        path('SECURITY DEFINER function of a role with decrypt', 'as definer', 'SELECT opened_as_reader()'),
        path('SECURITY INVOKER function', 'opened', 'SELECT opened_as_caller()'),
        path('SQL function that casts', 'opened', 'SELECT opened_by_sql()'),
        show('SQL function that returns rows', 'SELECT email FROM persons_by_sql() WHERE id = 1'),
        path('function that returns a table of text', 'opened', 'SELECT t FROM texts_by_plpgsql()'),
        path('text variable of PL/pgSQL', 'opened', 'SELECT text_variable()'),
        show('polymorphic function', 'SELECT anything(email) FROM person WHERE id = 1'),
        show('function that returns the value', 'SELECT value_by_plpgsql()'),
        path('DO block, RAISE of a cast', 'opened',
            "DO \$\$ BEGIN RAISE NOTICE '%', (SELECT email::text FROM person WHERE id = 1); END \$\$"),
        path('DO block, RAISE of the value', 'sealed', 'DO $$ DECLARE r record;'
                . " BEGIN SELECT email INTO r FROM person WHERE id = 1; RAISE NOTICE '%', r; END \$\$"),
        path('DO block, dynamic SQL', 'opened', "DO \$\$ DECLARE v text; BEGIN"
                . " EXECUTE 'SELECT email::text FROM person WHERE id = 1' INTO v; RAISE NOTICE '%', v; END \$\$"),
        path('RAISE EXCEPTION of a cast', 'opened', "DO \$\$ BEGIN RAISE EXCEPTION '%',"
                . " (SELECT email::text FROM person WHERE id = 1) USING ERRCODE = 'P0001'; END \$\$",
            beside => 'P0001'),
        path('refcursor', 'sealed', [ "SELECT open_cursor('rc')", 'FETCH ALL FROM rc' ]),
        path('CALL with an INOUT parameter', 'opened', 'CALL opened_inout(NULL)'),
        path('trigger function that casts', 'opened', "UPDATE seen SET memo = 'x' WHERE id = 1"),
        path('history table of a trigger with to_jsonb(NEW)', 'sealed',
            [ "UPDATE traced SET memo = 'x' WHERE id = 1", 'SELECT was FROM history' ]),
        show('sdes.reveal() by hand', 'SELECT sdes.reveal(email) FROM person WHERE id = 1'),
        show('sdes.reveal() in a function', 'SELECT revealed_by_plpgsql()'),
        path('output function by hand', 'sealed', 'SELECT sdes.enc_text_out(email) FROM person WHERE id = 1'),
        path('send function by hand', 'silent', 'SELECT sdes.enc_text_send(email) FROM person WHERE id = 1'),
        path('cast function by hand', 'opened', 'SELECT sdes.to_text(email) FROM person WHERE id = 1'),
    );
}

# Statements that would put plaintext, or a guess, into a table.
sub stores
{
    my @implicit = (
        [ 'INSERT SELECT into a plain column', 'INSERT INTO plain SELECT id, email FROM person WHERE id = 1' ],
        [ 'UPDATE of a plain column', 'UPDATE person SET memo = email WHERE id = 1' ],
        [ 'CREATE TABLE AS with lower()', 'CREATE TEMP TABLE t AS SELECT lower(email) AS e FROM person' ],
        [ 'MERGE into a plain column', 'MERGE INTO plain AS q USING person AS p ON false'
                . ' WHEN NOT MATCHED THEN INSERT VALUES (p.id, p.email)' ],
        [ 'trigger that stores NEW.email', "UPDATE leaky SET memo = 'x' WHERE id = 1" ],
    );
    return (
        (map { path("$_->[0], implicit", 'refused', $_->[1], state => '42804') } @implicit),
        path('INSERT SELECT with a cast, RETURNING', 'opened',
            'INSERT INTO plain SELECT id, email::text FROM person WHERE id = 1 RETURNING v'),
        path('CREATE TABLE AS with a cast', 'opened',
            [ 'CREATE TEMP TABLE t AS SELECT email::text AS e FROM person WHERE id = 1', 'SELECT e FROM t' ]),
        path('UPDATE with a cast, RETURNING', 'opened',
            'UPDATE person SET memo = email::text WHERE id = 1 RETURNING memo'),
        path('MERGE with a cast', 'opened',
            [ 'MERGE INTO plain AS q USING person AS p ON q.id = p.id + 1'
                . ' WHEN MATCHED AND p.id = 1 THEN UPDATE SET v = p.email::text',
                'SELECT v FROM plain' ]),
        path('UPDATE of the column by a function of it', 'rewritten',
            [ 'UPDATE person SET email = lower(email) WHERE id = 1', 'SELECT count(*) FROM person WHERE id = 1' ],
            answer => 1),
        path('UPDATE of another column', 'compared',
            [ "UPDATE person SET memo = 'x' WHERE id = 1", 'SELECT memo FROM person WHERE id = 1' ], answer => 'x'),
        show('copy within the bucket',
            [ 'INSERT INTO twin (id, email) SELECT 9, email FROM person WHERE id = 1',
                'SELECT email FROM twin WHERE id = 9' ]),
        path('guess into a unique column', 'stored',
            [ "INSERT INTO uniq VALUES (9, $guess) ON CONFLICT DO NOTHING", 'SELECT count(*) FROM uniq WHERE id = 9' ],
            answer => 0),
        path('guess that is stored, then compared', 'stored',
            [ "INSERT INTO twin (id, email) VALUES (9, $guess)",
                'SELECT p.id FROM person AS p JOIN twin AS t ON p.email = t.email AND t.id = 9' ], answer => 2),
        path('into a bucket of one\'s own', 'moved',
            [ 'INSERT INTO elsewhere SELECT id, email FROM person WHERE id = 1', 'SELECT v FROM elsewhere' ]),
        path('ALTER TABLE TYPE text USING a cast', 'for the owner',
            [ 'ALTER TABLE lone ALTER email TYPE text USING email::text', 'SELECT email FROM lone' ], then => 'opened'),
        path('index on an expression', 'for the owner', 'CREATE INDEX ON lone (lower(email))', state => '42P17'),
        path('ANALYZE with extended statistics', 'for the owner',
            [ 'CREATE STATISTICS lone_lower ON (lower(email)), id FROM lone', 'ANALYZE lone' ], state => '42501'),
        path('materialized view with a cast', 'refused',
            'CREATE MATERIALIZED VIEW m AS SELECT email::text FROM person', state => '42501'),
    );
}

# What errors tell.
sub errors
{
    return (
        path('failed cast', 'opened', 'SELECT email::text::int FROM person WHERE id = 1', beside => '22P02'),
        path('unique violation', 'sealed',
            'INSERT INTO uniq SELECT id + 100, email FROM person WHERE id = 1', beside => '23505'),
        path('CHECK violation', 'sealed',
            'INSERT INTO checked SELECT id + 100, email FROM twin WHERE id = 1', beside => '23514'),
        path('CHECK that opens the value', 'computed',
            [ 'INSERT INTO check_opens SELECT id, note FROM twin WHERE id = 1',
                'SELECT count(*) FROM check_opens' ], answer => 1),
        path('NOT NULL violation', 'sealed',
            'INSERT INTO required SELECT id, note, NULL FROM twin WHERE id = 1', beside => '23502'),
        path('exclusion violation', 'sealed',
            'INSERT INTO exclusive SELECT id + 100, email FROM person WHERE id = 1', beside => '23P01'),
        path('foreign key violation', 'sealed', 'INSERT INTO orders SELECT id, email FROM person WHERE id = 1',
            beside => '23503'),
        path('no partition for the row', 'sealed', 'INSERT INTO listed SELECT id, email FROM person WHERE id = 1',
            beside => '23514'),
        path('WITH CHECK OPTION', 'sealed', 'INSERT INTO few_view SELECT id, note, NULL FROM twin WHERE id = 1',
            beside => '44000'),
        path('division by zero if it begins with w', 'failed',
            "SELECT 1 / (CASE WHEN email LIKE 'w%' THEN 0 ELSE 1 END) FROM person WHERE id = 1", state => '22012'),
    );
}

sub catalogs
{
    return (
        path('pg_stats', 'sealed', "SELECT histogram_bounds FROM pg_stats WHERE tablename = 'person' AND attname = 'email'"),
        path('pg_stats without a token', 'compared',
            "SELECT count(*) FROM pg_stats WHERE tablename = 'person' AND attname = 'note'"
                . ' AND (histogram_bounds IS NOT NULL OR most_common_vals IS NOT NULL)', answer => 0),
        path('EXPLAIN', 'silent', 'EXPLAIN SELECT email FROM person WHERE id = 1'),
        path('EXPLAIN VERBOSE', 'silent', 'EXPLAIN (VERBOSE) SELECT email, lower(email) FROM person ORDER BY note'),
        path('EXPLAIN of a prepared statement', 'silent', [ 'PREPARE q AS SELECT email FROM person WHERE id = 1',
                'EXPLAIN (ANALYZE, VERBOSE) EXECUTE q', 'DEALLOCATE q' ]),
        path('EXPLAIN, JSON', 'silent', 'EXPLAIN (ANALYZE, VERBOSE, FORMAT json) SELECT email, note FROM person'),
        path('EXPLAIN ANALYZE', 'silent', 'EXPLAIN (ANALYZE, VERBOSE) SELECT email FROM person'),
        path('estimate of a condition', 'sought', "SELECT estimate($guess) > estimate($wrong)", answer => 't'),
        path('EXPLAIN with partitions left out', 'explained if sought',
            "EXPLAIN (COSTS off) SELECT FROM listed WHERE email = $guess"),
        path('EXPLAIN ANALYZE of a cast', 'explained',
            'EXPLAIN (ANALYZE, VERBOSE) SELECT email::text FROM person'),
    );
}

# Values of a bucket whose keys never leave the HSM: many are opened at once.
sub vault
{
    return (
        show('in the HSM: SELECT', 'SELECT email FROM inside WHERE id = 1'),
        show('in the HSM: cursor', [ 'DECLARE c CURSOR FOR SELECT email FROM inside WHERE id = 1', 'FETCH ALL FROM c' ]),
        show('in the HSM: COPY (query) TO STDOUT', 'COPY (SELECT email FROM inside WHERE id = 1) TO STDOUT'),
        show('in the HSM: UPDATE RETURNING', 'UPDATE inside SET id = 9 WHERE id = 1 RETURNING email'),
        path('in the HSM: cursor opened, then SET ROLE, then FETCH', 'sealed',
            [ 'DECLARE c CURSOR FOR SELECT email FROM inside WHERE id = 1', 'SET LOCAL ROLE common',
                'FETCH ALL FROM c' ]),
        path('in the HSM: cast', 'opened', 'SELECT email::text FROM inside WHERE id = 1'),
        path('in the HSM: COPY table TO STDOUT', 'sealed', 'COPY inside TO STDOUT'),
        path('in the HSM: = literal', 'sought', "SELECT id FROM inside WHERE email = $guess", answer => 2),
        path('in the HSM: ORDER BY', 'sorted', 'SELECT id FROM inside ORDER BY email',
            answer => '2,4,3,1', masked => '4,2,3,1'),
    );
}

# Through other programs and servers.
sub outside
{
    return (
        path('logical decoding', 'sealed',
            "SELECT data FROM pg_logical_slot_peek_changes('watch', NULL, 5)"),
        path('postgres_fdw, foreign column of type text', 'as the mapped user', 'SELECT email FROM far_text WHERE id = 1'),
        path('postgres_fdw, encrypted foreign column', 'as the mapped user, sealed again',
            'SELECT email FROM far_sealed WHERE id = 1'),
        path('pg_dump', 'sealed', { bytes => sub { $_[0]->dump } }),
        path('pg_dump --inserts', 'sealed', { bytes => sub { $_[0]->dump('--inserts') } }),
        path('COPY (query) TO a file', 'for superusers',
            { bytes => sub { $_[0]->copy_to_file('(SELECT email FROM person WHERE id = 1)') } }, then => 'sealed'),
        path('COPY table TO a file', 'for superusers', { bytes => sub { $_[0]->copy_to_file('person (email)') } }, then => 'sealed'),
    );
}

# What somebody tries who means ill.
sub tricks
{
    my $accept = 'SET LOCAL sdes.accept_ciphertext = on';
    return (
        path('ciphertext as a literal', 'refused', { sql => sub { "SELECT '$_[0]->{armor}'::sdes.enc_text('pii')::text" } },
            state => '22000'),
        show('ciphertext as a literal, accepted',
            [ $accept, { sql => sub { "SELECT '$_[0]->{armor}'::sdes.enc_text('pii', 'searchable')" } } ]),
        path('ciphertext as a literal, accepted and cast', 'opened',
            [ $accept, { sql => sub { "SELECT '$_[0]->{armor}'::sdes.enc_text('pii', 'searchable')::text" } } ]),
        path('every function of the extension with a guess', 'guessed',
            "SELECT CASE WHEN count(*) > 0 THEN 'some' ELSE 'none' END FROM try_functions($guess, $wrong)"),
        path('token made for a value without one', 'rewritten',
            "SELECT id FROM person WHERE note::sdes.enc_text('pii', 'searchable') ="
                . ' (SELECT email FROM twin WHERE id = 1)', answer => 1, first => 'encrypt'),
        path('guess in a table of another bucket, compared', 'stored elsewhere',
            [ "INSERT INTO elsewhere VALUES (9, $guess)",
                'SELECT p.id FROM person AS p JOIN elsewhere AS e ON p.email = e.v' ], answer => 2),
    );
}

1;
