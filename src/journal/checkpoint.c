/*
 * checkpoint.c
 *		Following the signatures of a journal.
 */
#include "journal/checkpoint.h"

#include <string.h>

static const char context[] = "sdes audit checkpoint";

SdesStatus
sdes_checkpoint_digest(const uint8_t journal[SDES_JOURNAL_ID_SIZE], uint64_t sequence,
                       const uint8_t hash[SDES_DIGEST_SIZE], uint8_t out[SDES_DIGEST_SIZE])
{
	uint8_t message[sizeof(context) - 1 + SDES_JOURNAL_ID_SIZE + 8 + SDES_DIGEST_SIZE];
	SdesWriter w = sdes_writer(message, sizeof(message));
	SdesBytes piece = SDES_BYTES_OF(message);

	sdes_write_bytes(&w, sdes_bytes(context, sizeof(context) - 1));
	sdes_write_bytes(&w, sdes_bytes(journal, SDES_JOURNAL_ID_SIZE));
	sdes_write_u64(&w, sequence);
	sdes_write_bytes(&w, sdes_bytes(hash, SDES_DIGEST_SIZE));
	return sdes_sha256(&piece, 1, out);
}

void
sdes_signatures_start(SdesSignatures *s)
{
	memset(s, 0, sizeof(*s));
}

void
sdes_signatures_end(SdesSignatures *s)
{
	sdes_public_key_free(s->key);
	s->key = NULL;
}

bool
sdes_signatures_suffice(const SdesSignatures *s)
{
	int64_t tail = s->unsigned_since == 0 ? 0 : s->seen - s->unsigned_since;

	return s->npins == 0 || (s->count > 0 && tail <= SDES_UNSIGNED_MAX);
}

static bool
counts(const SdesSignatures *s, const uint8_t fingerprint[SDES_DIGEST_SIZE])
{
	for (int i = 0; i < s->npins; i++)
		if (memcmp(s->pins[i], fingerprint, SDES_DIGEST_SIZE) == 0)
			return true;
	return s->npins == 0;
}

/* An event that tells a key: whether its fields are as they are due. */
static bool
read_key(const SdesRecord *record, SdesField *id, SdesField *info)
{
	return sdes_record_field(record, SDES_FIELD_KEY, id) &&
	       id->value.size == SDES_SIGNING_KEY_ID_SIZE &&
	       sdes_record_field(record, SDES_FIELD_PUBLIC_KEY, info);
}

/* A key that does not count is as good as none. */
static void
see_key(SdesSignatures *s, const SdesRecord *record)
{
	SdesPublicKey *key;
	SdesField id, info;
	uint8_t fingerprint[SDES_DIGEST_SIZE];

	if (!read_key(record, &id, &info) ||
	    sdes_sha256(&info.value, 1, fingerprint) != SDES_OK || !counts(s, fingerprint) ||
	    sdes_public_key_read(info.value, &key) != SDES_OK)
		return;
	sdes_public_key_free(s->key);
	s->key = key;
	memcpy(s->key_id, id.value.data, sizeof(s->key_id));
	memcpy(s->fingerprint, fingerprint, sizeof(s->fingerprint));
}

/* The oldest one goes when there are too many: no server has more than one. */
static void
see_checkpoint(SdesSignatures *s, const SdesRecord *record)
{
	SdesCheckpoint *to;

	if (s->nwaiting == SDES_CHECKPOINTS_MAX)
		memmove(&s->waiting[0], &s->waiting[1], --s->nwaiting * sizeof(SdesCheckpoint));
	to = &s->waiting[s->nwaiting++];
	to->sequence = record->sequence;
	to->time = record->time;
	memcpy(to->hash, record->hash.data, sizeof(to->hash));
}

static const SdesCheckpoint *
find(const SdesSignatures *s, uint64_t sequence)
{
	for (int i = 0; i < s->nwaiting; i++)
		if (s->waiting[i].sequence == sequence)
			return &s->waiting[i];
	return NULL;
}

static bool
is_good(const SdesSignatures *s, const uint8_t journal[SDES_JOURNAL_ID_SIZE],
        const SdesCheckpoint *checkpoint, SdesBytes signature)
{
	uint8_t digest[SDES_DIGEST_SIZE];

	return sdes_checkpoint_digest(journal, checkpoint->sequence, checkpoint->hash,
	                              digest) == SDES_OK &&
	       sdes_public_key_verify(s->key, digest, signature) == SDES_OK;
}

static bool
see_signature(SdesSignatures *s, const uint8_t journal[SDES_JOURNAL_ID_SIZE],
              uint64_t first, const SdesRecord *record)
{
	const SdesCheckpoint *checkpoint;
	SdesField id, of, signature;
	bool known;

	if (!sdes_record_field(record, SDES_FIELD_KEY, &id) ||
	    !sdes_record_field(record, SDES_FIELD_CHECKPOINT, &of) ||
	    !sdes_record_field(record, SDES_FIELD_SIGNATURE, &signature) ||
	    of.number >= record->sequence)
		return false;
	if (of.number < first)
		return true;
	known = s->key != NULL && id.value.size == sizeof(s->key_id) &&
	        memcmp(id.value.data, s->key_id, sizeof(s->key_id)) == 0;
	if (!known)
		return s->npins == 0;
	checkpoint = find(s, of.number);
	if (checkpoint == NULL || !is_good(s, journal, checkpoint, signature.value))
		return false;
	if (s->count > 0 && memcmp(s->signed_by, s->fingerprint, sizeof(s->signed_by)) != 0)
		s->changes++;
	memcpy(s->signed_by, s->fingerprint, sizeof(s->signed_by));
	s->count++;
	s->last = *checkpoint;
	/* Those before it are signed along, or their server has ended. */
	s->nwaiting = 0;
	/* What came while the HSM signed is what the next one signs. */
	s->unsigned_since = 0;
	return true;
}

bool
sdes_signatures_see(SdesSignatures *s, const uint8_t journal[SDES_JOURNAL_ID_SIZE],
                    uint64_t first, const SdesRecord *record)
{
	s->seen = record->time;
	if (s->unsigned_since == 0 && record->kind != SDES_JOURNAL_CHECKPOINT &&
	    record->kind != SDES_JOURNAL_SIGNATURE)
		s->unsigned_since = record->time;
	switch (record->kind)
	{
		case SDES_JOURNAL_EVENT:
			see_key(s, record);
			return true;
		case SDES_JOURNAL_CHECKPOINT:
			see_checkpoint(s, record);
			return true;
		case SDES_JOURNAL_SIGNATURE:
			return see_signature(s, journal, first, record);
		default:
			return true;
	}
}
