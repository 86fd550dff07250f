/*
 * audit.h
 *		No plaintext without a record: who used which bucket's keys for what, on the disk
 *		before the first value of a statement is opened.
 *
 * What is recorded goes into the audit journal (journal/record.h). Of each statement,
 * bucket, operation and role there is a begin, leases that say for how many values more
 * the keys may be used, and an end with their number. All but the end are on the disk
 * before the values are. So whatever becomes of the server, no more values were opened
 * than the journal says.
 */
#ifndef SDES_AUDIT_H
#define SDES_AUDIT_H

#include "postgres.h"

#include "crypto/mac.h"
#include "datatype/timestamp.h"
#include "envelope/envelope.h"
#include "journal/append.h"
#include "nodes/plannodes.h"
#include "storage/latch.h"

typedef enum SdesAuditOperation
{
	SDES_AUDIT_ENCRYPT,
	SDES_AUDIT_DECRYPT,
	SDES_AUDIT_MASK,
	SDES_AUDIT_SEARCH, /* guesses are compared with values */
	SDES_AUDIT_SORT    /* values are opened to be sorted */
} SdesAuditOperation;

/* Shared memory and callbacks; called once, from _PG_init of a preloaded library. */
extern void sdes_audit_init(void);

/*
 * The current role is about to use a bucket's keys for that many values. Returns when that
 * is on the disk; an error when it could not be brought there within sdes.audit_timeout.
 *
 * What is encrypted is there by the end of the transaction, which fails without: nobody
 * else sees it before. Where nothing may be waited for (sdes_must_not_wait()) values are
 * counted that sdes_audit_expect() has put on record before; more are an error.
 */
extern void sdes_audit_use(const uint8 *bucket, SdesAuditOperation operation, int64 values);

/*
 * Puts on record that so many values may be used, where that is about to happen under the
 * lock of a page.
 */
extern void sdes_audit_expect(const uint8 *bucket, SdesAuditOperation operation,
                              int64 values);

/* Whether a statement reads columns of the bucket of that hash. */
extern bool sdes_audit_reads(const PlannedStmt *plan, int32 hash);

/* Bytes of the plaintexts of the use before. */
extern void sdes_audit_bytes(int64 bytes);

/*
 * A use was refused. The record does not keep the caller from raising its error: where
 * nothing may be waited for, or the journal has not been written for long, there is none.
 */
extern void sdes_audit_denied(const uint8 *bucket, SdesAuditOperation operation);

/* ---- for the worker that signs ---- */

/*
 * Whose latch is set when many records have come, or a process is short of room for them;
 * NULL: nobody is there any more, and each process writes what it leaves.
 */
extern void sdes_audit_watch(Latch *latch);

/* Whether somebody is there. */
extern bool sdes_audit_is_watched(void);

/* Writes what waits, if nobody else is at it. */
extern void sdes_audit_tick(void);

/*
 * Writes what was left to be written, and signs what is new; what fails is tried again
 * later. Waits no longer than for one answer of each agent.
 */
extern void sdes_audit_sign(void);

/* Records which settings are others than at the call before, or before a restart. */
extern void sdes_audit_compare_settings(void);

/* Records that another token serves than at the call before. */
extern void sdes_audit_compare_tokens(void);

/* Writes that the server ends, and what was left. */
extern void sdes_audit_stop(void);

/* What is known of signatures. */
typedef struct SdesAuditSigning
{
	uint64 sequence;  /* of the last checkpoint that is signed; 0: none since the start */
	TimestampTz time; /* when that was */
	uint8 fingerprint[SDES_DIGEST_SIZE]; /* of the key */
	bool is_p256;                        /* the key, else RSA-4096 */
	TimestampTz failing_since;           /* 0: all is well */
	bool tampered;                       /* since somebody has changed the journal */
	char trouble[200];                   /* why it fails */
} SdesAuditSigning;

extern SdesAuditSigning sdes_audit_signing(void);

/* ---- for the worker that mirrors ---- */

/* Copies to sdes.audit_mirror what the journal has and that has not. */
extern void sdes_audit_mirror_copy(void);

typedef struct SdesAuditMirroring
{
	TimestampTz complete_at; /* when it had all; 0: not since the server started */
	char trouble[200];       /* why it has not; empty: it has */
} SdesAuditMirroring;

extern SdesAuditMirroring sdes_audit_mirroring(void);

/*
 * Something is done to keys or grants, of a bucket or NULL, by the current role. It is
 * recorded when the transaction commits, which fails without; never if it does not. The
 * rest is what it was, in words; no key, PIN or value.
 */
extern void sdes_audit_event(const char *operation, const uint8 *bucket, const char *format,
                             ...) __attribute__((format(printf, 3, 4)));

/*
 * The same of what a rollback does not undo: it is on the disk when this returns, and the
 * act comes afterwards.
 */
extern void sdes_audit_act(const char *operation, const uint8 *bucket, const char *format,
                           ...) __attribute__((format(printf, 3, 4)));

/* A data key has come into this process. */
extern void sdes_audit_fetched(const uint8 *bucket, uint32 version);

/*
 * A value that is to raise an alarm is about to be opened, for the current role: that is
 * on the disk, and in the server log, when this returns. Once for each statement and label.
 */
extern void sdes_audit_honey(const uint8 *bucket, const char *label);

/* Somebody may not do something, as in "rotate encryption keys". */
extern void sdes_audit_refused(const char *action);

/* Why the last record could not be written; NULL when it could. */
extern const char *sdes_audit_trouble(void);

/* Where the journals of this server are; path has room for MAXPGPATH. */
extern void sdes_audit_directory_path(char *path);

typedef struct SdesAuditJournal
{
	char folder[SDES_JOURNAL_PATH_MAX];
	uint8 id[SDES_JOURNAL_ID_SIZE];
	SdesJournalEnd end;
} SdesAuditJournal;

/*
 * The journal as it is on the disk; false when there is none yet, or after
 * sdes.audit_timeout in which others have been writing.
 */
extern bool sdes_audit_peek(SdesAuditJournal *journal);

/*
 * The folder of the journal and its end, when what waits has been written, and a journal
 * begun if there was none. An error when that fails.
 */
extern void sdes_audit_where(char folder[SDES_JOURNAL_PATH_MAX], SdesJournalEnd *end);

/*
 * The segments of a journal in ascending order, by their first records; and the bytes of one
 * from an offset on. In the current memory context; an error when they cannot be had.
 */
extern uint64 *sdes_audit_segments(const char *folder, size_t *n);
extern SdesBytes sdes_audit_segment(const char *folder, uint64 segment, uint64 from);

/*
 * Whether there may be new records of that database since this was asked last. Now and
 * then that gets lost; so it has to be looked at in any case sometimes.
 */
extern bool sdes_audit_take_news(Oid database);

/*
 * Follows which statement is being executed; called last from _PG_init, so that whatever
 * opens values around one does so within it.
 */
extern void sdes_audit_watch_statements(void);

/* Notes who is at the other end, for parallel workers. */
extern void sdes_audit_know_client(void);

#endif
