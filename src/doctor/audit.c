/*
 * audit.c
 *		What sdes.health() says of the audit: its journal, signatures, second folder and
 *		table.
 */
#include "postgres.h"

#include <sys/statvfs.h>

#include "access/xlog.h"
#include "audit/audit.h"
#include "auditlog/auditlog.h"
#include "doctor/internal.h"
#include "sdes_guc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define AUDIT_ROOM_MB    100 /* below which it is time to do something */
#define AUDIT_UNSIGNED_S 60

static void
check_audit(Health *health)
{
	char directory[MAXPGPATH];
	const char *trouble = sdes_audit_trouble();
	struct statvfs fs;
	const char *hint =
	    "Encrypted values are neither opened nor stored without a record. Make room, or "
	    "set sdes.audit_directory to a folder that the server can write to and restart it. "
	    "Where a journal is damaged, or gone for good, move sdes/journal out of the data "
	    "directory: then a new one begins.";

	sdes_audit_directory_path(directory);
	if (trouble == NULL && statvfs(directory, &fs) == 0 &&
	    fs.f_bavail * (fs.f_frsize / 1024) < AUDIT_ROOM_MB * 1024)
		trouble = "there is hardly any room";
	sdes_health_add(health, "audit", trouble == NULL,
	                trouble == NULL
	                    ? psprintf("the audit journal is in \"%s\"", directory)
	                    : psprintf("the audit journal in \"%s\": %s", directory, trouble),
	                hint);
}

/* A moment without the HSM is no trouble: the next signature covers all. */
static void
check_audit_signature(Health *health)
{
	SdesAuditSigning signing = sdes_audit_signing();
	bool there = sdes_audit_is_watched();
	bool good = there && !signing.tampered &&
	            (signing.failing_since == 0 ||
	             !TimestampDifferenceExceeds(signing.failing_since, GetCurrentTimestamp(),
	                                         1000 * AUDIT_UNSIGNED_S));
	const char *detail;
	char key[2 * SDES_DIGEST_SIZE + 1];

	sdes_hex(SDES_BYTES_OF(signing.fingerprint), key);
	if (!there)
		detail = "there is no process that signs the audit journal";
	else if (!good)
		detail = psprintf("the audit journal is not signed since %s: %s",
		                  timestamptz_to_str(signing.failing_since), signing.trouble);
	else if (signing.sequence == 0)
		detail = "nothing was to be signed since the server started";
	else
		detail = psprintf("the audit journal is signed to record " UINT64_FORMAT
		                  " by the key %s",
		                  signing.sequence, key);
	sdes_health_add(
	    health, "audit signature", good, detail,
	    "Where the HSM is away it is signed when that is back. Where a record is wrong, "
	    "somebody has changed the files: keep them, look at them with sdes_audit verify, "
	    "and move sdes/journal out of the data directory: then a new journal begins. Where "
	    "there is no process, max_worker_processes may leave no room for it.");
}

/*
 * Since when it lacks something; 0: it has all, or there was nothing to be copied since the
 * server started.
 */
static TimestampTz
mirror_lacks_since(const SdesAuditMirroring *mirroring)
{
	SdesAuditJournal own;

	if (mirroring->complete_at == 0)
		return sdes_audit_peek(&own) ? PgStartTime : 0;
	return mirroring->complete_at;
}

/* Where there is to be one. */
static void
check_audit_mirror(Health *health)
{
	SdesAuditMirroring mirroring = sdes_audit_mirroring();
	TimestampTz since = mirror_lacks_since(&mirroring);
	bool good = mirroring.trouble[0] == '\0' &&
	            (since == 0 || !TimestampDifferenceExceeds(since, GetCurrentTimestamp(),
	                                                       1000 * AUDIT_UNSIGNED_S));

	if (sdes_audit_mirror[0] == '\0')
		return;
	sdes_health_add(
	    health, "audit mirror", good,
	    good ? psprintf("the audit journal is in \"%s\" once more", sdes_audit_mirror)
	         : psprintf("the audit journal in \"%s\" is not complete since %s: %s",
	                    sdes_audit_mirror, since ? timestamptz_to_str(since) : "the start",
	                    mirroring.trouble[0] ? mirroring.trouble : "nothing copies it"),
	    "Statements go on meanwhile. When the folder is there and can be written again it "
	    "gets what it has missed. A copy that has other records than this server wrote, "
	    "move away. Where nothing copies it, max_worker_processes may leave no room.");
}

/* The table that people query; the journal is what proves. */
static void
check_audit_log(Health *health)
{
	SdesAuditLogState state = sdes_auditlog_state();
	const char *detail;

	if (RecoveryInProgress())
		return; /* it is the primary's */
	if (state.wrong != NULL)
		detail =
		    psprintf("of the journals that sdes.audit_log is made of, %s", state.wrong);
	else if (state.late)
		detail = psprintf("sdes.audit_log lacks what happened since %s",
		                  timestamptz_to_str(state.waiting_since));
	else
		detail = "sdes.audit_log has what the journals have";
	sdes_health_add(
	    health, "audit log", state.wrong == NULL && !state.late, detail,
	    "See sdes.audit_journal. Where a record is wrong, look at it with sdes_audit "
	    "verify; once that is dealt with, set wrong, or lacks, to NULL there. Where the "
	    "table is late, the server log says why; max_worker_processes may leave no room "
	    "for the worker that fills it.");
}

void
sdes_health_audit(Health *health)
{
	check_audit(health);
	check_audit_signature(health);
	check_audit_mirror(health);
	check_audit_log(health);
}
