/*
 * invalidate.c
 *		The trigger on the sdes.* tables: rows changed by plain SQL (a restore, a
 *		replica, a superuser) are noticed like those changed by our functions, and that
 *		is recorded.
 */
#include "postgres.h"

#include "audit/audit.h"
#include "commands/trigger.h"
#include "replication/logicalworker.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "utils/inval.h"
#include "utils/rel.h"

SDES_SQL_FUNCTION(sdes_invalidate);

static const char *
command_of(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_INSERT(event))
		return "INSERT";
	if (TRIGGER_FIRED_BY_UPDATE(event))
		return "UPDATE";
	return TRIGGER_FIRED_BY_DELETE(event) ? "DELETE" : "TRUNCATE";
}

Datum
sdes_invalidate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
		                errmsg("sdes.invalidate() is a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	/* What a subscription receives has changed nothing: store/replicated.c. */
	if (sdes_is_preloaded() && !IsLogicalWorker())
		sdes_audit_event("change by hand", NULL, "%s sdes.%s",
		                 command_of(trigger->tg_event),
		                 RelationGetRelationName(trigger->tg_relation));
	PG_RETURN_POINTER(NULL);
}
