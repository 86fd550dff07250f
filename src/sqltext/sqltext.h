/*
 * sqltext.h
 *		A text of SQL without its constants, as it may stand in a log.
 *
 * The tokens are those of PostgreSQL's scanner (src/backend/parser/scan.l), but nothing is
 * an error here: what a log shows is also what no parser took.
 */
#ifndef SDES_SQLTEXT_H
#define SDES_SQLTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/bytes.h"

typedef enum SdesSqlKind
{
	SDES_SQL_STATEMENT, /* each constant becomes a parameter, "$1" */
	SDES_SQL_UNPARSED,  /* the same, but nothing from the first text on */
	SDES_SQL_PLAN,      /* as of EXPLAIN: texts and longer numbers become "..." */
	SDES_SQL_PROSE      /* with SQL in it: texts, and numbers as long as a card's */
} SdesSqlKind;

/* Where a text is cut, this follows. */
#define SDES_SQL_CUT "..."

/*
 * Writes the text without constants and comments to "out", as far as "room" bytes hold it
 * with an end of string, of which there must be 16; returns its length. In the server's
 * encoding, which contains ASCII. Where quotes do not match, or a backslash may escape one
 * or not, nothing can be told from what is between them, so all is left out from the first
 * quote on. Quotes may match by chance, as in VALUES ('the dogs' bed', 'the cats' bed'): what
 * no parser took is SDES_SQL_UNPARSED.
 */
extern size_t sdes_sqltext_redact(SdesBytes text, SdesSqlKind kind, char *out, size_t room);

/* Whether a statement has constants. */
extern bool sdes_sqltext_has_constants(SdesBytes text);

#endif
