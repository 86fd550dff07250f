/*
 * invalidate.c
 *		The trigger on the sdes.* tables: rows changed by plain SQL (a restore, a
 *		replica, a superuser) are noticed like those changed by our functions.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "sdes_compat.h"
#include "utils/inval.h"
#include "utils/rel.h"

SDES_SQL_FUNCTION(sdes_invalidate);

Datum
sdes_invalidate(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
		                errmsg("sdes.invalidate() is a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}
