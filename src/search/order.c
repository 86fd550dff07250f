/*
 * order.c
 *		The order of plaintext, for sorts, GREATEST and LEAST: no index may use it.
 *
 * What is sorted are the sealed values, so that a sort that spills to disk spills
 * ciphertext; the comparison opens them. A role that may only mask sorts by masks, one
 * that may neither gets an error.
 *
 * A sort keeps the plaintexts it has met in memory, as many as work_mem allows, and
 * wipes them when its memory goes.
 */
#include "postgres.h"

#include "crypto/secret.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "search/compare.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"
#include "utils/varlena.h"

/* What a value is found again by: nobody else has its nonce and tag. */
typedef struct ValueId
{
	uint8 bytes[SDES_KEY_ID_SIZE + SDES_NONCE_SIZE + SDES_AEAD_TAG_SIZE];
} ValueId;

typedef struct Opened
{
	ValueId id; /* hash key */
	text *plain;
	bool masked;
} Opened;

typedef struct Sorting
{
	const SdesType *type;
	Oid collation;
	MemoryContext context; /* of this and of all plaintexts */
	HTAB *opened;
	text **plains; /* all of them: the table is gone when they have to be wiped */
	Size nplains;
	Size room;
	Size bytes; /* of plaintexts */
	Size limit;
} Sorting;

static bool
identify(struct varlena *value, ValueId *id)
{
	size_t size = VARSIZE_ANY_EXHDR(value);
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(value);

	if (size < SDES_ENVELOPE_MIN_SIZE)
		return false;
	/* Key id and nonce follow each other, the tag is at the end. */
	memcpy(id->bytes, bytes + 3, SDES_KEY_ID_SIZE + SDES_NONCE_SIZE);
	memcpy(id->bytes + SDES_KEY_ID_SIZE + SDES_NONCE_SIZE,
	       bytes + size - SDES_AEAD_TAG_SIZE, SDES_AEAD_TAG_SIZE);
	return true;
}

static void
make_table(Sorting *sorting)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(ValueId);
	ctl.entrysize = sizeof(Opened);
	ctl.hcxt = sorting->context;
	sorting->opened = hash_create("sdes sorted values", 1024, &ctl,
	                              HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	sorting->bytes = 0;
}

/* When memory goes, it goes with that of its children first. */
static void
wipe_at_end(void *arg)
{
	Sorting *sorting = arg;

	for (Size i = 0; i < sorting->nplains; i++)
		sdes_wipe(VARDATA_ANY(sorting->plains[i]), VARSIZE_ANY_EXHDR(sorting->plains[i]));
	sorting->nplains = 0;
}

static void
add_plain(Sorting *sorting, text *plain)
{
	if (sorting->nplains == sorting->room)
	{
		sorting->room *= 2;
		sorting->plains = repalloc_huge(sorting->plains, sorting->room * sizeof(text *));
	}
	sorting->plains[sorting->nplains++] = plain;
	sorting->bytes += sizeof(Opened) + sizeof(text *) + VARSIZE_ANY(plain);
}

/* Makes room when the plaintexts take more than they may; both arguments are kept. */
static void
shrink(Sorting *sorting)
{
	MemoryContext old;

	if (sorting->bytes < sorting->limit)
		return;
	for (Size i = 0; i < sorting->nplains; i++)
	{
		sdes_wipe(VARDATA_ANY(sorting->plains[i]), VARSIZE_ANY_EXHDR(sorting->plains[i]));
		pfree(sorting->plains[i]);
	}
	sorting->nplains = 0;
	hash_destroy(sorting->opened);
	sorting->opened = NULL;
	old = MemoryContextSwitchTo(sorting->context);
	make_table(sorting);
	MemoryContextSwitchTo(old);
}

/* An entry of a value, opened. */
static const Opened *
open_value(Sorting *sorting, struct varlena *value)
{
	ValueId id;
	Opened *entry;
	MemoryContext old;
	text *plain;
	bool masked;

	memset(&id, 0, sizeof(id));
	if (identify(value, &id))
	{
		entry = hash_search(sorting->opened, &id, HASH_FIND, NULL);
		if (entry != NULL)
			return entry;
	}
	old = MemoryContextSwitchTo(sorting->context);
	plain = sdes_value_sort_text(value, sorting->type, &masked);
	MemoryContextSwitchTo(old);
	add_plain(sorting, plain);
	entry = hash_search(sorting->opened, &id, HASH_ENTER, NULL);
	entry->plain = plain;
	entry->masked = masked;
	return entry;
}

/* Texts as the type compares them: of a card number, its digits. */
static int
compare_texts(const SdesType *type, Oid collation, text *a, text *b)
{
	uint8 digits[2][SDES_TOKEN_INPUT_MAX];
	SdesBytes x = sdes_bytes(VARDATA_ANY(a), VARSIZE_ANY_EXHDR(a));
	SdesBytes y = sdes_bytes(VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b));
	size_t size = type->essence ? type->essence(x, digits[0]) : 0;
	int result;

	if (size > 0)
		x = sdes_bytes(digits[0], size);
	size = type->essence ? type->essence(y, digits[1]) : 0;
	if (size > 0)
		y = sdes_bytes(digits[1], size);
	result = varstr_cmp((const char *) x.data, (int) x.size, (const char *) y.data,
	                    (int) y.size, collation);
	/* Equality is of bytes, so a nondeterministic collation must not say more. */
	if (result == 0)
		result = memcmp(x.data, y.data, Min(x.size, y.size));
	if (result == 0)
		result = (x.size > y.size) - (x.size < y.size);
	if (type->essence)
		sdes_wipe(digits, sizeof(digits));
	return result;
}

/* Different values can have one mask; equal ones must stand together all the same. */
static int
break_tie(const SdesType *type, Datum a, Datum b, bool masked)
{
	LOCAL_FCINFO(fcinfo, 2);

	if (!masked)
		return 0;
	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = a;
	fcinfo->args[1].value = b;
	return sdes_compare_carried(type, fcinfo);
}

static int
compare_in(Sorting *sorting, Datum x, Datum y)
{
	struct varlena *a = PG_DETOAST_DATUM_PACKED(x);
	struct varlena *b = PG_DETOAST_DATUM_PACKED(y);
	const Opened *left;
	const Opened *right;
	text *left_text;
	bool masked;
	int result;

	shrink(sorting);
	left = open_value(sorting, a);
	left_text = left->plain;
	masked = left->masked;
	right = open_value(sorting, b);
	result = compare_texts(sorting->type, sorting->collation, left_text, right->plain);
	if (result == 0)
		result = break_tie(sorting->type, x, y, masked || right->masked);
	if ((Pointer) a != DatumGetPointer(x))
		pfree(a);
	if ((Pointer) b != DatumGetPointer(y))
		pfree(b);
	return result;
}

static int
compare_sorted(Datum x, Datum y, SortSupport support)
{
	return compare_in(support->ssup_extra, x, y);
}

static Sorting *
make_sorting(const SdesType *type, Oid collation, MemoryContext parent)
{
	MemoryContext context =
	    AllocSetContextCreate(parent, "sdes sort", ALLOCSET_DEFAULT_SIZES);
	Sorting *sorting = MemoryContextAllocZero(context, sizeof(Sorting));
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof(*callback));
	MemoryContext old = MemoryContextSwitchTo(context);

	sorting->type = type;
	sorting->collation = collation;
	sorting->context = context;
	sorting->limit = (Size) work_mem * 1024;
	sorting->room = 64;
	sorting->plains = palloc(sorting->room * sizeof(text *));
	make_table(sorting);
	callback->func = wipe_at_end;
	callback->arg = sorting;
	MemoryContextRegisterResetCallback(context, callback);
	MemoryContextSwitchTo(old);
	return sorting;
}

static Datum
support(const SdesType *type, PG_FUNCTION_ARGS)
{
	SortSupport support = (SortSupport) PG_GETARG_POINTER(0);

	support->ssup_extra = make_sorting(type, support->ssup_collation, support->ssup_cxt);
	support->comparator = compare_sorted;
	PG_RETURN_VOID();
}

/* One comparison without a sort around it. */
static int
compare_once(const SdesType *type, PG_FUNCTION_ARGS)
{
	Sorting *sorting = make_sorting(type, PG_GET_COLLATION(), CurrentMemoryContext);
	int result = compare_in(sorting, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));

	MemoryContextDelete(sorting->context);
	return result;
}

int
sdes_compare_order(const SdesType *type, PG_FUNCTION_ARGS)
{
	return compare_once(type, fcinfo);
}

#define ORDER(prefix, type)                                                                \
	SDES_FUNCTION(prefix##_order_lt, PG_RETURN_BOOL(compare_once(&(type), fcinfo) < 0))    \
	SDES_FUNCTION(prefix##_order_le, PG_RETURN_BOOL(compare_once(&(type), fcinfo) <= 0))   \
	SDES_FUNCTION(prefix##_order_ge, PG_RETURN_BOOL(compare_once(&(type), fcinfo) >= 0))   \
	SDES_FUNCTION(prefix##_order_gt, PG_RETURN_BOOL(compare_once(&(type), fcinfo) > 0))    \
	SDES_FUNCTION(prefix##_order_cmp, PG_RETURN_INT32(compare_once(&(type), fcinfo)))      \
	SDES_FUNCTION(prefix##_order_support, return support(&(type), fcinfo))

ORDER(enc_text, sdes_type_text)
ORDER(enc_pan, sdes_type_pan)
