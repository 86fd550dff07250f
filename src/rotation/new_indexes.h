/*
 * new_indexes.h
 *		Indexes for the time after a switch of search keys, built before it. Private to
 *		this room.
 */
#ifndef SDES_NEW_INDEXES_H
#define SDES_NEW_INDEXES_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/rel.h"

/* Whether what an index keeps depends on tokens. */
extern bool sdes_index_keeps_tokens(Relation index);

/*
 * Builds a copy of each such index of these tables (SdesHolder), in transactions of its
 * own, while clients read and write; like REINDEX CONCURRENTLY it waits for transactions
 * that are older. The copies are invalid, and kept up to date from then on. The list is
 * for sdes_new_indexes_put(). The tables and
 * indexes stay locked against DDL and VACUUM until an
 * error or sdes_new_indexes_release().
 *
 * To be called where transactions can be committed (SPI_OPT_NONATOMIC), with nothing
 * pending; the list is in the context that is current.
 */
extern List *sdes_new_indexes_build(const List *holders);

/*
 * Sees to one index of a table that is locked exclusively: puts its copy in its place and
 * drops the index, or drops a copy that a switch before has left. False when it was
 * neither: then it is to be rebuilt.
 */
extern bool sdes_new_indexes_put(const List *copies, Oid index);

/* Whether an index is invalid, and no copy. */
extern bool sdes_new_indexes_is_obstacle(Oid index);

/* Whether a table has copies that a switch before has left. Takes AccessShareLock. */
extern bool sdes_new_indexes_has_left(Oid table);

/* Drops them. Takes AccessExclusiveLock. */
extern void sdes_new_indexes_drop_left(Oid table);

/* Lets go of the tables and indexes. */
extern void sdes_new_indexes_release(const List *copies);

#endif
