/*
 * internal.h
 *		What the files of this room share. Private to it.
 */
#ifndef SDES_AUDIT_INTERNAL_H
#define SDES_AUDIT_INTERNAL_H

#include "postgres.h"

#include "journal/append.h"
#include "nodes/pg_list.h"
#include "storage/lwlock.h"

/* Uses that a process has at a time, and bytes of the end of one in the queue, at most. */
#define SDES_AUDIT_USES 64
#define SDES_AUDIT_END  80

/* Of a record without its head. */
#define SDES_AUDIT_FIELDS_MAX 1536

/* Who is at the other end; parallel workers have it of their leader. */
typedef struct SdesAuditClient
{
	bool known;
	int backend;
	int64 backend_start; /* microseconds since 1970 */
	int port;            /* 0: none */
	char address[64];
	char tls[16];
	char cipher[64];
	char authenticated[NAMEDATALEN];
} SdesAuditClient;

/* ---- queue.c: records on their way to the journal ---- */

extern void sdes_audit_queue_init(void);

/* This process's own place for what it is. */
extern SdesAuditClient *sdes_audit_client(void);

/* The same of the leader of a parallel worker. */
extern const SdesAuditClient *sdes_audit_leader(void);

/* A number for a use, that no other one of the journal has. */
extern uint64 sdes_audit_new_use(void);

/* There are records of this database that its table does not have. */
extern void sdes_audit_note_news(void);

/*
 * Puts a record into this process's place of the queue; returns its ticket, 0 when there
 * is no room. Waits for nothing.
 */
extern uint64 sdes_audit_put(SdesJournalKind kind, SdesBytes fields);

/* ---- waiting.c ---- */

/*
 * Waits until the record is on the disk, and all before it; writes them if nobody else
 * does. 0, or why that failed; the record stays to be written.
 */
extern int sdes_audit_wait(uint64 ticket);

/* Raises the error for it. */
extern void sdes_audit_report(int error) __attribute__((noreturn));

/* Waits; an error when it fails. */
extern void sdes_audit_require(uint64 ticket);

/* Waits until there is room again for this process's records; an error when it fails. */
extern void sdes_audit_wait_for_room(void);

/* Why a wait has failed, in words. */
extern const char *sdes_audit_explain(int error);

/* Whether so many records have come that they should be signed at once; says so once. */
extern bool sdes_audit_take_sign_wanted(void);

/* ---- audit.c: what records have in common ---- */

/* Fields of the client and its roles. */
extern void sdes_audit_write_client(SdesWriter *w);

/* Of the database, and of a bucket unless that is NULL. */
extern void sdes_audit_write_bucket(SdesWriter *w, const uint8 *uuid);

/* In UTF-8, in the current memory context; NULL for NULL and for an empty text. */
extern const char *sdes_audit_utf8(const char *text);

/* ---- columns.c ---- */

/*
 * The relations and columns of a bucket that the statement writes, or else reads, which is
 * being executed, where that is known; hash is that of the bucket. For the functions below.
 */
extern List *sdes_audit_columns(int32 hash, bool written);
extern void sdes_audit_free_columns(List *columns);

/* Their names. */
extern void sdes_audit_write_columns(SdesWriter *w, const List *columns);

/* A number that stands for the same. */
extern uint32 sdes_audit_hash_columns(const List *columns);

/* Another number for each execution of a statement, within which these are the same. */
extern uint64 sdes_audit_execution(void);

/* ---- event.c ---- */

extern void sdes_audit_event_init(void);

/* ---- signer.c ---- */

extern void sdes_audit_signer_init(void);

/* ---- mirror.c ---- */

extern void sdes_audit_mirror_init(void);

/* ---- place.c: where the journal is ---- */

/*
 * Opens the journal of this server, or begins one. Fields of the record that it is to
 * begin with are put into w. An errno when that fails.
 */
extern int sdes_audit_open(SdesJournalFile *file, SdesJournalEnd *end, SdesWriter *w);

/* That record is on the disk: from now on it is this server's journal. An errno. */
extern int sdes_audit_remember(const SdesJournalFile *file);

#endif
