/*
 * instance.c
 *		Who owns the keys.
 */
#include "postgres.h"

#include "keyring/instance.h"
#include "keyring/keyring.h"

#include "access/xlog.h"
#include "crypto/kdf.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "store/sites.h"

static SdesInstanceRow
here(void)
{
	SdesInstanceRow row = {(int64) GetSystemIdentifier(), MyDatabaseId};

	return row;
}

/* Before it is written down whose the keys are, they tell by themselves. */
static bool
has_foreign_key(void)
{
	ListCell *cell;

	foreach (cell, sdes_store_deks())
		if (((SdesDekRow *) lfirst(cell))->foreign)
			return true;
	return false;
}

bool
sdes_instance_is_owner(void)
{
	SdesInstanceRow self = here();
	List *owners = sdes_store_instances();
	ListCell *cell;

	foreach (cell, owners)
	{
		const SdesInstanceRow *owner = lfirst(cell);

		if (owner->system_id != self.system_id || owner->database != self.database)
			return false;
	}
	return owners != NIL || !has_foreign_key();
}

void
sdes_require_owner(const char *action)
{
	if (sdes_instance_is_owner())
		return;
	ereport(
	    ERROR,
	    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	     errmsg("cannot %s: this database is a copy of the one that owns its keys", action),
	     errdetail("It was restored or made of a template, and the original may depend "
	               "on the same keys."),
	     errhint("If the original is gone, or this copy shall have keys of its own: "
	             "SELECT sdes.adopt_keys().")));
}

void
sdes_instance_adopt(void)
{
	SdesInstanceRow self = here();
	uint8 id[SDES_UUID_SIZE];

	sdes_random_uuid(id);
	sdes_store_put_instance(id, &self);
}

void
sdes_instance_claim(void)
{
	if (sdes_store_instances() == NIL && !has_foreign_key())
		sdes_instance_adopt();
}
