/*
 * search_keys.c
 *		Which search key is in use, and which one is to succeed it.
 *
 * By that an index tells which of a value's two tokens counts, and a wrong answer would
 * leave it in two orders. Many who compare under the lock of a page have used no key
 * before: an UPDATE of another column, VACUUM, the apply of logical replication. So this
 * alone is read there, too, if need be: rows that hardly ever change, under a lock that is
 * not waited for. (PostgreSQL reads catalogs there as well, as where enums are compared.)
 *
 * It holds while a table with tokens is locked: the one key succeeds the other only when
 * nobody else has locked any, and who locks one afterwards is told before.
 */
#include "postgres.h"

#include "keyring/search_keys.h"

#include "keyring/keyring.h"
#include "sdes_errors.h"
#include "storage/lmgr.h"
#include "utils/inval.h"

static SdesSearchKeys search_keys;
static Oid dek_table = InvalidOid;
static uint64 changes = 1; /* of sdes.dek, as far as this backend was told */
static uint64 seen = 0;    /* the value of changes when its rows were read */

static void
invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == dek_table)
		changes++;
}

void
sdes_search_keys_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

/* Of two in one state that of this database counts, else the one made last. */
static const SdesDekRow *
preferred(const SdesDekRow *one, const SdesDekRow *other)
{
	if (one == NULL)
		return other;
	if (one->foreign != other->foreign)
		return one->foreign ? other : one;
	return one->binding.version < other->binding.version ? other : one;
}

static void
look_up(void)
{
	uint64 now = changes; /* what arrives while reading is for the next time */
	const SdesDekRow *active = NULL;
	const SdesDekRow *incoming = NULL;
	List *rows = sdes_store_deks();
	ListCell *cell;

	foreach (cell, rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose != SDES_PURPOSE_SEARCH)
			continue;
		if (row->state == SDES_KEY_ACTIVE)
			active = preferred(active, row);
		else if (row->state == SDES_KEY_INCOMING)
			incoming = preferred(incoming, row);
	}
	search_keys.current = active != NULL ? active->binding.version : 0;
	search_keys.next = incoming != NULL ? incoming->binding.version : 0;
	list_free_deep(rows);
	seen = now;
}

SdesSearchKeys
sdes_keyring_search_keys(void)
{
	bool at_once = sdes_must_not_wait();

	if (!at_once)
		AcceptInvalidationMessages();
	if (seen == changes)
		return search_keys;
	dek_table = sdes_table_oid(SDES_TABLE_DEK);
	if (at_once && !ConditionalLockRelationOid(dek_table, AccessShareLock))
		sdes_keyring_report_unprepared();
	look_up();
	if (at_once)
		UnlockRelationOid(dek_table, AccessShareLock);
	return search_keys;
}
