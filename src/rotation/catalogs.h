/*
 * catalogs.h
 *		Encrypted values in the system catalogs. Private to this room.
 *
 * Defaults, view and function bodies, conditions of indexes, policies and triggers,
 * bounds of partitions hold constants; a column that was added with a default keeps
 * its value for older rows; statistics hold samples.
 */
#ifndef SDES_CATALOGS_H
#define SDES_CATALOGS_H

#include "postgres.h"

#include "rotation/tracked.h"

/* Called for each place, with what was counted there alone. */
typedef void (*SdesPlaceTaker)(const char *place, const char *object,
                               const SdesTrackedSet *set, void *arg);

/* Counts values in the catalogs; take may be NULL. */
extern void sdes_catalogs_count(SdesTrackedSet *set, SdesPlaceTaker take, void *arg);

/*
 * Counts them, and seals anew what is under keys that are due. What belongs to a
 * relation that others have locked is left as it is. Returns how many rows were changed.
 */
extern int sdes_catalogs_renew(SdesTrackedSet *set);

/* Removes extended statistics that hold values, under whatever key; ANALYZE makes them. */
extern void sdes_catalogs_forget_statistics(SdesTrackedSet *set);

#endif
