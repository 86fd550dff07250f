/*
 * test_parcel.c
 *		Parcels of keys: the frozen known answers, one spelling, every bit authentic,
 *		and shares as texts.
 *
 * parcel.kat was written once by an implementation of its own, from the description
 * in parcel.h, in another language. It is never made anew, only added to.
 */
#include "parcel/parcel.h"
#include "hex.h"
#include "kat.h"
#include "tap.h"

#define KEYS_MAX 3

typedef struct Case
{
	uint8_t *bytes;
	size_t size;
	uint8_t content_key[SDES_PARCEL_KEY_SIZE];
	uint8_t dek[KEYS_MAX][SDES_DEK_SIZE];
	char share[3][SDES_SHARE_TEXT_MAX];
} Case;

static SdesCertificate sender;

static void
read_sender(void)
{
	static char pem[2 * SDES_CERTIFICATE_MAX];
	char path[4096];
	const char *dir = getenv("SDES_UNIT_DIR");
	FILE *file;
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/site.pem", dir == NULL ? "." : dir);
	file = fopen(path, "r");
	if (file != NULL)
	{
		size = fread(pem, 1, sizeof(pem), file);
		fclose(file);
	}
	is_status(sdes_certificate_read_site(sdes_bytes(pem, size), &sender), SDES_OK,
	          "the sender's certificate");
	ok(strcmp(sender.name, "wharf \xc3\xa9-3f9a2c1d") == 0, "its name");
}

static bool
read_case(const Kat *kat, Case *c)
{
	memset(c, 0, sizeof(*c));
	for (int i = 0; i < KEYS_MAX; i++)
	{
		char field[32];

		snprintf(field, sizeof(field), "dek%d", i);
		if (strcmp(kat_optional(kat, field), "-") != 0 &&
		    !hex_into(kat_field(kat, field), c->dek[i], SDES_DEK_SIZE))
			return false;
		snprintf(field, sizeof(field), "share%d", i);
		snprintf(c->share[i], sizeof(c->share[i]), "%s", kat_optional(kat, field));
	}
	return hex_decode(kat_field(kat, "parcel"), &c->bytes, &c->size) &&
	       hex_into(kat_field(kat, "content_key"), c->content_key, SDES_PARCEL_KEY_SIZE);
}

/* The bytes again, by the writer; the caller frees them. */
static uint8_t *
write_again(const SdesParcel *parcel, size_t *size)
{
	uint8_t *records = malloc(1 << 16), *out = malloc(1 << 16);
	SdesParcel copy = *parcel;
	SdesWriter r = sdes_writer(records, 1 << 16), w = sdes_writer(out, 1 << 16);
	SdesParcelRecipient recipient;
	SdesParcelBucket bucket;
	SdesParcelKey key;

	for (int i = 0; i < parcel->nrecipients; i++)
	{
		sdes_parcel_recipient(parcel, (size_t) i, &recipient);
		sdes_parcel_write_recipient(&r, &recipient);
	}
	copy.recipients = sdes_bytes(records, (size_t) (r.at - records));
	copy.buckets.data = r.at;
	for (int i = 0; i < parcel->nbuckets; i++)
	{
		sdes_parcel_bucket(parcel, (size_t) i, &bucket);
		sdes_parcel_write_bucket(&r, &bucket);
	}
	copy.keys.data = r.at;
	for (uint32_t i = 0; i < parcel->nkeys; i++)
	{
		sdes_parcel_key(parcel, i, &key);
		sdes_parcel_write_key(&r, &key);
	}
	if (sdes_parcel_write_manifest(&w, &copy) != SDES_OK)
		w.failed = true;
	sdes_write_bytes(&w, copy.commitment);
	for (int i = 0; i < copy.nrecipients; i++)
	{
		sdes_write_u16(&w, (uint16_t) copy.wrapped[i].size);
		sdes_write_bytes(&w, copy.wrapped[i]);
	}
	sdes_write_bytes(&w, copy.sealed);
	sdes_write_u16(&w, (uint16_t) copy.signature.size);
	sdes_write_bytes(&w, copy.signature);
	*size = w.failed ? 0 : (size_t) (w.at - out);
	free(records);
	return out;
}

static void
test_case(const Case *c, const char *name)
{
	SdesBytes content_key = SDES_BYTES_OF(c->content_key);
	SdesParcel parcel;
	SdesSecret dek;
	long failed = 0;
	size_t size;
	uint8_t *again;

	if (!is_status(sdes_parcel_parse(sdes_bytes(c->bytes, c->size), &parcel), SDES_OK,
	               name))
		return;
	is_status(sdes_parcel_verify(&parcel, sender.key), SDES_OK, "its signature");
	ok(memcmp(parcel.sender, sender.fingerprint, SDES_DIGEST_SIZE) == 0, "its sender");
	is_status(sdes_parcel_check_key(&parcel, content_key), SDES_OK, "its content key");
	for (uint32_t i = 0; i < parcel.nkeys; i++)
	{
		failed += sdes_parcel_open(&parcel, content_key, i, &dek) != SDES_OK ||
		          memcmp(dek.data, c->dek[i], SDES_DEK_SIZE) != 0;
		sdes_secret_free(&dek);
	}
	none_failed(failed, parcel.nkeys, "its keys");
	again = write_again(&parcel, &size);
	ok(size == c->size && memcmp(again, c->bytes, size) == 0, "one spelling");
	free(again);
}

/* Whether anything takes the bytes for a parcel of the sender. */
static bool
is_accepted(const uint8_t *bytes, size_t size)
{
	SdesParcel parcel;

	return sdes_parcel_parse(sdes_bytes(bytes, size), &parcel) == SDES_OK &&
	       sdes_parcel_verify(&parcel, sender.key) == SDES_OK;
}

static void
test_every_bit(const Case *c)
{
	long failed = 0;

	for (size_t bit = 0; bit < c->size * 8; bit++)
	{
		c->bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		failed += is_accepted(c->bytes, c->size);
		c->bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	none_failed(failed, (long) c->size * 8, "every bit that is flipped is noticed");
	for (size_t size = 0; size < c->size; size++)
	{
		/* Memory of exactly that size: an overrun shows. */
		uint8_t *part = malloc(size + 1);

		memcpy(part, c->bytes, size);
		failed += is_accepted(part, size);
		free(part);
	}
	none_failed(failed, (long) c->size, "every length but its own");
}

/* Under the content key, too, what was sealed is bound to the manifest and its place. */
static void
test_sealed(const Case *c)
{
	SdesBytes content_key = SDES_BYTES_OF(c->content_key);
	uint8_t sealed[KEYS_MAX * SDES_PARCEL_SEALED_SIZE], other[SDES_PARCEL_KEY_SIZE];
	SdesParcel parcel;
	SdesSecret dek;
	long failed = 0;

	sdes_parcel_parse(sdes_bytes(c->bytes, c->size), &parcel);
	for (uint32_t i = 0; i < KEYS_MAX; i++)
		failed += sdes_parcel_seal(&parcel, content_key, i, SDES_BYTES_OF(c->dek[i]),
		                           sealed + i * SDES_PARCEL_SEALED_SIZE) != SDES_OK;
	parcel.sealed = SDES_BYTES_OF(sealed);
	for (uint32_t i = 0; i < KEYS_MAX; i++)
	{
		failed += sdes_parcel_open(&parcel, content_key, i, &dek) != SDES_OK ||
		          memcmp(dek.data, c->dek[i], SDES_DEK_SIZE) != 0;
		sdes_secret_free(&dek);
	}
	none_failed(failed, KEYS_MAX, "sealed and opened");
	for (uint32_t i = 0; i < SDES_PARCEL_SEALED_SIZE; i++)
	{
		sealed[i] ^= 1;
		failed += sdes_parcel_open(&parcel, content_key, 0, &dek) != SDES_ERR_TAG;
		sealed[i] ^= 1;
	}
	none_failed(failed, SDES_PARCEL_SEALED_SIZE, "each byte of a sealed key counts");
	memcpy(sealed, sealed + SDES_PARCEL_SEALED_SIZE, SDES_PARCEL_SEALED_SIZE);
	is_status(sdes_parcel_open(&parcel, content_key, 0, &dek), SDES_ERR_TAG,
	          "one at another's place");
	parcel.digest[5] ^= 1;
	is_status(sdes_parcel_open(&parcel, content_key, 1, &dek), SDES_ERR_TAG,
	          "another manifest");
	parcel.digest[5] ^= 1;
	memcpy(other, c->content_key, sizeof(other));
	other[31] ^= 1;
	is_status(sdes_parcel_check_key(&parcel, SDES_BYTES_OF(other)), SDES_ERR_TAG,
	          "another content key");
	is_status(sdes_parcel_open(&parcel, sdes_bytes(other, 31), 1, &dek), SDES_ERR_FORMAT,
	          "a content key that is too short");
	is_status(sdes_parcel_seal(&parcel, content_key, 0, sdes_bytes(other, 31), sealed),
	          SDES_ERR_FORMAT, "and such a DEK");
}

static void
test_shares(const Case *c)
{
	uint8_t numbers[2], shares[2 * SDES_PARCEL_KEY_SIZE], key[SDES_PARCEL_KEY_SIZE];
	char text[SDES_SHARE_TEXT_MAX + 8];
	SdesParcel parcel;
	long failed = 0, total = 0;

	sdes_parcel_parse(sdes_bytes(c->bytes, c->size), &parcel);
	for (int i = 0; i < 2; i++)
		failed += sdes_share_from_text(sdes_bytes(c->share[i + 1], strlen(c->share[i + 1])),
		                               parcel.id, &numbers[i],
		                               shares + i * SDES_PARCEL_KEY_SIZE) != SDES_OK;
	ok(failed == 0 && sdes_share_combine(numbers, shares, 2, key, sizeof(key)) == SDES_OK &&
	       memcmp(key, c->content_key, sizeof(key)) == 0,
	   "two shares give the content key");
	ok(sdes_share_to_text(parcel.id, numbers[0], shares, text) == SDES_OK &&
	       strcmp(text, c->share[1]) == 0,
	   "one spelling of a share");
	snprintf(text, sizeof(text), "\n%s \n", c->share[1]);
	is_status(sdes_share_from_text(sdes_bytes(text, strlen(text)), parcel.id, numbers, key),
	          SDES_OK, "with blanks around it");
	for (size_t i = 0; i < strlen(c->share[1]); i++)
	{
		for (int bit = 0; bit < 7; bit++)
		{
			snprintf(text, sizeof(text), "%s", c->share[1]);
			text[i] ^= (char) (1 << bit);
			failed += sdes_share_from_text(sdes_bytes(text, strlen(c->share[1])), parcel.id,
			                               numbers, key) == SDES_OK;
			total++;
		}
	}
	none_failed(failed, total, "a share that was mistyped");
	parcel.id[0] ^= 1;
	is_status(sdes_share_from_text(sdes_bytes(c->share[1], strlen(c->share[1])), parcel.id,
	                               numbers, key),
	          SDES_ERR_TAG, "a share of another parcel");
	is_status(sdes_share_from_text(sdes_bytes("", 0), parcel.id, numbers, key),
	          SDES_ERR_FORMAT, "no share");
}

/* Numbers out of bounds, which no signature makes good. */
static void
test_numbers(const Case *c)
{
	static const struct
	{
		size_t at;
		uint8_t value;
		const char *name;
	} wrong[] = {
	    {8, 2, "another format"},
	    {9, 3, "an unknown kind"},
	    {10, 3, "an unknown wrapping"},
	    {11, 1, "an export of shares"},
	    {68, 0, "no recipient"},
	    {68, 17, "too many"},
	    {68, 2, "an export for two"},
	    {70, 0, "no bucket"},
	    {74, 0, "no key"},
	    {75 + 32, 0, "a recipient without a name"},
	    {75 + 32, 64, "a name too long"},
	    {75 + 33, 7, "a control character"},
	    {75 + 96, 1, "not filled up"},
	    {172 + 16, 2, "neither system nor not"},
	    {172 + 17, 3, "an unknown KEK"},
	    {172 + 34, 0, "a bucket without a name"},
	    {368 + 9, 2, "no such bucket"},
	    {368 + 10, 0x80, "a negative version"},
	    {368 + 13, 0, "version 0"},
	    {368 + 14, 0, "no purpose"},
	    {368 + 14, 5, "another purpose"},
	    {368 + 15, 2, "mode hsm"},
	    {368 + 16, 3, "a destroyed key"},
	    {368 + 16, SDES_PARCEL_INCOMING, "an incoming key that is no search key"},
	    {368 + 16, 5, "another state"},
	};
	SdesParcel parcel;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		uint8_t kept = c->bytes[wrong[i].at];

		c->bytes[wrong[i].at] = wrong[i].value;
		is_status(sdes_parcel_parse(sdes_bytes(c->bytes, c->size), &parcel),
		          SDES_ERR_FORMAT, wrong[i].name);
		c->bytes[wrong[i].at] = kept;
	}
	c->bytes[368 + 14] = SDES_PURPOSE_SEARCH;
	c->bytes[368 + 16] = SDES_PARCEL_INCOMING;
	is_status(sdes_parcel_parse(sdes_bytes(c->bytes, c->size), &parcel), SDES_OK,
	          "an incoming search key");
	is_status(
	    sdes_parcel_parse(sdes_bytes(c->bytes, (size_t) SDES_PARCEL_MAX + 1), &parcel),
	    SDES_ERR_TOO_LONG, "more than a parcel may be");
}

int
main(void)
{
	static Kat kat;
	KatFile file;
	Case c;

	read_sender();
	if (!ok(kat_open(&file, "parcel.kat"), "the known answers"))
		return done_testing();
	while (kat_next(&file, &kat))
	{
		ok(read_case(&kat, &c), "%s", kat_field(&kat, "name"));
		test_case(&c, kat_field(&kat, "name"));
		test_every_bit(&c);
		if (strcmp(c.share[0], "-") != 0)
			test_shares(&c);
		else
		{
			test_sealed(&c);
			test_numbers(&c);
		}
		free(c.bytes);
	}
	kat_close(&file);
	sdes_certificate_free(&sender);
	return done_testing();
}
