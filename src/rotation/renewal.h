/*
 * renewal.h
 *		Gathers the values of some datums that are due, and puts what they become in
 *		their place. Private to this room.
 */
#ifndef SDES_RENEWAL_H
#define SDES_RENEWAL_H

#include "postgres.h"

#include "rotation/shape.h"
#include "rotation/tracked.h"

typedef struct SdesRenewal
{
	SdesTrackedSet *set;
	SdesRenewing *items;
	int n;
	int room;
	int taken;
	Size held; /* bytes of the values gathered */
} SdesRenewal;

/* In the current memory context. */
extern SdesRenewal *sdes_renewal_new(SdesTrackedSet *set);

/*
 * Visits for sdes_shape_map(). All datums are gathered first, then renewed by
 * sdes_value_renew(renewal->items, renewal->n), then visited again in the same order
 * to be replaced. What is not authentic stays, and counts as damaged.
 */
extern struct varlena *sdes_renewal_gather(struct varlena *value, SdesEncType type,
                                           void *renewal);
extern struct varlena *sdes_renewal_replace(struct varlena *value, SdesEncType type,
                                            void *renewal);

/* The three steps for one datum; returns the datum itself when nothing is due. */
extern Datum sdes_renewal_of_datum(const SdesShape *shape, Datum datum,
                                   SdesTrackedSet *set);

#endif
