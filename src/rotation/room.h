/*
 * room.h
 *		Room for rows that are re-encrypted: that of those that were. Private to this room.
 */
#ifndef SDES_ROOM_H
#define SDES_ROOM_H

#include "postgres.h"

#include "storage/block.h"
#include "utils/rel.h"

/* This transaction re-encrypts rows on these pages, from one up to before another. */
extern void sdes_room_note(Relation rel, BlockNumber from, BlockNumber to);

/*
 * Makes what former transactions have left dead on such pages of rel usable, as far as
 * nobody can see it any more. For the next rows: without it a table would double.
 */
extern void sdes_room_reclaim(Relation rel);

#endif
