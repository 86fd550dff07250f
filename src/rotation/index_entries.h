/*
 * index_entries.h
 *		The index entries of a row whose values were sealed anew. Private to this room.
 */
#ifndef SDES_INDEX_ENTRIES_H
#define SDES_INDEX_ENTRIES_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "sdes_compat.h"

/*
 * Adds them for the row in slot, which has its place. No index of plain columns is asked
 * whether the row is unique in it: it has the key that its former version has, which is
 * locked, and nobody else came by the same key meanwhile.
 */
extern void sdes_index_entries_add(ResultRelInfo *target, TupleTableSlot *slot,
                                   EState *estate, SDES_UPDATE_INDEXES indexes);

#endif
