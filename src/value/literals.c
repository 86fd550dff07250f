/*
 * literals.c
 *		Constants of a statement are sealed once, however often they stand in it.
 *
 * PostgreSQL takes expressions for the same when they are equal node by node: GROUP BY
 * status = 'open' is what the select list says only if both constants have the same
 * bytes. So a literal that was sealed in the same statement (of the client) is taken
 * again. What is remembered is plaintext: it is wiped when the transaction ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "crypto/secret.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "value/internal.h"

#define KEPT      64
#define KEPT_TEXT 128
#define KEPT_VALUE                                                                         \
	(VARHDRSZ + KEPT_TEXT * MAX_CONVERSION_GROWTH + SDES_ENVELOPE_MAX_OVERHEAD)

typedef struct KeptLiteral
{
	TimestampTz statement; /* in which it was sealed; 0: never */
	const SdesType *type;
	size_t size;
	char text[KEPT_TEXT];
	char value[KEPT_VALUE];
} KeptLiteral;

static KeptLiteral *kept = NULL;
static bool any_kept = false;

static void
forget_literals(XactEvent event, void *arg)
{
	if (any_kept)
		sdes_wipe(kept, KEPT * sizeof(KeptLiteral));
	any_kept = false;
}

static KeptLiteral *
place_of(SdesPlain plain)
{
	if (plain.size > KEPT_TEXT)
		return NULL;
	if (kept == NULL)
	{
		kept = MemoryContextAllocZero(TopMemoryContext, KEPT * sizeof(KeptLiteral));
		RegisterXactCallback(forget_literals, NULL);
	}
	return &kept[hash_bytes((const unsigned char *) plain.data, (int) plain.size) % KEPT];
}

struct varlena *
sdes_value_same_literal(SdesPlain plain, const SdesType *type)
{
	const KeptLiteral *place = place_of(plain);
	struct varlena *value;

	if (place == NULL || place->statement != GetCurrentStatementStartTimestamp() ||
	    place->type != type || place->size != plain.size ||
	    memcmp(place->text, plain.data, plain.size) != 0)
		return NULL;
	value = palloc(VARSIZE(place->value));
	memcpy(value, place->value, VARSIZE(place->value));
	return value;
}

void
sdes_value_keep_literal(SdesPlain plain, const SdesType *type, const struct varlena *value)
{
	KeptLiteral *place = place_of(plain);

	if (place == NULL || VARSIZE(value) > KEPT_VALUE)
		return;
	place->statement = GetCurrentStatementStartTimestamp();
	place->type = type;
	place->size = plain.size;
	memcpy(place->text, plain.data, plain.size);
	memcpy(place->value, value, VARSIZE(value));
	any_kept = true;
}
