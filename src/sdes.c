/*
 * sdes.c
 *		Module entry. Each room initialises itself.
 *
 * Without preload (pg_upgrade loads the library so, and so does a database
 * whose server was not restarted yet) only settings and cache callbacks are
 * set up: functions that need more say that sdes must be preloaded, and the
 * server itself always starts.
 */
#include "postgres.h"

#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "auditlog/auditlog.h"
#include "fmgr.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "redact/redact.h"
#include "reveal/reveal.h"
#include "rotation/rotation.h"
#include "sdes_compat.h"
#include "sdes_crypto.h"
#include "sdes_guc.h"
#include "sdes_process.h"
#include "search/search.h"
#include "types/drop_guard.h"
#include "types/loading.h"
#include "types/store_guard.h"
#include "types/typmod.h"
#include "worker/audit_worker.h"
#include "worker/launcher.h"
#include "worker/mirror_worker.h"
#include "worker/supervisor.h"

PG_MODULE_MAGIC;

extern SDES_EXPORT void _PG_init(void);

void
_PG_init(void)
{
	sdes_guc_init();
	if (!sdes_is_preloaded())
		return;

	sdes_process_init();
	sdes_crypto_init();
	sdes_redact_init();
	sdes_agentlink_init();
	sdes_audit_init();
	sdes_policy_init();
	sdes_keyring_init();
	sdes_column_guard_init();
	sdes_drop_guard_init();
	sdes_store_guard_init();
	sdes_loading_init();
	sdes_search_init();
	sdes_reveal_init();
	sdes_rotation_init();
	sdes_auditlog_init();
	sdes_audit_watch_statements();
	if (!IsBinaryUpgrade)
	{
		sdes_supervisor_init();
		sdes_audit_worker_init();
		sdes_mirror_worker_init();
		sdes_launcher_init();
	}
}
