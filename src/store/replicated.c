/*
 * replicated.c
 *		The trigger that ignores rows of the sdes.* tables that arrive by logical
 *		replication.
 *
 * A publication FOR ALL TABLES has the extension's tables, too. Keys, grants, rules and the
 * audit are this database's own: what another one sends must neither be in force here nor
 * stop the subscription. So rows go nowhere, also those of the first copy of a table.
 * TRUNCATE cannot be ignored by a trigger and is an error.
 *
 * The triggers fire in appliers only (ENABLE REPLICA). Functions of the extension write
 * below SQL (write.c) and meet none.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "replication/logicalworker.h"
#include "replication/worker_internal.h"
#include "sdes_compat.h"
#include "utils/rel.h"

SDES_SQL_FUNCTION(sdes_ignore_replicated);

/* Once in the life of a process: there may be many rows, and for good. */
static void
tell(const char *table)
{
	static bool told = false;

	if (told)
		return;
	told = true;
	ereport(
	    WARNING,
	    (errcode(ERRCODE_WARNING),
	     errmsg("changes of \"sdes.%s\" that subscription \"%s\" receives are ignored",
	            table, MySubscription->name),
	     errdetail("So are those of the extension's other tables: keys and grants of "
	               "another database are not in force here."),
	     errhint("Bring keys by sdes.export_keys() and sdes.import_keys() or by a dump of "
	             "their rows, and grant access by sdes.grant_access(). A publication that "
	             "names tables or schemas does without these rows.")));
}

static void
refuse_truncate(const char *table)
{
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	                errmsg("subscription \"%s\" must not truncate \"sdes.%s\"",
	                       MySubscription->name, table),
	                errdetail("The rows here are this database's own."),
	                errhint("Have the subscription skip the transaction with ALTER "
	                        "SUBSCRIPTION ... SKIP, or publish only tables of your own.")));
}

Datum
sdes_ignore_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *table;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
		                errmsg("sdes.ignore_replicated() is a trigger")));
	table = RelationGetRelationName(trigger->tg_relation);

	/* A superuser's session with session_replication_role = replica is none. */
	if (!IsLogicalWorker())
		PG_RETURN_POINTER(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)
		                      ? trigger->tg_newtuple
		                      : trigger->tg_trigtuple);
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		refuse_truncate(table);
	tell(table);
	PG_RETURN_POINTER(NULL);
}
