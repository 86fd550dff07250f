/*
 * fuzz_parcel.c
 *		Parcels of keys, and shares as officers type them. What parses is what the
 *		writer writes, byte for byte.
 */
#include "fuzz.h"

#include "parcel/parcel.h"

static void
write_records(const SdesParcel *parcel, SdesWriter *w)
{
	SdesParcelRecipient recipient;
	SdesParcelBucket bucket;
	SdesParcelKey key;

	for (int i = 0; i < parcel->nrecipients; i++)
	{
		sdes_parcel_recipient(parcel, (size_t) i, &recipient);
		REQUIRE(strlen(recipient.name) >= 1);
		sdes_parcel_write_recipient(w, &recipient);
	}
	for (int i = 0; i < parcel->nbuckets; i++)
	{
		sdes_parcel_bucket(parcel, (size_t) i, &bucket);
		REQUIRE(strlen(bucket.name) >= 1);
		sdes_parcel_write_bucket(w, &bucket);
	}
	for (uint32_t i = 0; i < parcel->nkeys; i++)
	{
		sdes_parcel_key(parcel, i, &key);
		REQUIRE(key.bucket < parcel->nbuckets);
		sdes_parcel_write_key(w, &key);
	}
}

static void
write_contents(const SdesParcel *parcel, SdesWriter *w)
{
	sdes_write_bytes(w, parcel->commitment);
	for (int i = 0; i < parcel->nrecipients; i++)
	{
		sdes_write_u16(w, (uint16_t) parcel->wrapped[i].size);
		sdes_write_bytes(w, parcel->wrapped[i]);
	}
	sdes_write_bytes(w, parcel->sealed);
	sdes_write_u16(w, (uint16_t) parcel->signature.size);
	sdes_write_bytes(w, parcel->signature);
}

static void
check_spelling(SdesParcel *parcel, SdesBytes bytes)
{
	size_t size = parcel->recipients.size + parcel->buckets.size + parcel->keys.size;
	uint8_t *records = fuzz_room(size), *again = fuzz_room(bytes.size);
	SdesWriter r = sdes_writer(records, size), w = sdes_writer(again, bytes.size);
	uint8_t digest[SDES_DIGEST_SIZE];

	memcpy(digest, parcel->digest, sizeof(digest));
	write_records(parcel, &r);
	REQUIRE(!r.failed && r.left == 0);
	parcel->recipients.data = records;
	parcel->buckets.data = records + parcel->recipients.size;
	parcel->keys.data = parcel->buckets.data + parcel->buckets.size;
	REQUIRE(sdes_parcel_write_manifest(&w, parcel) == SDES_OK);
	REQUIRE(memcmp(digest, parcel->digest, sizeof(digest)) == 0);
	write_contents(parcel, &w);
	REQUIRE(!w.failed && w.left == 0);
	REQUIRE(fuzz_same(sdes_bytes(again, bytes.size), bytes));
	free(records);
	free(again);
}

static void
check_share(SdesBytes text)
{
	static const uint8_t id[SDES_PARCEL_ID_SIZE] = {FUZZ_BYTE, FUZZ_BYTE, FUZZ_BYTE,
	                                                FUZZ_BYTE};
	uint8_t number, share[SDES_PARCEL_KEY_SIZE];
	char again[SDES_SHARE_TEXT_MAX];

	if (sdes_share_from_text(text, id, &number, share) != SDES_OK)
		return;
	REQUIRE(sdes_share_to_text(id, number, share, again) == SDES_OK);
	REQUIRE(memmem(text.data, text.size, again, strlen(again)) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SdesBytes bytes = sdes_bytes(data, size);
	SdesParcel parcel;
	SdesStatus status = sdes_parcel_parse(bytes, &parcel);

	if (status == SDES_OK)
		check_spelling(&parcel, bytes);
	else
		REQUIRE(status == SDES_ERR_FORMAT);
	check_share(bytes);
	return 0;
}
