/*
 * signer.c
 *		Checkpoints of the journal, signed by a key in the HSM (journal/checkpoint.h).
 *
 * One process signs. Before it does, it reads from the disk what was written since it
 * signed last, and compares where that ends with what the writers have in memory: what
 * somebody has changed in the files is not vouched for, and is told.
 *
 * Signatures come after the fact, so nobody waits for the HSM here. While it is away the
 * journal goes on; the next signature covers all.
 *
 * What was signed last is noted in the data directory: a journal that does not have it any
 * more was changed while nobody looked. So is it that a journal was found to be wrong.
 *
 * A journal has a key of its own, made in the first token that answers. Its keys are noted
 * in a file of the data directory, the current one last; a copy of the directory has
 * another journal, and makes another key.
 */
#include "postgres.h"

#include "audit/audit.h"

#include <errno.h>

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "audit/internal.h"
#include "crypto/public_key.h"
#include "journal/verify.h"
#include "sdes_shmem.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#define KEYS_FILE     SDES_STATE_DIRECTORY "/audit_keys"
#define NEW_KEYS_FILE SDES_STATE_DIRECTORY "/audit_keys.new"
#define SIGNED_FILE   SDES_STATE_DIRECTORY "/audit_signed"
#define NEW_SIGNED    SDES_STATE_DIRECTORY "/audit_signed.new"

#define SIGN_EVERY_MS 900  /* or when there are many new records; ticks are 1000 ms */
#define RETRY_MS      1000 /* doubled with each failure */
#define MAX_DOUBLING  3
#define HEX_MAX       (2 * SDES_PUBLIC_KEY_MAX)
#define KEY_LINE_MAX  (HEX_MAX + 80)

/* A key of a journal. */
typedef struct SigningKey
{
	uint8 id[SDES_KEK_ID_SIZE];
	uint8 info[SDES_PUBLIC_KEY_MAX]; /* SubjectPublicKeyInfo */
	size_t info_size;
} SigningKey;

/* What the process that signs knows. */
typedef struct Signer
{
	uint8 journal[SDES_JOURNAL_ID_SIZE];
	bool has_key;
	SigningKey key;
	bool has_made; /* a key that is not noted yet */
	uint8 made[SDES_KEK_ID_SIZE];
	uint64 announced; /* segment in which the key was made known last */

	/* What was read and verified, up to a place in a segment; 0: nothing yet. */
	SdesVerify verify;
	SdesSignatures signatures;
	uint64 segment;
	uint64 offset;

	SdesCheckpoint known; /* signed before; the journal must have it. sequence 0: none */
	bool settled;         /* a signature, and nothing else, follows what was verified */
	bool wrong; /* the journal is not what was written: it is not signed any more */
	int failures;
	TimestampTz retry_at;
} Signer;

static Signer signer;

/* What others may know of it. */
typedef struct Published
{
	LWLock *lock;
	SdesAuditSigning signing;
} Published;

static Published *published = NULL;

static void
make_published(void *memory, LWLock *lock)
{
	((Published *) memory)->lock = lock;
}

void
sdes_audit_signer_init(void)
{
	sdes_shmem_add("sdes_audit_signing", sizeof(Published), sizeof(Published),
	               (void **) &published, make_published);
}

SdesAuditSigning
sdes_audit_signing(void)
{
	SdesAuditSigning signing = {0};

	if (published == NULL)
		return signing;
	LWLockAcquire(published->lock, LW_SHARED);
	signing = published->signing;
	LWLockRelease(published->lock);
	return signing;
}

static void
publish_success(const SdesCheckpoint *checkpoint)
{
	SdesBytes info = sdes_bytes(signer.key.info, signer.key.info_size);

	signer.failures = 0;
	LWLockAcquire(published->lock, LW_EXCLUSIVE);
	published->signing.sequence = checkpoint->sequence;
	published->signing.time = GetCurrentTimestamp();
	published->signing.trouble[0] = '\0';
	published->signing.failing_since = 0;
	published->signing.tampered = false;
	published->signing.is_p256 = signer.key.info_size < 128; /* bytes; of RSA-4096, 550 */
	(void) sdes_sha256(&info, 1, published->signing.fingerprint);
	LWLockRelease(published->lock);
}

/* False, so that it can stand in a return statement. Logged when it is news. */
static bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool
fail(const char *format, ...)
{
	SdesAuditSigning *signing = &published->signing;
	char trouble[sizeof(signing->trouble)];
	va_list args;
	bool news;

	va_start(args, format);
	vsnprintf(trouble, sizeof(trouble), format, args);
	va_end(args);
	LWLockAcquire(published->lock, LW_EXCLUSIVE);
	news = strcmp(signing->trouble, trouble) != 0;
	strlcpy(signing->trouble, trouble, sizeof(signing->trouble));
	signing->tampered = signer.wrong;
	if (signing->failing_since == 0)
		signing->failing_since = GetCurrentTimestamp();
	LWLockRelease(published->lock);
	if (news)
		ereport(LOG,
		        (signer.wrong ? errcode(ERRCODE_DATA_CORRUPTED) : errcode(ERRCODE_IO_ERROR),
		         errmsg("audit journal is not being signed: %s", trouble),
		         errhint("See the row \"audit signature\" of sdes.health().")));
	signer.retry_at = TimestampTzPlusMilliseconds(
	    GetCurrentTimestamp(), RETRY_MS << Min(signer.failures++, MAX_DOUBLING));
	return false;
}

/* ---- keys ---- */

static bool
unhex(const char *text, uint8 *out, size_t max, size_t *size)
{
	*size = strlen(text) / 2;
	if (*size > max || strlen(text) != 2 * *size)
		return false;
	for (size_t i = 0; i < *size; i++)
	{
		unsigned value;

		if (sscanf(text + 2 * i, "%2x", &value) != 1)
			return false;
		out[i] = (uint8) value;
	}
	return true;
}

/* From then on signatures by it are right. The oldest one goes when there are too many. */
static void
trust(const SigningKey *key)
{
	SdesSignatures *s = &signer.signatures;
	SdesBytes info = sdes_bytes(key->info, key->info_size);

	if (s->npins == SDES_PINS_MAX)
		memmove(s->pins[0], s->pins[1], --s->npins * sizeof(s->pins[0]));
	if (sdes_sha256(&info, 1, s->pins[s->npins]) == SDES_OK)
		s->npins++;
	signer.key = *key;
	signer.has_key = true;
}

/* A line "JOURNAL ID INFO"; those of other journals are of who this is a copy of. */
static void
read_line(const char *line)
{
	char journal[2 * SDES_JOURNAL_ID_SIZE + 1], own[2 * SDES_JOURNAL_ID_SIZE + 1];
	char id[2 * SDES_KEK_ID_SIZE + 1], info[HEX_MAX + 1];
	SigningKey key = {0};
	size_t id_size;

	sdes_hex(SDES_BYTES_OF(signer.journal), own);
	StaticAssertStmt(HEX_MAX == 1200, "the width of %1200 below");
	if (sscanf(line, "%32[0-9a-f] %32[0-9a-f] %1200[0-9a-f]", journal, id, info) == 3 &&
	    strcmp(journal, own) == 0 && unhex(id, key.id, sizeof(key.id), &id_size) &&
	    id_size == sizeof(key.id) &&
	    unhex(info, key.info, sizeof(key.info), &key.info_size))
		trust(&key);
}

/* False when that cannot be told. */
static bool
read_keys(void)
{
	FILE *file = AllocateFile(KEYS_FILE, "r");
	char line[KEY_LINE_MAX];
	bool good;

	if (file == NULL)
		return errno == ENOENT ||
		       fail("\"%s\" cannot be read: %s", KEYS_FILE, strerror(errno));
	while (fgets(line, sizeof(line), file) != NULL)
		read_line(line);
	good = !ferror(file);
	FreeFile(file);
	return good || fail("\"%s\" cannot be read", KEYS_FILE);
}

static bool
write_line(FILE *to, const SigningKey *key)
{
	char journal[2 * SDES_JOURNAL_ID_SIZE + 1], id[2 * SDES_KEK_ID_SIZE + 1];
	char info[HEX_MAX + 1];

	sdes_hex(SDES_BYTES_OF(signer.journal), journal);
	sdes_hex(SDES_BYTES_OF(key->id), id);
	sdes_hex(sdes_bytes(key->info, key->info_size), info);
	return fprintf(to, "%s %s %s\n", journal, id, info) > 0;
}

/* What is noted stays: an earlier key has signed what is still there. */
static bool
copy_lines(FILE *to)
{
	FILE *from = AllocateFile(KEYS_FILE, "r");
	char line[KEY_LINE_MAX];
	bool good = true;

	if (from == NULL)
		return errno == ENOENT;
	while (good && fgets(line, sizeof(line), from) != NULL)
		good = fputs(line, to) >= 0;
	good = good && !ferror(from);
	FreeFile(from);
	return good;
}

static bool
note_key(const SigningKey *key)
{
	FILE *file = AllocateFile(NEW_KEYS_FILE, "w");
	bool good;

	if (file == NULL)
		return fail("\"%s\" cannot be written: %s", KEYS_FILE, strerror(errno));
	good = copy_lines(file) && write_line(file, key);
	good = FreeFile(file) == 0 && good;
	if (!good || durable_rename(NEW_KEYS_FILE, KEYS_FILE, LOG) != 0)
		return fail("\"%s\" cannot be written: %s", KEYS_FILE, strerror(errno));
	return true;
}

/* Fails with what an agent has said. */
static bool
fail_of(const SdesLinkFailure *failure)
{
	return fail("%s%s%s", sdes_status_name(failure->status), failure->detail[0] ? ": " : "",
	            failure->detail);
}

static const SdesReply *
ask(const SdesRequest *request, SdesLinkFailure *failure)
{
	failure->detail[0] = '\0';
	return sdes_agentlink_try(request, SDES_ONCE, failure);
}

/* On P-256 where the token has that, else RSA. */
static bool
create_key(uint8 *id)
{
	static const SdesKekKind kinds[] = {SDES_KEK_P256_SIGN, SDES_KEK_RSA_4096_SIGN};
	SdesRequest request = {.op = SDES_OP_KEK_CREATE};
	SdesLinkFailure failure;

	snprintf(request.label, sizeof(request.label), "sdes:" UINT64_FORMAT ":0:audit",
	         GetSystemIdentifier());
	for (size_t i = 0; i < lengthof(kinds); i++)
	{
		const SdesReply *reply;

		request.kind = kinds[i];
		reply = ask(&request, &failure);
		if (reply != NULL)
		{
			memcpy(id, reply->kek_id, SDES_KEK_ID_SIZE);
			sdes_agentlink_finish();
			return true;
		}
		if (failure.status != SDES_ERR_HSM_MECHANISM)
			break;
	}
	return fail_of(&failure);
}

static SdesStatus
describe_key(SdesBytes public, SigningKey *key)
{
	SdesPublicKey *made;
	SdesStatus status = public.size == SDES_P256_POINT_SIZE
	                        ? sdes_public_key_of_point(public, &made)
	                        : sdes_public_key_new(public, &made);

	key->info_size = sizeof(key->info);
	if (status == SDES_OK)
		status = sdes_public_key_write(made, key->info, &key->info_size);
	sdes_public_key_free(made);
	return status;
}

static bool
make_key(void)
{
	SdesRequest request = {.op = SDES_OP_PUBLIC_KEY};
	SdesLinkFailure failure;
	const SdesReply *reply;
	SigningKey key;
	SdesStatus status;

	if (!signer.has_made && !create_key(signer.made))
		return false;
	signer.has_made = true;
	memcpy(key.id, signer.made, sizeof(key.id));
	memcpy(request.kek_id, key.id, sizeof(key.id));
	reply = ask(&request, &failure);
	if (reply == NULL)
	{
		signer.has_made = failure.status != SDES_ERR_HSM_KEY_MISSING;
		return fail_of(&failure);
	}
	status = describe_key(sdes_bytes(reply->public, reply->public_size), &key);
	sdes_agentlink_finish();
	if (status != SDES_OK)
		return fail("%s", sdes_status_name(status));
	if (!note_key(&key))
		return false;
	trust(&key);
	signer.has_made = false;
	signer.announced = 0;
	ereport(LOG, (errmsg("a new key signs the audit journal from now on"),
	              errhint("See sdes.verify_audit() for its fingerprint.")));
	return true;
}

/* ---- reading what is to be signed ---- */

/*
 * Notes what is known of this journal: the last checkpoint that is signed, and "wrong" if
 * it is. An older note is as good as none: it need not be flushed.
 */
static void
note_state(const SdesCheckpoint *checkpoint)
{
	char journal[2 * SDES_JOURNAL_ID_SIZE + 1], hash[2 * SDES_DIGEST_SIZE + 1];
	FILE *file = AllocateFile(NEW_SIGNED, "w");
	bool good;

	if (file == NULL)
		return;
	sdes_hex(SDES_BYTES_OF(signer.journal), journal);
	sdes_hex(SDES_BYTES_OF(checkpoint->hash), hash);
	good =
	    fprintf(file, "%s %llu %s %s\n", journal, (unsigned long long) checkpoint->sequence,
	            hash, signer.wrong ? "wrong" : "right") > 0;
	if (FreeFile(file) == 0 && good)
		(void) rename(NEW_SIGNED, SIGNED_FILE);
}

static void
read_state(void)
{
	FILE *file = AllocateFile(SIGNED_FILE, "r");
	char journal[2 * SDES_JOURNAL_ID_SIZE + 1], own[2 * SDES_JOURNAL_ID_SIZE + 1];
	char hash[2 * SDES_DIGEST_SIZE + 1], state[6];
	unsigned long long sequence;
	size_t size;

	if (file == NULL)
		return;
	sdes_hex(SDES_BYTES_OF(signer.journal), own);
	if (fscanf(file, "%32[0-9a-f] %llu %64[0-9a-f] %5s", journal, &sequence, hash, state) ==
	        4 &&
	    strcmp(journal, own) == 0 &&
	    unhex(hash, signer.known.hash, sizeof(signer.known.hash), &size))
	{
		signer.known.sequence = sequence;
		signer.wrong = strcmp(state, "wrong") == 0;
	}
	FreeFile(file);
}

static bool
fail_wrong(uint64 sequence, const char *how)
{
	signer.wrong = true;
	note_state(&signer.known);
	return fail("record " UINT64_FORMAT " is %s", sequence, how);
}

/* Where the first reading begins: where the last signature is known to be, if it is there. */
static int
find_start(const SdesAuditJournal *journal)
{
	uint64_t *segments;
	size_t n;
	int error = sdes_journal_list(journal->folder, &segments, &n);

	signer.segment = journal->end.segment;
	for (size_t i = 0; i < n; i++)
		if (segments[i] <= signer.known.sequence)
			signer.segment = segments[i];
	free(segments);
	return error;
}

/* The next reading begins at the start of a segment; 0: of the one that find_start() finds. */
static void
start_over(uint64 segment)
{
	sdes_verify_start(&signer.verify);
	signer.verify.signatures = &signer.signatures;
	signer.segment = segment;
	signer.offset = 0;
}

/* Whether a segment has what was signed before, if it is to have it. */
static bool
has_known(SdesBytes segment)
{
	SdesReader r = sdes_reader(segment);
	SdesRecord record;
	bool begun = false;

	(void) sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	while (!r.failed && sdes_journal_read_record(&r, &record) == SDES_RECORD_READ)
	{
		if (!begun && record.sequence > signer.known.sequence)
			return true; /* it is in one before */
		begun = true;
		if (record.sequence == signer.known.sequence)
			return memcmp(record.hash.data, signer.known.hash, SDES_DIGEST_SIZE) == 0;
	}
	return signer.known.sequence == 0 || !begun;
}

/* One segment, from where the last reading has ended; of the last one no more than end. */
static bool
read_segment(const SdesAuditJournal *journal)
{
	bool last = signer.segment == journal->end.segment;
	uint64 due = last ? journal->end.size - signer.offset : 0;
	SdesBytes bytes;
	int error = sdes_journal_read(journal->folder, signer.segment, signer.offset, &bytes);
	bool good;

	/* Old segments may be moved away: the next try does without. */
	if (error == ENOENT && !last)
		start_over(journal->end.segment);
	if (error != 0)
		return fail("a segment cannot be read: %s", strerror(error));
	if (bytes.size < due)
	{
		sdes_journal_free(bytes);
		return fail_wrong(signer.verify.next, "truncated");
	}
	if (last)
		bytes.size = due;
	if (signer.offset == 0 && !has_known(bytes))
	{
		sdes_journal_free(bytes);
		return fail_wrong(signer.known.sequence, "not what was signed");
	}
	good = signer.offset == 0 ? sdes_verify_segment(&signer.verify, bytes)
	                          : sdes_verify_more(&signer.verify, bytes);
	signer.offset += bytes.size;
	sdes_journal_free(bytes);
	if (signer.verify.status != SDES_OK)
	{
		SdesStatus status = signer.verify.status;

		start_over(0);
		return fail("%s", sdes_status_name(status));
	}
	return good || fail_wrong(signer.verify.next, sdes_wrong_name(signer.verify.wrong));
}

/* All that was written since the last reading. */
static bool
read_on(const SdesAuditJournal *journal)
{
	int error;

	if (signer.segment == 0 && (error = find_start(journal)) != 0)
		return fail("its segments cannot be listed: %s", strerror(error));
	if (journal->end.next <= signer.known.sequence)
		return fail_wrong(journal->end.next, "truncated");
	while (read_segment(journal))
	{
		if (signer.segment == journal->end.segment)
		{
			if (signer.verify.next == journal->end.next &&
			    memcmp(signer.verify.hash, journal->end.hash, SDES_DIGEST_SIZE) == 0)
				return true;
			return fail_wrong(Min(signer.verify.next, journal->end.next), "edited");
		}
		signer.segment = signer.verify.next;
		signer.offset = 0;
	}
	return false;
}

/* ---- signing ---- */

static bool
write_record(SdesJournalKind kind, const SdesWriter *w, const uint8 *fields)
{
	uint64 ticket =
	    sdes_audit_put(kind, sdes_bytes(fields, w == NULL ? 0 : (size_t) (w->at - fields)));
	int error = ticket == 0 ? ENOSPC : sdes_audit_wait(ticket);

	return error == 0 || fail("it cannot be written: %s", sdes_audit_explain(error));
}

static bool
announce(void)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	SdesWriter w = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&w, SDES_FIELD_OPERATION, SDES_SIGNING_KEY);
	sdes_write_field(&w, SDES_FIELD_KEY, SDES_BYTES_OF(signer.key.id));
	sdes_write_field(&w, SDES_FIELD_PUBLIC_KEY,
	                 sdes_bytes(signer.key.info, signer.key.info_size));
	return write_record(SDES_JOURNAL_EVENT, &w, fields);
}

/*
 * A checkpoint, with the key made known before it in the same segment. What is in *journal
 * is then where the journal ends, behind it.
 */
static bool
write_checkpoint(SdesAuditJournal *journal)
{
	uint64 segment;

	do
	{
		segment = journal->end.segment;
		if (signer.announced != segment && !announce())
			return false;
		signer.announced = segment;
		if (!write_record(SDES_JOURNAL_CHECKPOINT, NULL, (const uint8 *) ""))
			return false;
		if (!sdes_audit_peek(journal))
			return fail("it is being written");
	} while (journal->end.segment != segment);
	return true;
}

static bool
write_signature(const SdesCheckpoint *checkpoint, SdesBytes signature)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	SdesWriter w = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&w, SDES_FIELD_ALGORITHM,
	                signature.size == SDES_P256_SIGNATURE_SIZE ? SDES_CHECKPOINT_P256
	                                                           : SDES_CHECKPOINT_RSA);
	sdes_write_field(&w, SDES_FIELD_KEY, SDES_BYTES_OF(signer.key.id));
	sdes_write_field(&w, SDES_FIELD_SIGNATURE, signature);
	sdes_write_number(&w, SDES_FIELD_CHECKPOINT, checkpoint->sequence);
	return write_record(SDES_JOURNAL_SIGNATURE, &w, fields);
}

static bool
sign(const SdesCheckpoint *checkpoint)
{
	SdesRequest request = {.op = SDES_OP_SIGN};
	SdesLinkFailure failure;
	const SdesReply *reply;
	uint8 signature[SDES_RSA_4096_SIZE];
	size_t size;
	SdesStatus status = sdes_checkpoint_digest(signer.journal, checkpoint->sequence,
	                                           checkpoint->hash, request.digest);

	if (status != SDES_OK)
		return fail("%s", sdes_status_name(status));
	memcpy(request.kek_id, signer.key.id, sizeof(request.kek_id));
	reply = ask(&request, &failure);
	if (reply == NULL)
	{
		/* It is gone for good, as far as anybody can tell: there will be another one. */
		signer.has_key = failure.status != SDES_ERR_HSM_KEY_MISSING;
		return fail_of(&failure);
	}
	size = reply->public_size;
	memcpy(signature, reply->public, size);
	sdes_agentlink_finish();
	return write_signature(checkpoint, sdes_bytes(signature, size));
}

/* Another journal than before, or the first one. */
static bool
begin(const SdesAuditJournal *journal)
{
	sdes_signatures_end(&signer.signatures);
	memset(&signer, 0, sizeof(signer));
	memcpy(signer.journal, journal->id, sizeof(signer.journal));
	sdes_signatures_start(&signer.signatures);
	start_over(0);
	read_state();
	if (signer.wrong)
		(void) fail("it was found to be changed, see the log of that time");
	return read_keys();
}

static bool
is_signed(const SdesAuditJournal *journal)
{
	return signer.settled && journal->end.next == signer.verify.next + 1;
}

static void
sign_new(SdesAuditJournal *journal)
{
	const SdesSignatures *s = &signer.signatures;
	SdesCheckpoint checkpoint;

	if ((!signer.has_key && !make_key()) || !write_checkpoint(journal) || !read_on(journal))
		return;
	/* It was the last one that is there: nobody else writes any. */
	if (s->nwaiting == 0)
	{
		(void) fail_wrong(signer.verify.next, "missing");
		return;
	}
	checkpoint = s->waiting[s->nwaiting - 1];
	signer.settled = sign(&checkpoint);
	if (signer.settled)
	{
		signer.known = checkpoint;
		note_state(&checkpoint);
		publish_success(&checkpoint);
	}
}

void
sdes_audit_sign(void)
{
	static TimestampTz looked_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	SdesAuditJournal journal;

	/* Who is short of room wakes us, too, and more often than there is to sign. */
	sdes_audit_tick();
	/* A clock that was put back is no reason to wait for it. */
	if (!sdes_audit_take_sign_wanted() && now >= looked_at &&
	    !TimestampDifferenceExceeds(looked_at, now, SIGN_EVERY_MS))
		return;
	looked_at = now;
	if (!sdes_audit_peek(&journal))
		return;
	if (memcmp(journal.id, signer.journal, sizeof(journal.id)) != 0 && !begin(&journal))
	{
		memset(signer.journal, 0, sizeof(signer.journal));
		return;
	}
	if (!signer.wrong && !is_signed(&journal) && GetCurrentTimestamp() >= signer.retry_at)
		sign_new(&journal);
}
