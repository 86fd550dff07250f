/*
 * subscribe.c
 *		Who subscribes has the partitions of sdes.audit_log that the publisher may have.
 *
 * A publication FOR ALL TABLES names the publisher's partitions, one for each month, and
 * CREATE SUBSCRIPTION fails for one that is not there. (No row comes into them:
 * store/replicated.c.) Months go as far back as they are kept here.
 *
 * Whoever may subscribe need not own the extension: the partitions are made as its owner, by
 * statements that no search_path diverts.
 */
#include "postgres.h"

#include "auditlog/auditlog.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "auditlog/internal.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "sdes_compat.h"
#include "sdes_spi.h"
#include "store/store.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/rel.h"

static ProcessUtility_hook_type previous_utility = NULL;

/* InvalidOid where there is no such table. */
static Oid
owner_of_log(void)
{
	Relation rel = OidIsValid(sdes_schema_oid()) ? sdes_log_open("audit_log") : NULL;
	Oid owner;

	if (rel == NULL)
		return InvalidOid;
	owner = rel->rd_rel->relowner;
	table_close(rel, AccessShareLock);
	return owner;
}

/* What fails here fails in the command, which tells of it better. */
static void
try_to_make(void)
{
	SdesSpiTry try = sdes_spi_begin_try();
	char *volatile trouble = NULL;

	PG_TRY();
	{
		SPI_connect();
		sdes_partitions_make_kept();
		SPI_finish();
		sdes_spi_end_try(&try);
	}
	PG_CATCH();
	{
		trouble = sdes_spi_catch(&try);
	}
	PG_END_TRY();
	if (trouble != NULL)
		ereport(WARNING,
		        (errcode(ERRCODE_WARNING),
		         errmsg("partitions of sdes.audit_log could not be made: %s", trouble)));
}

static void
make_as(Oid owner)
{
	int level = NewGUCNestLevel();
	Oid user;
	int context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
	                         PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	try_to_make();
	AtEOXact_GUC(true, level);
	SetUserIdAndSecContext(user, context);
}

static void
before_subscribing(void)
{
	Oid owner;

	if (RecoveryInProgress() || XactReadOnly || !IsTransactionState())
		return;
	owner = owner_of_log();
	if (OidIsValid(owner))
		make_as(owner);
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	if (IsA(pstmt->utilityStmt, CreateSubscriptionStmt) ||
	    IsA(pstmt->utilityStmt, AlterSubscriptionStmt))
		before_subscribing();
	if (previous_utility)
		previous_utility(SDES_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(SDES_UTILITY_ARGUMENTS);
}

void
sdes_auditlog_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
