/*
 * test_sqltext.c
 *		SQL without its constants.
 */
#include "sqltext/sqltext.h"

#include "tap.h"

#include <stdlib.h>

/* What becomes of a text of that size, in memory of exactly the size. */
static char *
redact_bytes(const char *text, size_t size, SdesSqlKind kind, size_t room)
{
	char *exact = malloc(size + 1);
	char *out = malloc(room);
	size_t length;

	memcpy(exact, text, size);
	length = sdes_sqltext_redact(sdes_bytes(exact, size), kind, out, room);
	ok(length < room && strlen(out) == length, "the length is told");
	free(exact);
	return out;
}

static void
check(const char *text, const char *want, SdesSqlKind kind)
{
	char *got = redact_bytes(text, strlen(text), kind, 8 * strlen(text) + 16);

	if (!ok(strcmp(got, want) == 0, "%.*s", (int) strcspn(want, "\r\n"), want))
		diag("got %s", got);
	free(got);
}

static void
is(const char *text, const char *want)
{
	check(text, want, SDES_SQL_STATEMENT);
}

static void
is_plan(const char *text, const char *want)
{
	check(text, want, SDES_SQL_PLAN);
}

static void
test_constants(void)
{
	is("", "");
	is("SELECT now()", "SELECT now()");
	is("SELECT * FROM t WHERE a = 'x' AND b = 5",
	   "SELECT * FROM t WHERE a = $1 AND b = $2");
	is("SELECT 'it''s', ''", "SELECT $1, $2");
	is("SELECT E'a\\'b', e'\\\\'", "SELECT $1, $2");
	is("SELECT B'01', X'ff', N'a', U&'d\\0061'", "SELECT $1, $2, $3, $4");
	is("SELECT nice, b, x1, e FROM u&v", "SELECT nice, b, x1, e FROM u&v");
	is("SELECT $$it's$$, $a$ $$ $b$ $a$, $1", "SELECT $2, $3, $1");
	is("SELECT $7, 'a', $2", "SELECT $7, $8, $2");
	is("SELECT $a, a$b$, $, $a b$", "SELECT $a, a$b$, $, $a b$");
	is("SELECT 1, 1.5, .5, 5., 1e10, 1E-5, 0xff, 1_000, 12ab",
	   "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9");
	is("SELECT a[1..2], t1.c2, -7", "SELECT a[$1..$2], t1.c2, -$3");
	is("SELECT \"a'b\", \"c\"\"d\", u&\"e'\", 'f'",
	   "SELECT \"a'b\", \"c\"\"d\", u&\"e'\", $1");
	is("SELECT '\xc3\xa9', \xc3\xa9t\xc3\xa9 FROM t",
	   "SELECT $1, \xc3\xa9t\xc3\xa9 FROM t");
	is("SELECT a'b', 1'c'$2$3", "SELECT a $4, $5 $6$2$3");
	is("DO $$ BEGIN x := 'a'; END $$", "DO $1");
}

static void
test_continued(void)
{
	is("SELECT 'a'\n 'b', c", "SELECT $1, c");
	is("SELECT E'a' -- it's\n  -- not\n\t'\\'b', c", "SELECT $1, c");
	is("SELECT 'a'\r'b', c", "SELECT $1, c");
	is("SELECT 'a' 'b'", "SELECT $1 $2");
	is("SELECT 'a' -- b", "SELECT $1  ");
}

static void
test_comments(void)
{
	is("SELECT 1 -- it's 4111\n, 'a' --", "SELECT $1  \n, $2  ");
	is("SELECT /* it's /* nested ' */ \" */ 'a' /* no end '", "SELECT   $1  ");
	is("SELECT a+--'\n'b'", "SELECT a+ \n$1");
	is("SELECT a*/*'*/b", "SELECT a* b");
	is("SELECT a - -'b'", "SELECT a - -$1");
}

/* Where it cannot be told what is a value, nothing that may be one is shown. */
static void
test_broken(void)
{
	is("INSERT INTO t VALUES ('O'Brien', 'x')", "INSERT INTO t VALUES ($1...");
	is("INSERT INTO t VALUES ('it' s secret, ')", "INSERT INTO t VALUES (...");
	is("SELECT 'a', 'b", "SELECT ...");
	is("SELECT a, $x$b", "SELECT a, ...");
	is("SELECT a, \"b, 'c'", "SELECT a, ...");
	is("SELECT E'a\\", "SELECT ...");
	is("SELECT 'a'", "SELECT $1");
	is("SELECT '4111'1111", "SELECT $1...");
	is("SELECT 'a'E'b'", "SELECT $1...");
	is("SELECT u&'", "SELECT ...");
	is("SELECT 'a\\', x", "SELECT ...");
	is("SELECT 'a\\\\', 'b\\n'", "SELECT $1, $2");
	is("SELECT 'O\\'Brien', n'b'", "SELECT ...");
	is("SELECT $$a$", "SELECT ...");
}

/* What no parser took: quotes that match may do so by chance. */
static void
test_unparsed(void)
{
	check("INSERT INTO t VALUES ('the dogs' secret bed', 'x')", "INSERT INTO t VALUES (...",
	      SDES_SQL_UNPARSED);
	check("SELEC \"a\", 'b'", "SELEC ...", SDES_SQL_UNPARSED);
	check("SELEC 5, a", "SELEC $1, a", SDES_SQL_UNPARSED);
}

static void
test_plans(void)
{
	is_plan(
	    "Query Text: SELECT * FROM t WHERE a = 'x' AND b = 411111111\n"
	    "Seq Scan on t  (cost=0.00..123456.75 rows=10 width=8)\n  Filter: (a = 'x'::text)",
	    "Query Text: SELECT * FROM t WHERE a = ... AND b = ...\n"
	    "Seq Scan on t  (cost=0.00..123456.75 rows=10 width=8)\n  Filter: (a = ...::text)");
	is_plan("(actual time=0.015..1.5 rows=1) (a = 0.4111) (b = 1234567.89012)",
	        "(actual time=0.015..1.5 rows=1) (a = ...) (b = ...)");
	is_plan("  ->  Index Scan on \"it's\"  (cost=0.15..8.17)\n  Index Cond: (x = $1)",
	        "  ->  Index Scan on \"it's\"  (cost=0.15..8.17)\n  Index Cond: (x = $1)");
}

static void
test_prose(void)
{
	check("Process 1234567 waits for ShareLock on transaction 1234567890; blocked by "
	      "process 8."
	      "\nProcess 8: UPDATE t SET a = 'x', b = 4111111111111111",
	      "Process 1234567 waits for ShareLock on transaction 1234567890; blocked by "
	      "process 8."
	      "\nProcess 8: UPDATE t SET a = ..., b = ...",
	      SDES_SQL_PROSE);
}

static void
test_has_constants(void)
{
	const char *with[] = {"SELECT 1", "DO ''", "SELECT $$a$$", "SELECT 'a"};
	const char *without[] = {"", "SELECT $1, a1, \"1\" -- 1", "BEGIN"};
	int wrong = 0;

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++)
		wrong += !sdes_sqltext_has_constants(sdes_bytes(with[i], strlen(with[i])));
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		wrong += sdes_sqltext_has_constants(sdes_bytes(without[i], strlen(without[i])));
	ok(wrong == 0, "which statements have constants is told");
}

/* Into all sizes there are. */
static void
test_room(void)
{
	const char *text = "SELECT 'alice', 'bob', 5, \"w\" FROM t";
	const char *whole = "SELECT $1, $2, $3, \"w\" FROM t";
	int wrong = 0;

	for (size_t room = 16; room < 64; room++)
	{
		char *out = malloc(room);
		size_t n = sdes_sqltext_redact(sdes_bytes(text, strlen(text)), SDES_SQL_STATEMENT,
		                               out, room);
		bool all = strcmp(out, whole) == 0;

		wrong += strlen(out) != n || n >= room;
		wrong += !all && (n < 3 || strcmp(out + n - 3, "...") != 0 ||
		                  strncmp(out, whole, n - 3) != 0);
		wrong += all != (room >= strlen(whole) + sizeof(SDES_SQL_CUT));
		free(out);
	}
	ok(wrong == 0, "a text is cut where the room ends");
}

/* Each beginning of a statement, as pg_stat_activity has it. */
static void
test_beginnings(void)
{
	const char *text = "INSERT INTO t VALUES ('Secret', E'Sec\\'ret', $q$Secret$q$, "
	                   "/* Secret */ X'5ec', 5 -- Secret\n), ('Sec' \n 'ret')";
	int shown = 0;

	for (size_t n = 0; n <= strlen(text); n++)
	{
		char out[256];

		sdes_sqltext_redact(sdes_bytes(text, n), SDES_SQL_STATEMENT, out, sizeof(out));
		shown += strstr(out, "Sec") != NULL || strstr(out, "ret") != NULL;
	}
	ok(shown == 0, "no beginning shows a value");
}

int
main(void)
{
	test_constants();
	test_continued();
	test_comments();
	test_broken();
	test_unparsed();
	test_plans();
	test_prose();
	test_has_constants();
	test_room();
	test_beginnings();
	return done_testing();
}
