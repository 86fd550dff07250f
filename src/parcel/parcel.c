/*
 * parcel.c
 *		Parcels of keys: reading and writing the format of parcel.h.
 */
#include "parcel/parcel.h"

#include <string.h>

#define FORMAT 1
#define HEADER (8 + 4 + SDES_PARCEL_ID_SIZE + 8 + SDES_DIGEST_SIZE + 1 + 2 + 4)

static const uint8_t magic[8] = {'S', 'D', 'E', 'S', 'K', 'E', 'Y', 'S'};

/* Length and bytes, filled up to size bytes. */
static void
write_name(SdesWriter *w, const char *name, size_t size)
{
	static const uint8_t zeros[64] = {0};
	size_t length = strlen(name);

	if (length == 0 || length > size)
	{
		w->failed = true;
		return;
	}
	sdes_write_u8(w, (uint8_t) length);
	sdes_write_bytes(w, sdes_bytes(name, length));
	sdes_write_bytes(w, sdes_bytes(zeros, size - length));
}

/* Into out, which holds size + 1 bytes; a name has 1 to most of them. */
static void
read_name(SdesReader *r, char *out, size_t size, size_t most)
{
	size_t length = sdes_read_u8(r);
	SdesBytes bytes = sdes_read_bytes(r, size);

	memset(out, 0, most + 1);
	if (r->failed || length == 0 || length > most)
	{
		r->failed = true;
		return;
	}
	for (size_t i = 0; i < size; i++)
	{
		/* No control characters in it, nothing but zeros after it. */
		if (i < length ? bytes.data[i] < ' ' || bytes.data[i] == 0x7f : bytes.data[i] != 0)
			r->failed = true;
	}
	memcpy(out, bytes.data, length);
}

void
sdes_parcel_write_recipient(SdesWriter *w, const SdesParcelRecipient *recipient)
{
	sdes_write_bytes(w, SDES_BYTES_OF(recipient->fingerprint));
	write_name(w, recipient->name, SDES_SITE_NAME_MAX + 1);
}

static void
read_recipient(SdesReader *r, SdesParcelRecipient *out)
{
	sdes_read_into(r, out->fingerprint, sizeof(out->fingerprint));
	read_name(r, out->name, SDES_SITE_NAME_MAX + 1, SDES_SITE_NAME_MAX);
}

void
sdes_parcel_write_bucket(SdesWriter *w, const SdesParcelBucket *bucket)
{
	sdes_write_bytes(w, SDES_BYTES_OF(bucket->uuid));
	sdes_write_u8(w, bucket->system);
	sdes_write_u8(w, bucket->kek_kind);
	sdes_write_u32(w, (uint32_t) bucket->months);
	sdes_write_u32(w, (uint32_t) bucket->days);
	sdes_write_u64(w, (uint64_t) bucket->microseconds);
	write_name(w, bucket->name, SDES_PARCEL_BUCKET_NAME_MAX);
}

static void
read_bucket(SdesReader *r, SdesParcelBucket *out)
{
	uint8_t system;

	sdes_read_into(r, out->uuid, sizeof(out->uuid));
	system = sdes_read_u8(r);
	out->system = system == 1;
	out->kek_kind = sdes_read_u8(r);
	out->months = (int32_t) sdes_read_u32(r);
	out->days = (int32_t) sdes_read_u32(r);
	out->microseconds = (int64_t) sdes_read_u64(r);
	read_name(r, out->name, SDES_PARCEL_BUCKET_NAME_MAX, SDES_PARCEL_BUCKET_NAME_MAX);
	if (system > 1 || out->kek_kind < 1 || out->kek_kind > 2)
		r->failed = true;
}

void
sdes_parcel_write_key(SdesWriter *w, const SdesParcelKey *key)
{
	sdes_write_bytes(w, SDES_BYTES_OF(key->key_id));
	sdes_write_u16(w, key->bucket);
	sdes_write_u32(w, key->version);
	sdes_write_u8(w, key->purpose);
	sdes_write_u8(w, key->mode);
	sdes_write_u8(w, key->state);
	sdes_write_u64(w, (uint64_t) key->created);
}

static bool
is_state(uint8_t state, uint8_t purpose)
{
	return state <= SDES_PARCEL_RETIRED ||
	       (state == SDES_PARCEL_INCOMING && purpose == SDES_PURPOSE_SEARCH);
}

static void
read_key(SdesReader *r, uint16_t nbuckets, SdesParcelKey *out)
{
	sdes_read_into(r, out->key_id, sizeof(out->key_id));
	out->bucket = sdes_read_u16(r);
	out->version = sdes_read_u32(r);
	out->purpose = sdes_read_u8(r);
	out->mode = sdes_read_u8(r);
	out->state = sdes_read_u8(r);
	out->created = (int64_t) sdes_read_u64(r);
	if (out->bucket >= nbuckets || out->version == 0 || out->version > INT32_MAX ||
	    out->purpose < SDES_PURPOSE_DATA || out->purpose > SDES_PURPOSE_AUDIT ||
	    out->mode != SDES_MODE_CACHED || !is_state(out->state, out->purpose))
		r->failed = true;
}

void
sdes_parcel_recipient(const SdesParcel *parcel, size_t at, SdesParcelRecipient *out)
{
	SdesReader r =
	    sdes_reader(sdes_bytes(parcel->recipients.data + at * SDES_PARCEL_RECIPIENT_SIZE,
	                           SDES_PARCEL_RECIPIENT_SIZE));

	read_recipient(&r, out);
}

void
sdes_parcel_bucket(const SdesParcel *parcel, size_t at, SdesParcelBucket *out)
{
	SdesReader r = sdes_reader(sdes_bytes(
	    parcel->buckets.data + at * SDES_PARCEL_BUCKET_SIZE, SDES_PARCEL_BUCKET_SIZE));

	read_bucket(&r, out);
}

void
sdes_parcel_key(const SdesParcel *parcel, size_t at, SdesParcelKey *out)
{
	SdesReader r = sdes_reader(sdes_bytes(
	    parcel->keys.data + at * SDES_PARCEL_KEY_RECORD_SIZE, SDES_PARCEL_KEY_RECORD_SIZE));

	read_key(&r, parcel->nbuckets, out);
}

/* Each record has the shape it must have, and what there may be one of is there once. */
static bool
records_are_good(const SdesParcel *parcel)
{
	SdesReader r = sdes_reader(parcel->recipients);
	SdesReader b = sdes_reader(parcel->buckets);
	SdesReader k = sdes_reader(parcel->keys);
	SdesParcelRecipient recipient;
	SdesParcelBucket bucket;
	SdesParcelKey key;

	for (int i = 0; i < parcel->nrecipients; i++)
		read_recipient(&r, &recipient);
	for (int i = 0; i < parcel->nbuckets; i++)
		read_bucket(&b, &bucket);
	for (uint32_t i = 0; i < parcel->nkeys; i++)
		read_key(&k, parcel->nbuckets, &key);
	return sdes_read_complete(&r) && sdes_read_complete(&b) && sdes_read_complete(&k);
}

static bool
numbers_are_good(const SdesParcel *parcel)
{
	bool backup = parcel->kind == SDES_PARCEL_BACKUP;

	return (backup || parcel->kind == SDES_PARCEL_EXPORT) && parcel->nrecipients >= 1 &&
	       parcel->nrecipients <= SDES_PARCEL_RECIPIENTS_MAX && parcel->nbuckets >= 1 &&
	       parcel->nkeys >= 1 &&
	       (parcel->wrap == SDES_WRAP_RSA ||
	        (parcel->wrap == SDES_WRAP_HYBRID && !backup)) &&
	       (backup ? parcel->threshold >= 1 && parcel->threshold <= parcel->nrecipients
	               : parcel->threshold == 0 && parcel->nrecipients == 1);
}

static void
read_header(SdesReader *r, SdesParcel *out)
{
	SdesBytes begin = sdes_read_bytes(r, sizeof(magic));
	uint8_t format = sdes_read_u8(r);

	out->kind = sdes_read_u8(r);
	out->wrap = sdes_read_u8(r);
	out->threshold = sdes_read_u8(r);
	sdes_read_into(r, out->id, sizeof(out->id));
	out->created = (int64_t) sdes_read_u64(r);
	sdes_read_into(r, out->sender, sizeof(out->sender));
	out->nrecipients = sdes_read_u8(r);
	out->nbuckets = sdes_read_u16(r);
	out->nkeys = sdes_read_u32(r);
	if (r->failed || memcmp(begin.data, magic, sizeof(magic)) != 0 || format != FORMAT ||
	    !numbers_are_good(out))
		r->failed = true;
}

/* What follows the manifest. */
static void
read_contents(SdesReader *r, SdesParcel *out)
{
	out->commitment = sdes_read_bytes(r, SDES_DIGEST_SIZE);
	for (int i = 0; i < out->nrecipients; i++)
		out->wrapped[i] = sdes_read_bytes(r, sdes_read_u16(r));
	if (out->wrap == SDES_WRAP_HYBRID && out->wrapped[0].size < SDES_KEM_CIPHERTEXT_SIZE)
		r->failed = true;
	out->sealed = sdes_read_bytes(r, (size_t) out->nkeys * SDES_PARCEL_SEALED_SIZE);
}

SdesStatus
sdes_parcel_parse(SdesBytes bytes, SdesParcel *out)
{
	SdesReader r = sdes_reader(bytes);
	SdesBytes manifest;

	memset(out, 0, sizeof(*out));
	if (bytes.size > SDES_PARCEL_MAX)
		return SDES_ERR_TOO_LONG;
	read_header(&r, out);
	if (r.failed)
		return SDES_ERR_FORMAT;
	out->recipients =
	    sdes_read_bytes(&r, (size_t) out->nrecipients * SDES_PARCEL_RECIPIENT_SIZE);
	out->buckets = sdes_read_bytes(&r, (size_t) out->nbuckets * SDES_PARCEL_BUCKET_SIZE);
	out->keys = sdes_read_bytes(&r, (size_t) out->nkeys * SDES_PARCEL_KEY_RECORD_SIZE);
	manifest = sdes_bytes(bytes.data, bytes.size - r.left);
	if (r.failed || !records_are_good(out))
		return SDES_ERR_FORMAT;
	read_contents(&r, out);
	out->signed_part = sdes_bytes(bytes.data, bytes.size - r.left);
	out->signature = sdes_read_bytes(&r, sdes_read_u16(&r));
	if (!sdes_read_complete(&r))
		return SDES_ERR_FORMAT;
	return sdes_sha256(&manifest, 1, out->digest);
}

size_t
sdes_parcel_size(const SdesParcel *parcel, size_t wrapped)
{
	return HEADER + parcel->nrecipients * (SDES_PARCEL_RECIPIENT_SIZE + 2) +
	       (size_t) parcel->nbuckets * SDES_PARCEL_BUCKET_SIZE +
	       (size_t) parcel->nkeys *
	           (SDES_PARCEL_KEY_RECORD_SIZE + SDES_PARCEL_SEALED_SIZE) +
	       SDES_DIGEST_SIZE + wrapped + 2 + SDES_RSA_SIZE_MAX;
}

SdesStatus
sdes_parcel_write_manifest(SdesWriter *w, SdesParcel *parcel)
{
	const uint8_t *begin = w->at;
	SdesBytes manifest;

	if (!numbers_are_good(parcel) || !records_are_good(parcel))
		return SDES_ERR_FORMAT;
	sdes_write_bytes(w, SDES_BYTES_OF(magic));
	sdes_write_u8(w, FORMAT);
	sdes_write_u8(w, parcel->kind);
	sdes_write_u8(w, parcel->wrap);
	sdes_write_u8(w, parcel->threshold);
	sdes_write_bytes(w, SDES_BYTES_OF(parcel->id));
	sdes_write_u64(w, (uint64_t) parcel->created);
	sdes_write_bytes(w, SDES_BYTES_OF(parcel->sender));
	sdes_write_u8(w, parcel->nrecipients);
	sdes_write_u16(w, parcel->nbuckets);
	sdes_write_u32(w, parcel->nkeys);
	sdes_write_bytes(w, parcel->recipients);
	sdes_write_bytes(w, parcel->buckets);
	sdes_write_bytes(w, parcel->keys);
	if (w->failed)
		return SDES_ERR_TOO_LONG;
	manifest = sdes_bytes(begin, (size_t) (w->at - begin));
	return sdes_sha256(&manifest, 1, parcel->digest);
}
