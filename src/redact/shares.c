/*
 * shares.c
 *		Keeps the shares of a key backup out of the server log.
 *
 * Officers give their shares to sdes.restore_keys() in a statement, which log_statement,
 * log_min_duration_statement, auto_explain and errors write down, as text or as a
 * parameter. A share says of itself what it is, so its digits are blotted out wherever
 * a message holds one. Its beginning stays, by which people recognize it.
 */
#include "postgres.h"

#include "redact/shares.h"

#include "tcop/tcopprot.h"

#define SHARE_LABEL "sdes-share-1:"
#define LABEL_SIZE  (sizeof(SHARE_LABEL) - 1)

/* What a share consists of after its label, and what damage to one may leave. */
static bool
is_part(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
	       c == ':';
}

void
sdes_blot_shares(char *text)
{
	char *at = text;

	while (at != NULL && (at = strstr(at, SHARE_LABEL)) != NULL)
		for (at += LABEL_SIZE; is_part(*at); at++)
			if (*at != ':')
				*at = '*';
}

bool
sdes_statement_has_share(void)
{
	return debug_query_string != NULL && strstr(debug_query_string, SHARE_LABEL) != NULL;
}
