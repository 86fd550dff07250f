/*
 * inventory.h
 *		Where values are, by key. Private to this room.
 */
#ifndef SDES_INVENTORY_H
#define SDES_INVENTORY_H

#include "postgres.h"

#include "rotation/catalogs.h"

/*
 * Counts the values of all relations and catalogs as the active snapshot sees them;
 * *set is counted anew for each place that take is called for.
 */
extern void sdes_inventory_count(SdesTrackedSet *set, SdesPlaceTaker take, void *arg);

#endif
