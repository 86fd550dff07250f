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
	uint32 hash;
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

static bool
is_current(const KeptLiteral *entry)
{
	return entry->statement == GetCurrentStatementStartTimestamp();
}

static uint32
hash_of(SdesPlain plain)
{
	return hash_bytes((const unsigned char *) plain.data, (int) plain.size);
}

/* The entry of that literal in this statement; NULL if there is none. */
static const KeptLiteral *
find(SdesPlain plain, const SdesType *type)
{
	uint32 hash = hash_of(plain);

	for (int i = 0; kept != NULL && i < KEPT; i++)
		if (kept[i].hash == hash && is_current(&kept[i]) && kept[i].type == type &&
		    kept[i].size == plain.size && memcmp(kept[i].text, plain.data, plain.size) == 0)
			return &kept[i];
	return NULL;
}

/* The next entry in turn: a statement of more literals than there is room for loses some. */
static KeptLiteral *
next_place(void)
{
	static int next = 0;

	if (kept == NULL)
	{
		kept = MemoryContextAllocZero(TopMemoryContext, KEPT * sizeof(KeptLiteral));
		RegisterXactCallback(forget_literals, NULL);
	}
	next = (next + 1) % KEPT;
	return &kept[next];
}

struct varlena *
sdes_value_same_literal(SdesPlain plain, const SdesType *type)
{
	const KeptLiteral *place = plain.size <= KEPT_TEXT ? find(plain, type) : NULL;
	struct varlena *value;

	if (place == NULL)
		return NULL;
	value = palloc(VARSIZE(place->value));
	memcpy(value, place->value, VARSIZE(place->value));
	return value;
}

void
sdes_value_keep_literal(SdesPlain plain, const SdesType *type, const struct varlena *value)
{
	KeptLiteral *place;

	if (plain.size > KEPT_TEXT || VARSIZE(value) > KEPT_VALUE)
		return;
	place = next_place();
	place->hash = hash_of(plain);
	place->statement = GetCurrentStatementStartTimestamp();
	place->type = type;
	place->size = plain.size;
	memcpy(place->text, plain.data, plain.size);
	memcpy(place->value, value, VARSIZE(value));
	any_kept = true;
}
