/*
 * prepared.c
 *		Which prepared statements are the client's own.
 *
 * A prepared statement is analysed again whenever a table of its has changed, and must
 * then be rewritten as it was at first, wherever it is executed; else its result would
 * have another type. The analysis tells only its text: the very string that the
 * server keeps with the statement, so its address is what we know it by. An entry
 * counts only while the statement of that name still has that string.
 */
#include "postgres.h"

#include "reveal/prepared.h"

#include "commands/prepare.h"
#include "nodes/parsenodes.h"
#include "reveal/door.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

typedef struct Known
{
	const char *source; /* the key */
	char name[NAMEDATALEN];
} Known;

#define SWEEP_FROM 128 /* entries */

static HTAB *known = NULL;
static long sweep_at = SWEEP_FROM;

static const char *
source_of(const char *name)
{
	PreparedStatement *statement = FetchPreparedStatement(name, false);

	return statement == NULL ? NULL : statement->plansource->query_string;
}

static void
drop(const char *source)
{
	(void) hash_search(known, &source, HASH_REMOVE, NULL);
}

/* Drops the entries of statements that are gone. */
static void
sweep(void)
{
	HASH_SEQ_STATUS all;
	Known *entry;

	hash_seq_init(&all, known);
	while ((entry = hash_seq_search(&all)) != NULL)
		if (source_of(entry->name) != entry->source)
			drop(entry->source);
	sweep_at = Max(SWEEP_FROM, 2 * hash_get_num_entries(known));
}

static void
make_table(void)
{
	HASHCTL control = {.keysize = sizeof(const char *),
	                   .entrysize = sizeof(Known),
	                   .hcxt = TopMemoryContext};

	known = hash_create("sdes prepared statements", SWEEP_FROM, &control,
	                    HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
sdes_prepared_remember(const char *name)
{
	const char *source = source_of(name);
	Known *entry;

	if (source == NULL)
		return;
	if (known == NULL)
		make_table();
	if (hash_get_num_entries(known) >= sweep_at)
		sweep();
	entry = hash_search(known, &source, HASH_ENTER, NULL);
	strlcpy(entry->name, name, NAMEDATALEN);
}

void
sdes_prepared_forget(const char *name)
{
	const char *source = source_of(name);

	if (known != NULL && source != NULL)
		drop(source);
}

void
sdes_prepared_used(const char *name)
{
	PreparedStatement *statement = FetchPreparedStatement(name, false);

	if (statement != NULL && !statement->from_sql)
		sdes_prepared_remember(name);
}

bool
sdes_prepared_is(const char *source)
{
	Known *entry;

	if (known == NULL)
		return false;
	entry = hash_search(known, &source, HASH_FIND, NULL);
	return entry != NULL && source_of(entry->name) == source;
}

bool
sdes_prepared_shows(const char *name)
{
	PreparedStatement *statement = FetchPreparedStatement(name, false);
	SdesDoor door;

	return statement != NULL && statement->plansource->is_valid && sdes_door_find(&door) &&
	       sdes_door_is_in(&door, (Node *) statement->plansource->query_list);
}
