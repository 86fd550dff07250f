/*
 * search_key.h
 *		What the two steps of a search key's succession share. Private to this room.
 */
#ifndef SDES_SEARCH_KEY_H
#define SDES_SEARCH_KEY_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* Checks who calls, and locks others out until the transaction ends. */
extern void sdes_search_key_begin(const char *function);

/* Tables that are partitioned by values, by list; an error for one in another way. */
extern List *sdes_search_key_partitioned(void);

/* An error where there is a range type of values. */
extern void sdes_search_key_refuse_ranges(void);

/* Commits, and goes on in the next transaction (SPI_OPT_NONATOMIC). */
extern void sdes_search_key_commit(void);

#endif
