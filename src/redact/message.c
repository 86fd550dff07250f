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

/* log_statement, log_duration, auto_explain, ...: see tcop/postgres.c, auto_explain.c. */
static bool
tells_statement(const ErrorData *edata)
{
	const char *source = source_of(edata);

	return edata->elevel == LOG &&
	       (begins_with(source, "statement: ") || begins_with(source, "duration: ") ||
	        strcmp(source, "%s %s%s%s: %s") == 0);
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

/* As "Key (a)=(1) already exists." */
static bool
quotes_row(const ErrorData *edata)
{
	return ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
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

static char *
message_of(const ErrorData *edata)
{
	char *message = edata->message;

	if (message == NULL)
		return NULL;
	if (tells_statement(edata))
		message = statement_message(edata);
	else if (quotes_input(edata) && !is_constant(source_of(edata)))
		message = without_arguments(source_of(edata));
	return message != NULL ? message : unconstify(char *, &SDES_SQL_CUT[0]);
}

static char *
detail_of(const ErrorData *edata, char *detail)
{
	if (tells_statement(edata) || is_node_tree(detail) || quotes_input(edata) ||
	    quotes_row(edata))
		return NULL;
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

		if (name == 0 && (*c == '"' || *c == '\'' || (unsigned char) *c >= 0x80 ||
		                  (*c == ':' && c + 1 < end && c[1] == ' ')))
			break;
		c += Max(name, 1);
	}
	while (c > line && c[-1] == ' ')
		c--;
	return c - line;
}

/* How lines begin that each have a place of their own: what calls what. */
static bool
begins_place(const char *line)
{
	const char *const known[] = {"PL/pgSQL ", "SQL ",           "COPY ",
	                             "while ",    "unnamed portal", "parallel worker",
	                             "portal ",   "automatic "};

	for (size_t i = 0; i < lengthof(known); i++)
		if (begins_with(line, known[i]))
			return true;
	return false;
}

/* A statement that is quoted may go over many lines, of which none is kept. */
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
		bool closed = size > 0 && end[-1] == '"';

		if (line == context || (!quoting && begins_place(line)))
		{
			size_t kept = place_in(line, end);

			if (to > out)
				*to++ = '\n';
			memcpy(to, line, kept);
			to += kept;
			quoting = kept < size && strchr(line + kept, '"') != NULL && !closed;
		}
		else if (closed)
			quoting = false;
		line = *end == '\n' ? end + 1 : end;
	}
	*to = '\0';
	return out;
}

void
sdes_redact_message(ErrorData *edata)
{
	char *message = message_of(edata);
	char *detail = detail_of(edata, edata->detail);
	char *detail_log = detail_of(edata, edata->detail_log);

	edata->message = message;
	edata->detail = detail;
	edata->detail_log = detail_log;
	edata->context = context_of(edata->context);
	edata->internalquery =
	    unconstify(char *, sdes_redacted(edata->internalquery, SDES_SQL_STATEMENT));
	edata->cursorpos = edata->internalpos = 0; /* of the texts as they were */
}
