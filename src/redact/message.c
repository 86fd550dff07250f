/*
 * message.c
 *		What the server log gets of a message.
 *
 * Messages are told apart by the text that PostgreSQL's source has for them, which no
 * translation changes. Where a message quotes what it could not read, that text stands in
 * its place.
 */
#include "postgres.h"

#include "redact/message.h"

#include "redact/text.h"
#include "tcop/tcopprot.h"

static bool
begins_with(const char *text, const char *beginning)
{
	return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* ---- kinds of messages ---- */

static const char *
source_of(const ErrorData *edata)
{
	return edata->message_id != NULL ? edata->message_id : "";
}

/*
 * log_statement, log_duration, auto_explain at the level that it is told to, what is parsed
 * at DEBUG2, ...: see tcop/postgres.c, replication/walsender.c, auto_explain.c.
 */
static bool
tells_statement(const ErrorData *edata)
{
	const char *source = source_of(edata);

	return begins_with(source, "statement: ") || begins_with(source, "duration: ") ||
	       strcmp(source, "%s %s%s%s: %s") == 0 || strcmp(source, "parse %s: %s") == 0 ||
	       strcmp(source, "received replication command: %s") == 0;
}

/* pg_log_backend_memory_contexts(): a prepared statement's is known by its text. */
static bool
tells_memory(const ErrorData *edata)
{
	return begins_with(source_of(edata), "level: %d; %s: ");
}

/* debug_print_parse and the like: see elog_node_display(). */
static bool
is_node_tree(const char *detail)
{
	return detail != NULL && detail[strspn(detail, " (\n")] == '{';
}

/* Of sdes itself, whose messages hold no value. */
static bool
is_ours(const ErrorData *edata)
{
	return edata->hide_stmt && edata->hide_ctx;
}

/* LOG is of the server's own input, as its configuration. */
static bool
quotes_input(const ErrorData *edata)
{
	return edata->elevel != LOG && !is_ours(edata) &&
	       (ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
	        edata->sqlerrcode == ERRCODE_SYNTAX_ERROR);
}

/*
 * As "Key (a)=(1) already exists.", also of a view's CHECK OPTION and of replication that
 * conflicts (PostgreSQL 18); and what another library or program said of its input.
 */
static bool
quotes_row(const ErrorData *edata)
{
	int category = ERRCODE_TO_CATEGORY(edata->sqlerrcode);

	return category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
	       category == ERRCODE_WITH_CHECK_OPTION_VIOLATION ||
	       category == ERRCODE_EXTERNAL_ROUTINE_EXCEPTION ||
	       category == ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION ||
	       category == ERRCODE_CONNECTION_EXCEPTION ||
	       begins_with(source_of(edata), "conflict detected on relation");
}

/* ---- the message ---- */

static bool
ends_conversion(char c)
{
	return strchr("dioxXucsfFeEgGpm%", c) != NULL;
}

/* Of a message into which nothing is put. */
static bool
is_constant(const char *format)
{
	return *format != '\0' && strchr(format, '%') == NULL;
}

/* A format with dots for what is put into it; NULL when it is not known. */
static char *
without_arguments(const char *format)
{
	size_t room = 2 * strlen(format) + sizeof(SDES_SQL_CUT);
	char *out = palloc_extended(room, MCXT_ALLOC_NO_OOM);
	char *to = out;

	if (out == NULL || *format == '\0')
		return NULL;
	for (const char *c = format; *c != '\0'; c++)
	{
		if (*c != '%')
			*to++ = *c;
		else if (c[1] == '%')
			*to++ = *c++;
		else
		{
			while (c[1] != '\0' && !ends_conversion(*++c))
				;
			to = strcpy(to, SDES_SQL_CUT) + strlen(SDES_SQL_CUT);
		}
	}
	*to = '\0';
	return out;
}

/* The beginning of a message as it is, and what follows without constants. */
static char *
rest_redacted(const char *message, size_t beginning, SdesSqlKind kind)
{
	const char *rest = sdes_redacted(message + beginning, kind);
	size_t size = strlen(rest);
	char *out = palloc_extended(beginning + size + 1, MCXT_ALLOC_NO_OOM);

	if (out == NULL)
		return NULL;
	memcpy(out, message, beginning);
	memcpy(out + beginning, rest, size + 1);
	return out;
}

/* Other formats than text quote the quotes; what they say cannot be told apart. */
static char *
plan_message(const ErrorData *edata)
{
	const char *plan = strchr(edata->message, '\n');

	if (plan == NULL || !begins_with(plan, "\nQuery Text: ") ||
	    begins_with(plan, "\nQuery Text: \""))
		return without_arguments(source_of(edata));
	return rest_redacted(edata->message, plan - edata->message, SDES_SQL_PLAN);
}

/* The statement stands at the end, and is the one that is executed. */
static char *
statement_message(const ErrorData *edata)
{
	const char *statement = debug_query_string;
	size_t size = strlen(edata->message);
	size_t length = statement == NULL ? 0 : strlen(statement);

	if (strcmp(source_of(edata), "duration: %s ms") == 0)
		return edata->message;
	if (strstr(source_of(edata), "plan:") != NULL)
		return plan_message(edata);
	if (length == 0 || length > size ||
	    strcmp(edata->message + size - length, statement) != 0)
		return without_arguments(source_of(edata));
	return rest_redacted(edata->message, size - length, SDES_SQL_STATEMENT);
}

/* What a context is called follows its figures. */
static char *
memory_message(const ErrorData *edata)
{
	const char *const figures_end = " used: ";
	const char *name = strstr(edata->message, figures_end);

	if (name == NULL)
		return edata->message;
	return rest_redacted(edata->message,
	                     (size_t) (name - edata->message) + strlen(figures_end),
	                     SDES_SQL_STATEMENT);
}

static char *
message_of(const ErrorData *edata)
{
	char *message = edata->message;

	if (message == NULL)
		return NULL;
	if (tells_statement(edata))
		message = statement_message(edata);
	else if (tells_memory(edata))
		message = memory_message(edata);
	else if (quotes_input(edata) && !is_constant(source_of(edata)))
		message = without_arguments(source_of(edata));
	return message != NULL ? message : unconstify(char *, &SDES_SQL_CUT[0]);
}

/* The line after "at", if it begins with the same word, a number and a colon; else NULL. */
static const char *
next_process(const char *detail, const char *at)
{
	size_t word = strcspn(detail, " \n");

	while ((at = strchr(at, '\n')) != NULL)
	{
		const char *number = ++at + word;

		if (strncmp(at, detail, word) == 0 && *number == ' ' &&
		    number[1 + strspn(number + 1, "0123456789")] == ':')
			return at;
	}
	return NULL;
}

/*
 * As "Process 1 waits for ... by process 2.", a line each, and then "Process 1: SELECT ..."
 * for each; the numbers of processes and relations are to stay, those of statements not.
 */
static char *
deadlock_detail(const char *detail)
{
	const size_t least = 64; /* of what a statement is written to */
	size_t room = 2 * strlen(detail) + least;
	char *out = palloc_extended(room, MCXT_ALLOC_NO_OOM);
	size_t size = 0;
	const char *from = detail;

	if (out == NULL)
		return NULL;
	for (const char *next = next_process(detail, detail); next != NULL;)
	{
		const char *statement = strchr(next, ':') + 1;
		const char *end = next_process(detail, statement);
		size_t kept = (size_t) (statement - from);

		if (room - size < kept + least)
			break;
		memcpy(out + size, from, kept);
		size += kept;
		from = end != NULL ? end - 1 : statement + strlen(statement);
		size += sdes_sqltext_redact(sdes_bytes(statement, (size_t) (from - statement)),
		                            SDES_SQL_STATEMENT, out + size, room - size);
		next = end;
	}
	out[size] = '\0';
	return size > 0 ? out : unconstify(char *, sdes_redacted(detail, SDES_SQL_PROSE));
}

/* The statement of a process that crashed, in the words of LogChildExit(). */
static char *
crash_detail(char *detail)
{
	const char *statement = strchr(detail, ':');

	return statement == NULL ? NULL
	                         : rest_redacted(detail, (size_t) (statement + 1 - detail),
	                                         SDES_SQL_STATEMENT);
}

static char *
detail_of(const ErrorData *edata, char *detail)
{
	if (detail == NULL || tells_statement(edata) || is_node_tree(detail) ||
	    quotes_input(edata) || quotes_row(edata))
		return NULL;
	if (edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
		return deadlock_detail(detail);
	if (begins_with(source_of(edata), "%s (PID %d) "))
		return crash_detail(detail);
	return unconstify(char *, sdes_redacted(detail, SDES_SQL_PROSE));
}

/* ---- the context ---- */

static bool
in_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '$';
}

/* A quoted name at a place; 0 when something else is quoted there. */
static size_t
quoted_name(const char *at, const char *end)
{
	const char *c = at + 1;

	while (c < end && in_name(*c))
		c++;
	return c > at + 1 && c < end && *c == '"' ? (size_t) (c + 1 - at) : 0;
}

/* Within a word, as in "function's", it quotes nothing. */
static bool
is_apostrophe(const char *line, const char *at, const char *end)
{
	return *at == '\'' && at > line && in_name(at[-1]) && at + 1 < end && in_name(at[1]);
}

/*
 * How much of a line tells where an error arose, and not of what: up to the first colon, or
 * what is quoted and no name. Quotes of other languages are not known here.
 */
static size_t
place_in(const char *line, const char *end)
{
	bool quotes_sql = begins_with(line, "SQL statement ");
	const char *c = line;

	while (c < end)
	{
		size_t name = *c == '"' && !quotes_sql ? quoted_name(c, end) : 0;

		if (name == 0 && !is_apostrophe(line, c, end) &&
		    (*c == '"' || *c == '\'' || (unsigned char) *c >= 0x80 ||
		     (*c == ':' && c + 1 < end && c[1] == ' ')))
			break;
		c += Max(name, 1);
	}
	while (c > line && c[-1] == ' ')
		c--;
	return c - line;
}

/*
 * How lines begin, and go on, that each have a place of their own: what calls what. Texts
 * that are quoted have lines, too, of which one may begin as PostgreSQL's do.
 */
static bool
begins_place(const char *line, size_t kept)
{
	static const struct
	{
		const char *beginning;
		const char *rest;
	} known[] = {{"PL/pgSQL function ", ""},
	             {"PL/pgSQL assignment \"", ""},
	             {"SQL statement \"", ""},
	             {"SQL expression \"", ""},
	             {"SQL function \"", "\" "},
	             {"COPY ", ", line "},
	             {"while ", " relation \""},
	             {"unnamed portal with parameters", ""},
	             {"unnamed portal parameter $", ""},
	             {"portal \"", "\" "},
	             {"parallel worker", ""},
	             {"automatic ", " of table \""}};

	for (size_t i = 0; i < lengthof(known); i++)
		if (begins_with(line, known[i].beginning))
		{
			const char *rest = strstr(line, known[i].rest);

			return rest != NULL && rest <= line + kept;
		}
	return false;
}

/* A statement that is quoted may go over many lines, of which none is kept. JSON does not. */
static char *
context_of(const char *context)
{
	char *out, *to;
	bool quoting = false;

	if (context == NULL)
		return NULL;
	to = out = palloc_extended(strlen(context) + 1, MCXT_ALLOC_NO_OOM);
	if (out == NULL)
		return NULL;
	for (const char *line = context; *line != '\0';)
	{
		size_t size = strcspn(line, "\n");
		const char *end = line + size;
		size_t kept = place_in(line, end);
		bool closed = size > 0 && end[-1] == '"';

		if (line == context || (!quoting && begins_place(line, kept)))
		{
			if (to > out)
				*to++ = '\n';
			memcpy(to, line, kept);
			to += kept;
			quoting = kept < size && !closed && !begins_with(line, "JSON data, ");
		}
		else if (closed)
			quoting = false;
		line = *end == '\n' ? end + 1 : end;
	}
	*to = '\0';
	return out;
}

void
sdes_redact_message(ErrorData *edata, SdesSqlKind statement)
{
	char *message = message_of(edata);
	char *detail = detail_of(edata, edata->detail);
	char *detail_log = detail_of(edata, edata->detail_log);

	edata->message = message;
	edata->detail = detail;
	edata->detail_log = detail_log;
	edata->context = context_of(edata->context);
	edata->internalquery =
	    unconstify(char *, sdes_redacted(edata->internalquery, statement));
	edata->cursorpos = edata->internalpos = 0; /* of the texts as they were */
}
