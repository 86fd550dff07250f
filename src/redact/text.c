/*
 * text.c
 *		Texts of SQL without their constants.
 */
#include "postgres.h"

#include "redact/text.h"

#include "utils/memutils.h"

#define LONGEST ((size_t) 64 * 1024) /* of what is written; the rest is left out */
#define SPARE   64                   /* parameters are longer than short constants */

const char *
sdes_redacted(const char *text, SdesSqlKind kind)
{
	size_t size, room;
	char *out;

	if (text == NULL)
		return NULL;
	size = strlen(text);
	room = Min(2 * size + SPARE, LONGEST);
	out = palloc_extended(room, MCXT_ALLOC_NO_OOM);
	if (out == NULL)
		return SDES_SQL_CUT;
	(void) sdes_sqltext_redact(sdes_bytes(text, size), kind, out, room);
	return out;
}
