/*
 * sqltext.c
 *		A text of SQL without its constants.
 */
#include "sqltext/sqltext.h"

#include <stdio.h>
#include <string.h>

/* Numbers with fewer digits before the point are costs, rows and processes. */
#define PLAN_DIGITS   8
#define PLAN_DECIMALS 3  /* as of milliseconds */
#define PROSE_DIGITS  12 /* a card number's */

typedef enum Kind
{
	END,
	OTHER, /* of an operator, a bracket, white space */
	WORD,
	QUOTED_WORD,
	COMMENT,
	NUMBER,
	STRING,
	PARAMETER,
	UNCLOSED /* a string or quoted word without an end */
} Kind;

typedef struct Scan
{
	const char *at;
	const char *end;
	const char *token; /* where the last one began */
} Scan;

typedef struct Output
{
	char *text;
	size_t size;
	size_t room;  /* for characters, with enough left for what says that it is cut */
	size_t quote; /* where the first quote was */
	bool quoted;  /* there was one */
	bool full;
} Output;

/* ---- characters ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Letters are all that is not ASCII, too. */
static bool
begins_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (unsigned char) c >= 0x80;
}

static bool
in_word(char c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static bool
is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static bool
is_space(char c)
{
	return is_newline(c) || c == ' ' || c == '\t' || c == '\f' || c == '\v';
}

/* The character so far ahead; a zero byte at the end. */
static char
peek(const Scan *scan, size_t ahead)
{
	return (size_t) (scan->end - scan->at) > ahead ? scan->at[ahead] : '\0';
}

static bool
skip_line_comment(Scan *scan)
{
	if (peek(scan, 0) != '-' || peek(scan, 1) != '-')
		return false;
	while (scan->at < scan->end && !is_newline(*scan->at))
		scan->at++;
	return true;
}

/* These nest. One without an end reaches to that of the text. */
static bool
skip_block_comment(Scan *scan)
{
	int depth = 0;

	if (peek(scan, 0) != '/' || peek(scan, 1) != '*')
		return false;
	do
	{
		if (peek(scan, 0) == '/' && peek(scan, 1) == '*')
		{
			depth++;
			scan->at += 2;
		}
		else if (peek(scan, 0) == '*' && peek(scan, 1) == '/')
		{
			depth--;
			scan->at += 2;
		}
		else
			scan->at++;
	} while (depth > 0 && scan->at < scan->end);
	return true;
}

/* ---- strings ---- */

/* What may stand for a quote within quotes, besides two. */
typedef enum Quoting
{
	DOUBLED,
	ESCAPED,       /* a backslash and one */
	MAYBE_ESCAPED, /* as standard_conforming_strings was when the text was read */
	NOTHING        /* nor two: strings of bits */
} Quoting;

/*
 * Past the closing quote, which may stand doubled, or escaped, inside. False: there is none,
 * or it may be one or not.
 */
static bool
skip_quoted(Scan *scan, char quote, Quoting quoting)
{
	for (scan->at++; scan->at < scan->end; scan->at++)
	{
		if ((quoting == ESCAPED || quoting == MAYBE_ESCAPED) && *scan->at == '\\')
		{
			if (quoting == MAYBE_ESCAPED && peek(scan, 1) == quote)
				break;
			scan->at += scan->end - scan->at > 1;
		}
		else if (*scan->at == quote && peek(scan, 1) == quote && quoting != NOTHING)
			scan->at++;
		else if (*scan->at == quote)
		{
			scan->at++;
			return true;
		}
	}
	scan->at = scan->end;
	return false;
}

/* A string goes on, by its own rules, in the next one on another line. */
static bool
find_continuation(Scan *scan)
{
	Scan ahead = *scan;
	bool newline = false;

	while (ahead.at < ahead.end && (is_space(*ahead.at) || skip_line_comment(&ahead)))
		if (ahead.at < ahead.end && is_space(*ahead.at))
			newline |= is_newline(*ahead.at++);
	if (!newline || peek(&ahead, 0) != '\'')
		return false;
	scan->at = ahead.at;
	return true;
}

static Kind
scan_string(Scan *scan, Quoting quoting)
{
	do
	{
		if (!skip_quoted(scan, '\'', quoting))
			return UNCLOSED;
	} while (find_continuation(scan));
	return STRING;
}

/* $tag$...$tag$; false when that is none. */
static bool
scan_dollar_string(Scan *scan, Kind *kind)
{
	const char *tag = scan->at;
	const char *at = tag + 1;
	size_t size;

	if (at < scan->end && begins_word(*at))
		while (at < scan->end && in_word(*at) && *at != '$')
			at++;
	if (at >= scan->end || *at != '$')
		return false;
	size = (size_t) (at + 1 - tag);
	for (at++; (size_t) (scan->end - at) >= size; at++)
		if (memcmp(at, tag, size) == 0)
		{
			scan->at = at + size;
			*kind = STRING;
			return true;
		}
	scan->at = scan->end;
	*kind = UNCLOSED;
	return true;
}

/* ---- tokens ---- */

static void
skip_digits(Scan *scan)
{
	while (is_digit(peek(scan, 0)))
		scan->at++;
}

/* With all letters that follow: what is no number is no word either. */
static Kind
scan_number(Scan *scan)
{
	skip_digits(scan);
	if (peek(scan, 0) == '.' && peek(scan, 1) != '.')
	{
		scan->at++;
		skip_digits(scan);
	}
	if ((peek(scan, 0) == 'e' || peek(scan, 0) == 'E') &&
	    (peek(scan, 1) == '-' || peek(scan, 1) == '+') && is_digit(peek(scan, 2)))
		scan->at += 2;
	while (begins_word(peek(scan, 0)) || is_digit(peek(scan, 0)))
		scan->at++;
	return NUMBER;
}

/* Also what begins like a word, and is a string or a quoted word. */
static Kind
scan_word(Scan *scan)
{
	char first = *scan->at;
	bool unicode = (first == 'u' || first == 'U') && peek(scan, 1) == '&';

	if (unicode && peek(scan, 2) == '"')
	{
		scan->at += 2;
		return skip_quoted(scan, '"', DOUBLED) ? QUOTED_WORD : UNCLOSED;
	}
	if (unicode && peek(scan, 2) == '\'')
	{
		scan->at += 2;
		return scan_string(scan, DOUBLED);
	}
	if (peek(scan, 1) == '\'' && strchr("eEbBxXnN", first) != NULL)
	{
		scan->at++;
		return scan_string(scan, strchr("eE", first) != NULL   ? ESCAPED
		                         : strchr("nN", first) != NULL ? MAYBE_ESCAPED
		                                                       : NOTHING);
	}
	while (in_word(peek(scan, 0)))
		scan->at++;
	return WORD;
}

static Kind
next_token(Scan *scan)
{
	Kind kind;
	char c = peek(scan, 0);

	scan->token = scan->at;
	if (scan->at >= scan->end)
		return END;
	if (skip_line_comment(scan) || skip_block_comment(scan))
		return COMMENT;
	if (c == '\'')
		return scan_string(scan, MAYBE_ESCAPED);
	if (c == '"')
		return skip_quoted(scan, '"', DOUBLED) ? QUOTED_WORD : UNCLOSED;
	if (c == '$' && scan_dollar_string(scan, &kind))
		return kind;
	if (c == '$' && is_digit(peek(scan, 1)))
	{
		scan->at++;
		skip_digits(scan);
		return PARAMETER;
	}
	if (is_digit(c) || (c == '.' && is_digit(peek(scan, 1))))
		return scan_number(scan);
	if (begins_word(c))
		return scan_word(scan);
	scan->at += c == '.' && peek(scan, 1) == '.' ? 2 : 1;
	return OTHER;
}

/* The greatest parameter of a statement; constants get the numbers after it. */
static unsigned
last_parameter(Scan scan)
{
	unsigned last = 0;
	Kind kind;

	while ((kind = next_token(&scan)) != END)
	{
		unsigned number = 0;

		if (kind != PARAMETER)
			continue;
		for (const char *c = scan.token + 1; c < scan.at && number < 100000; c++)
			number = number * 10 + (unsigned) (*c - '0');
		last = number > last ? number : last;
	}
	return last;
}

/* ---- output ---- */

static void
put(Output *out, const char *text, size_t size)
{
	if (size > out->room - out->size)
		out->full = true;
	if (out->full)
		return;
	memcpy(out->text + out->size, text, size);
	out->size += size;
}

static void
note_quote(Output *out)
{
	if (!out->quoted)
		out->quote = out->size;
	out->quoted = true;
}

static bool
is_sql(SdesSqlKind kind)
{
	return kind == SDES_SQL_STATEMENT || kind == SDES_SQL_UNPARSED;
}

/* Of a number that is too short to be somebody's, with what follows a point. */
static bool
is_short(const Scan *scan, SdesSqlKind kind)
{
	int digits = 0, after = 0;
	bool point = false;

	for (const char *c = scan->token; c < scan->at; c++)
	{
		point |= *c == '.';
		digits += is_digit(*c) && !point;
		after += is_digit(*c) && point;
	}
	return after <= PLAN_DECIMALS &&
	       digits < (kind == SDES_SQL_PLAN ? PLAN_DIGITS : PROSE_DIGITS);
}

/* Not as a part of the word before it. */
static void
put_constant(Output *out, SdesSqlKind kind, unsigned number)
{
	char name[16];

	if (out->size > 0 && in_word(out->text[out->size - 1]))
		put(out, " ", 1);
	if (is_sql(kind))
		put(out, name, (size_t) snprintf(name, sizeof(name), "$%u", number));
	else
		put(out, SDES_SQL_CUT, sizeof(SDES_SQL_CUT) - 1);
}

static size_t
cut(Output *out, size_t size)
{
	memcpy(out->text + size, SDES_SQL_CUT, sizeof(SDES_SQL_CUT));
	return size + sizeof(SDES_SQL_CUT) - 1;
}

bool
sdes_sqltext_has_constants(SdesBytes text)
{
	Scan scan = {.at = (const char *) text.data,
	             .end = (const char *) text.data + text.size};
	Kind token;

	while ((token = next_token(&scan)) != END)
		if (token == STRING || token == NUMBER || token == UNCLOSED)
			return true;
	return false;
}

size_t
sdes_sqltext_redact(SdesBytes text, SdesSqlKind kind, char *out, size_t room)
{
	Scan scan = {.at = (const char *) text.data,
	             .end = (const char *) text.data + text.size};
	Output output = {.text = out, .room = room - sizeof(SDES_SQL_CUT)};
	unsigned number = last_parameter(scan);
	Kind token, before = OTHER;

	while (!output.full && (token = next_token(&scan)) != END)
	{
		bool shown = token == OTHER || token == WORD || token == QUOTED_WORD ||
		             token == PARAMETER ||
		             (token == NUMBER && !is_sql(kind) && is_short(&scan, kind));

		if (token == STRING || token == QUOTED_WORD || token == UNCLOSED)
			note_quote(&output);
		if (token == UNCLOSED ||
		    (kind == SDES_SQL_UNPARSED && (token == STRING || token == QUOTED_WORD)))
			return cut(&output, output.quote);
		/* A quote inside a value, most likely: what follows may be its rest. */
		if (before == STRING &&
		    (token == WORD || token == QUOTED_WORD || token == NUMBER || token == STRING))
			return cut(&output, output.size);
		if (shown)
			put(&output, scan.token, (size_t) (scan.at - scan.token));
		else if (token == COMMENT)
			put(&output, " ", 1);
		else
			put_constant(&output, kind, ++number);
		before = token;
	}
	if (output.full)
		return cut(&output, output.size);
	out[output.size] = '\0';
	return output.size;
}
