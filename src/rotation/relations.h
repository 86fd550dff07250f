/*
 * relations.h
 *		The relations of this database that can hold encrypted values. Private to this
 *		room.
 */
#ifndef SDES_RELATIONS_H
#define SDES_RELATIONS_H

#include "postgres.h"

#include "rotation/shape.h"
#include "utils/rel.h"

typedef struct SdesHolder
{
	Oid relid;
	bool temporary;
	List *buckets; /* hashes that type modifiers name; -1 for any */
} SdesHolder;

/*
 * Tables, partitions, materialized views and temporary tables, of other sessions too,
 * with a column in which a value can be; by OID. As the catalogs say: takes no lock.
 */
extern List *sdes_relations_list(void);

/* Where in a relation's rows values are. */
typedef struct SdesRowShape
{
	int natts;
	SdesShape **columns; /* NULL for those without values */
} SdesRowShape;

/* In the current memory context. */
extern SdesRowShape *sdes_relation_shape(Relation rel);

/*
 * What an index or a key of partitions computes is code of a table's owner, whoever calls
 * us: between these two it runs as the owner, confined. An error ends that, too.
 */
typedef struct SdesAsOwner
{
	Oid user;
	int context;
	int level;
} SdesAsOwner;

extern SdesAsOwner sdes_relation_begin_as_owner(Relation rel);
extern void sdes_relation_end_as_owner(const SdesAsOwner *before);

#endif
