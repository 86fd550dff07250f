/*
 * input.c
 *		What comes in: plaintext to be sealed, and ciphertext, which is taken from a
 *		restore only.
 */
#include "postgres.h"

#include "value/internal.h"

#include "catalog/pg_database.h"
#include "envelope/armor.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "value/cipher.h"

/* A dump's preamble turns function bodies' checks off; appliers replicate. */
bool
sdes_value_is_restoring(void)
{
	return !check_function_bodies || IsLogicalWorker();
}

bool
sdes_value_takes_ciphertext(void)
{
	return sdes_value_is_restoring() || sdes_accept_ciphertext;
}

/*
 * While a dump is restored, rows of keys and buckets come after or, in a
 * parallel restore, in the midst of the values.
 */
bool
sdes_value_bucket_comes_later(int32 typmod)
{
	return sdes_value_is_restoring() &&
	       sdes_keyring_find_bucket(SDES_TYPMOD_HASH(typmod)) == NULL;
}

/* pg_upgrade makes the extension's objects one by one: its tables come late. */
bool
sdes_value_knows_keys(void)
{
	return !IsBinaryUpgrade;
}

/*
 * Whoever holds a stolen dump could otherwise enter its ciphertext into a form
 * and read the plaintext back from the application.
 */
static void
refuse_ciphertext(void)
{
	if (sdes_value_takes_ciphertext())
		return;
	ereport(
	    ERROR,
	    (errcode(ERRCODE_DATA_EXCEPTION), errmsg("encrypted text is not accepted as input"),
	     errdetail("The value has the mark of sdes ciphertext."),
	     errhint(
	         "If a function such as concat() or format() was given an encrypted column, "
	         "write it as email::text there. A restore accepts ciphertext by itself; to "
	         "copy it by hand, use SET sdes.accept_ciphertext = on."),
	     SDES_KEEP_OUT_OF_LOG));
}

/* An envelope from outside is bad input; one from a table is corrupt data. */
static void
check_canonical(SdesStatus status, int sqlstate)
{
	if (status == SDES_ERR_FORMAT)
		ereport(ERROR,
		        (errcode(sqlstate), errmsg("invalid encrypted text"),
		         errdetail("It was cut off or changed on its way."), SDES_KEEP_OUT_OF_LOG));
	sdes_check(status);
}

/* Which suite a key's values have. */
static uint8
suite_of(SdesDekMode mode)
{
	return mode == SDES_MODE_HSM ? SDES_SUITE_AES_256_GCM_HSM : SDES_SUITE_AES_256_GCM;
}

/* Whether it is authentic, where the key is at hand. */
static void
check_authentic(const SdesEnvelope *envelope, const SdesType *type)
{
	const SdesKey *key = sdes_keyring_try(envelope->key_id);
	SdesLinkFailure failure;
	SdesOpening item;

	if (key == NULL)
		return;
	item = sdes_value_opening(key, envelope, type);
	if (!sdes_cipher_try_open(key, &item, 1, &failure))
		sdes_keyring_unreachable(envelope->key_id);
	else
	{
		sdes_check(item.status);
		sdes_cipher_wipe(&item, 1);
	}
}

/*
 * Definitions in a dump hold literals, and those that come after the keys' rows are made
 * by who owns the database. Anybody can look as if restoring.
 */
static bool
restores_catalog(void)
{
	return sdes_value_is_restoring() && SDES_OWNS_DATABASE();
}

static bool
is_of_bucket(const SdesKeyOwner *owner, int32 typmod)
{
	return memcmp(sdes_value_bucket_of(typmod)->uuid, owner->bucket, SDES_UUID_SIZE) == 0;
}

/*
 * Whether a subscriber's column is of another bucket than the value that it receives,
 * which then moves, as with any INSERT ... SELECT. A value under a key that is not known
 * here stays what it is.
 */
static bool
moves(const SdesEnvelope *envelope, int32 typmod)
{
	SdesKeyOwner owner;

	return IsLogicalWorker() && typmod >= 0 && !sdes_value_bucket_comes_later(typmod) &&
	       sdes_keyring_owner(envelope->key_id, &owner) && !is_of_bucket(&owner, typmod);
}

static void
check_restored(const SdesEnvelope *envelope, const SdesType *type, int32 typmod)
{
	SdesKeyOwner owner;
	bool known = sdes_keyring_owner(envelope->key_id, &owner);

	if (!known && !sdes_value_is_restoring())
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_OBJECT),
		         errmsg("encrypted text is under a key that is not known in this database"),
		         errhint("Import the key with sdes.import_keys(). If a foreign server "
		                 "compares with a literal, its key is nowhere else: have it write "
		                 "(SELECT 'value'::sdes.enc_text('bucket', 'searchable')) there."),
		         SDES_KEEP_OUT_OF_LOG));
	if (!known)
		return;
	/* Another's literal, from the catalog, would open for who may `encrypt`. */
	if (owner.purpose == SDES_PURPOSE_LITERAL && !restores_catalog())
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("a literal of an encrypted type is not accepted as ciphertext"),
		         SDES_KEEP_OUT_OF_LOG));
	if (envelope->suite != suite_of(owner.mode))
		sdes_check(SDES_ERR_TAG);
	check_authentic(envelope, type);
	if (typmod >= 0 && !IsLogicalWorker() && !sdes_value_bucket_comes_later(typmod) &&
	    !is_of_bucket(&owner, typmod))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
		                errmsg("encrypted text belongs to another bucket than its column"),
		                SDES_KEEP_OUT_OF_LOG));
	if (typmod >= 0 && !sdes_value_is_restoring() &&
	    owner.purpose != SDES_PURPOSE_LITERAL && !sdes_value_fits(envelope, typmod))
		ereport(ERROR,
		        (errcode(ERRCODE_DATATYPE_MISMATCH),
		         errmsg("encrypted text has other search tokens than its column demands"),
		         errhint("Copy it into a column of the type that it comes from, and from "
		                 "there with INSERT ... SELECT."),
		         SDES_KEEP_OUT_OF_LOG));
}

struct varlena *
sdes_value_from_envelope(SdesBytes bytes, const SdesType *type, int32 typmod)
{
	SdesEnvelope envelope;
	struct varlena *value;

	refuse_ciphertext();
	sdes_require_preload();
	check_canonical(sdes_envelope_parse(bytes, &envelope),
	                ERRCODE_INVALID_BINARY_REPRESENTATION);
	if (sdes_value_knows_keys())
		check_restored(&envelope, type, typmod);
	value = sdes_value_make(bytes.size);
	memcpy(VARDATA(value), bytes.data, bytes.size);
	return sdes_value_knows_keys() && moves(&envelope, typmod)
	           ? sdes_value_reseal(value, type, typmod)
	           : value;
}

static struct varlena *
from_armor(SdesBytes armor, const SdesType *type, int32 typmod)
{
	size_t size;
	uint8 *bytes;

	refuse_ciphertext();
	bytes = palloc(sdes_armor_decoded_size(armor.size) + 1);
	check_canonical(sdes_armor_decode(armor, bytes, &size),
	                ERRCODE_INVALID_TEXT_REPRESENTATION);
	return sdes_value_from_envelope(sdes_bytes(bytes, size), type, typmod);
}

/* Characters that armor is made of, after its prefix. */
static bool
is_armor_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* Whether the armor of an envelope begins at that place of a text. */
static bool
is_armor_at(const char *at, size_t left)
{
	size_t size = SDES_ARMOR_PREFIX_SIZE;
	SdesEnvelope envelope;
	uint8 *bytes;
	bool is_armor;

	while (size < left && is_armor_char(at[size]))
		size++;
	bytes = palloc(sdes_armor_decoded_size(size) + 1);
	is_armor = sdes_armor_decode(sdes_bytes(at, size), bytes, &left) == SDES_OK &&
	           sdes_envelope_parse(sdes_bytes(bytes, left), &envelope) == SDES_OK;
	pfree(bytes);
	return is_armor;
}

/*
 * concat('VIP ', name) makes text of a column by its output function: sealed
 * so, the value would be lost in what looks like a name.
 */
static void
refuse_ciphertext_within(SdesPlain plain)
{
	const char *end = plain.data + plain.size;
	const char *at = plain.data;

	/* Most values are too short to have some within. */
	if (plain.size < sdes_armor_size(SDES_ENVELOPE_MIN_SIZE))
		return;
	while ((at = memmem(at, end - at, SDES_ARMOR_PREFIX, SDES_ARMOR_PREFIX_SIZE)) != NULL)
	{
		if (is_armor_at(at, end - at))
			refuse_ciphertext();
		at += SDES_ARMOR_PREFIX_SIZE;
	}
}

struct varlena *
sdes_value_from_text(SdesPlain plain, const SdesType *type, int32 typmod)
{
	SdesBytes bytes = sdes_bytes(plain.data, plain.size);

	sdes_require_preload();
	if (sdes_armor_marked(bytes))
		return from_armor(bytes, type, typmod);
	refuse_ciphertext_within(plain);
	return sdes_value_seal(plain, type, typmod);
}
