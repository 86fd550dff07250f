/*
 * shape.h
 *		Where in a datum encrypted values are: in the datum itself, in elements of an
 *		array, columns of a composite, bounds of a range, to any depth. Private to this
 *		room.
 */
#ifndef SDES_SHAPE_H
#define SDES_SHAPE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "store/store.h"

typedef struct SdesShape SdesShape;

/*
 * The shape of a type's datums, in the current memory context; NULL for a type in
 * which no value can be. *buckets, a list of integers, gets the hashes of the buckets
 * that type modifiers name, -1 for a value that could be of any.
 */
extern SdesShape *sdes_shape_of(Oid type, int32 typmod, List **buckets);

/*
 * The shape of an array whose elements are of that type, which may have no array type of
 * its own: statistics of an array column are an array of arrays.
 */
extern SdesShape *sdes_shape_of_elements(Oid type);

/* Whether a value can be in a type's datums, whatever the bucket; not for InvalidOid. */
extern bool sdes_shape_holds_values(Oid type);

/* Whether the datum is the value, so that its beginning can be looked at alone. */
extern bool sdes_shape_is_value(const SdesShape *shape);

/*
 * Called for each value, whole (not toasted, but its header may be short). Returns the
 * value, or another one to stand in its place.
 */
typedef struct varlena *(*SdesVisit)(struct varlena *value, SdesEncType type, void *arg);

/*
 * Visits all values of a datum, which is not null, in an order that depends on the
 * shape and the datum only. Returns the datum itself when nothing was replaced, else
 * a new one.
 */
extern Datum sdes_shape_map(const SdesShape *shape, Datum datum, SdesVisit visit,
                            void *arg);

#endif
