/*
 * scan_sql.c
 *		Functions for a server: what PostgreSQL's own scanner makes of a text, and what sdes
 *		makes of it for a log.
 *
 *		scan_sql(text)		its tokens, each constant as a parameter; NULL for an error
 *		redact_sql(text)	the text without its constants
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "parser/gramparse.h"
#include "parser/parser.h"
#include "sqltext/sqltext.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(scan_sql);
PG_FUNCTION_INFO_V1(redact_sql);

static void
append_token(StringInfo out, int token, const core_YYSTYPE *value)
{
	switch (token)
	{
		case SCONST:
		case USCONST:
		case BCONST:
		case XCONST:
		case ICONST:
		case FCONST:
		case PARAM:
			appendStringInfoString(out, "$ ");
			break;
		case IDENT:
		case UIDENT:
		case Op:
			appendStringInfo(out, "%d:%s ", token, value->str);
			break;
		default:
			appendStringInfo(out, "%d ", token);
	}
}

static void
scan(char *sql, StringInfo out)
{
	core_yy_extra_type extra;
	core_yyscan_t scanner = scanner_init(sql, &extra, &ScanKeywords, ScanKeywordTokens);
	core_YYSTYPE value;
	YYLTYPE location;
	int token;

	while ((token = core_yylex(&value, &location, scanner)) != 0)
		if (token != NCHAR) /* of n'...', too */
			append_token(out, token, &value);
	scanner_finish(scanner);
}

Datum
scan_sql(PG_FUNCTION_ARGS)
{
	char *sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	MemoryContext old = CurrentMemoryContext;
	volatile bool failed = false;
	StringInfoData out;

	initStringInfo(&out);
	PG_TRY();
	{
		scan(sql, &out);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		failed = true;
	}
	PG_END_TRY();
	if (failed)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}

Datum
redact_sql(PG_FUNCTION_ARGS)
{
	char *sql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	size_t size = 4 * strlen(sql) + 64;
	char *out = palloc(size);

	sdes_sqltext_redact(sdes_bytes(sql, strlen(sql)), SDES_SQL_STATEMENT, out, size);
	PG_RETURN_TEXT_P(cstring_to_text(out));
}
