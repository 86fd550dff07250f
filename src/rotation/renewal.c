/*
 * renewal.c
 *		Values gathered, renewed, put back.
 */
#include "postgres.h"

#include "rotation/renewal.h"

#include "types/types.h"

#define FIRST_ROOM 64

SdesRenewal *
sdes_renewal_new(SdesTrackedSet *set)
{
	SdesRenewal *renewal = palloc0(sizeof(SdesRenewal));

	renewal->set = set;
	renewal->room = FIRST_ROOM;
	renewal->items = palloc(renewal->room * sizeof(SdesRenewing));
	return renewal;
}

static bool
is_due(const SdesRenewal *renewal, struct varlena *value)
{
	const SdesTracked *key = sdes_tracked_of(renewal->set, value);

	return key != NULL && key->due;
}

struct varlena *
sdes_renewal_gather(struct varlena *value, SdesEncType type, void *arg)
{
	SdesRenewal *renewal = arg;

	if (!is_due(renewal, value))
		return value;
	if (renewal->n == renewal->room)
	{
		renewal->room *= 2;
		renewal->items =
		    repalloc_huge(renewal->items, renewal->room * sizeof(SdesRenewing));
	}
	renewal->items[renewal->n++] = (SdesRenewing){.value = value, .type = sdes_types[type]};
	renewal->held += VARSIZE_ANY(value);
	return value;
}

struct varlena *
sdes_renewal_replace(struct varlena *value, SdesEncType type, void *arg)
{
	SdesRenewal *renewal = arg;
	SdesRenewing *item;

	if (!is_due(renewal, value))
		return value;
	item = &renewal->items[renewal->taken++];
	if (item->status == SDES_OK)
		return item->renewed;
	renewal->set->damaged++;
	return value;
}

Datum
sdes_renewal_of_datum(const SdesShape *shape, Datum datum, SdesTrackedSet *set)
{
	SdesRenewal *renewal = sdes_renewal_new(set);

	sdes_shape_map(shape, datum, sdes_renewal_gather, renewal);
	sdes_value_renew(renewal->items, renewal->n);
	return sdes_shape_map(shape, datum, sdes_renewal_replace, renewal);
}
