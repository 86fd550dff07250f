/*
 * index_guard.h
 *		Refuses keys of indexes and partitions that values cannot serve. Private to
 *		this room.
 */
#ifndef SDES_INDEX_GUARD_H
#define SDES_INDEX_GUARD_H

extern void sdes_index_guard_init(void);

#endif
