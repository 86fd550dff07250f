/*
 * value.c
 *		Sealing, opening, re-sealing.
 *
 * Plaintext exists here in palloc'd memory between conversion and sealing; what
 * this file allocated for it is wiped before it is freed. The caller's copies
 * are the server's own (parameters, literals, tuples) and live as theirs do.
 */
#include "postgres.h"

#include "value/value.h"

#include "crypto/secret.h"
#include "envelope/armor.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "replication/logicalworker.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "utils/guc.h"
#include "value/cipher.h"
#include "value/encoding.h"

static void
parse(struct varlena *value, SdesEnvelope *envelope)
{
	sdes_check(sdes_envelope_parse(sdes_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)),
	                               envelope));
}

SdesBytes
sdes_value_envelope(struct varlena *value)
{
	SdesEnvelope envelope;

	/* What is not an envelope may be anything: never hand it out. */
	parse(value, &envelope);
	return sdes_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

void
sdes_value_forbid_maintenance(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("encrypted values cannot be decrypted by a maintenance command"),
		         errdetail("ANALYZE, index builds and materialized views would store the "
		                   "plaintext."),
		         SDES_KEEP_OUT_OF_LOG));
}

/* A modifier is whatever a caller of the cast functions makes up. */
static const SdesBucketRow *
bucket_of(int32 typmod)
{
	const SdesBucketRow *bucket;

	if (typmod & SDES_TYPMOD_FLAGS)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("type modifier %d has flags that this version of sdes does not "
		                "know",
		                typmod),
		         SDES_KEEP_OUT_OF_LOG));
	bucket = sdes_keyring_bucket(SDES_TYPMOD_HASH(typmod));
	if (bucket->system)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("values cannot be stored in the system bucket"),
		                SDES_KEEP_OUT_OF_LOG));
	return bucket;
}

static struct varlena *
make_value(size_t payload)
{
	struct varlena *value = palloc(VARHDRSZ + payload);

	SET_VARSIZE(value, VARHDRSZ + payload);
	return value;
}

static void
report_too_long(SdesDekMode mode)
{
	if (mode != SDES_MODE_HSM)
		sdes_check(SDES_ERR_TOO_LONG);
	ereport(ERROR,
	        (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
	         errmsg("value is too long to be encrypted in the HSM"),
	         errdetail("In a bucket of mode \"hsm\" a value can have %zu bytes in UTF-8.",
	                   sdes_cipher_max(mode)),
	         errhint("Longer values need a column in a bucket of mode \"cached\"."),
	         SDES_KEEP_OUT_OF_LOG));
}

/* An error leaves no converted plaintext behind, either. */
static void
seal_converted(const SdesKey *key, SdesSealing *item, SdesUtf8 *utf8)
{
	if (utf8->owned == NULL)
	{
		sdes_cipher_seal(key, item, 1);
		return;
	}
	PG_TRY();
	{
		sdes_cipher_seal(key, item, 1);
	}
	PG_CATCH();
	{
		sdes_utf8_free(utf8);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Seals text under a key, whoever the user is. */
static struct varlena *
seal_under(const SdesKey *key, SdesPlain plain, uint32 type)
{
	SdesSealing item = {0};
	SdesDekMode mode = key->mode;
	SdesStatus status = SDES_OK;
	SdesUtf8 utf8;

	memcpy(item.spec.key_id, key->key_id, SDES_KEY_ID_SIZE);
	memcpy(item.spec.context.bucket, key->bucket, SDES_UUID_SIZE);
	item.spec.context.type = type;
	sdes_to_utf8(plain, &utf8);
	item.spec.bytes = !utf8.valid;
	item.plaintext = utf8.bytes;
	if (utf8.bytes.size > sdes_cipher_max(key->mode))
		status = SDES_ERR_TOO_LONG;
	else
		seal_converted(key, &item, &utf8);
	sdes_utf8_free(&utf8);
	if (status != SDES_OK)
		report_too_long(mode);
	return item.value;
}

/* What it takes to open an envelope under its key. */
static SdesOpening
opening_of(const SdesKey *key, const SdesEnvelope *envelope, uint32 type)
{
	SdesOpening item = {.envelope = envelope, .context = {.type = type}};

	memcpy(item.context.bucket, key->bucket, SDES_UUID_SIZE);
	return item;
}

/* Opens an envelope under its key, whoever the user is. */
static text *
open_under(const SdesKey *key, const SdesEnvelope *envelope, uint32 type)
{
	SdesOpening item = opening_of(key, envelope, type);

	sdes_cipher_open(key, &item, 1);
	sdes_check(item.status);
	return sdes_from_utf8(item.plain, !(envelope->flags & SDES_ENVELOPE_BYTES));
}

static void
wipe_text(text *plain)
{
	sdes_wipe(VARDATA(plain), VARSIZE(plain) - VARHDRSZ);
	pfree(plain);
}

static struct varlena *
seal(SdesPlain plain, uint32 type, int32 typmod)
{
	const SdesBucketRow *bucket;

	if (typmod < 0)
	{
		bucket = sdes_keyring_system_bucket();
		return seal_under(sdes_keyring_active(bucket->uuid, SDES_PURPOSE_LITERAL), plain,
		                  type);
	}
	bucket = bucket_of(typmod);
	sdes_policy_require(bucket->uuid, SDES_PRIVILEGE_ENCRYPT);
	return seal_under(sdes_keyring_active(bucket->uuid, SDES_PURPOSE_DATA), plain, type);
}

/* A dump's preamble turns function bodies' checks off; appliers replicate. */
static bool
is_restoring(void)
{
	return !check_function_bodies || IsLogicalWorker();
}

bool
sdes_value_takes_ciphertext(void)
{
	return is_restoring() || sdes_accept_ciphertext;
}

/*
 * While a dump is restored, rows of keys and buckets come after or, in a
 * parallel restore, in the midst of the values.
 */
static bool
bucket_comes_later(int32 typmod)
{
	return is_restoring() && sdes_keyring_find_bucket(SDES_TYPMOD_HASH(typmod)) == NULL;
}

/* pg_upgrade makes the extension's objects one by one: its tables come late. */
static bool
knows_keys(void)
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
check_authentic(const SdesEnvelope *envelope, uint32 type)
{
	const SdesKey *key = sdes_keyring_try(envelope->key_id);
	SdesLinkFailure failure;
	SdesOpening item;

	if (key == NULL)
		return;
	item = opening_of(key, envelope, type);
	if (!sdes_cipher_try_open(key, &item, 1, &failure))
		sdes_keyring_unreachable(envelope->key_id);
	else
	{
		sdes_check(item.status);
		sdes_cipher_wipe(&item, 1);
	}
}

static void
check_restored(const SdesEnvelope *envelope, uint32 type, int32 typmod)
{
	SdesKeyOwner owner;
	bool known = sdes_keyring_owner(envelope->key_id, &owner);

	if (!known && !is_restoring())
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_OBJECT),
		         errmsg("encrypted text is under a key that is not known in this database"),
		         SDES_KEEP_OUT_OF_LOG));
	if (!known)
		return;
	/* Another's literal, from the catalog, would open for who may `encrypt`. */
	if (owner.purpose == SDES_PURPOSE_LITERAL && !is_restoring())
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("a literal of an encrypted type is not accepted as ciphertext"),
		         SDES_KEEP_OUT_OF_LOG));
	if (envelope->suite != suite_of(owner.mode))
		sdes_check(SDES_ERR_TAG);
	check_authentic(envelope, type);
	if (typmod >= 0 && !bucket_comes_later(typmod) &&
	    memcmp(bucket_of(typmod)->uuid, owner.bucket, SDES_UUID_SIZE) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
		                errmsg("encrypted text belongs to another bucket than its column"),
		                SDES_KEEP_OUT_OF_LOG));
}

struct varlena *
sdes_value_from_envelope(SdesBytes bytes, uint32 type, int32 typmod)
{
	SdesEnvelope envelope;
	struct varlena *value;

	refuse_ciphertext();
	sdes_require_preload();
	check_canonical(sdes_envelope_parse(bytes, &envelope),
	                ERRCODE_INVALID_BINARY_REPRESENTATION);
	if (knows_keys())
		check_restored(&envelope, type, typmod);
	value = make_value(bytes.size);
	memcpy(VARDATA(value), bytes.data, bytes.size);
	return value;
}

static struct varlena *
from_armor(SdesBytes armor, uint32 type, int32 typmod)
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

	while ((at = memmem(at, end - at, SDES_ARMOR_PREFIX, SDES_ARMOR_PREFIX_SIZE)) != NULL)
	{
		if (is_armor_at(at, end - at))
			refuse_ciphertext();
		at += SDES_ARMOR_PREFIX_SIZE;
	}
}

struct varlena *
sdes_value_from_text(SdesPlain plain, uint32 type, int32 typmod)
{
	SdesBytes bytes = sdes_bytes(plain.data, plain.size);

	sdes_require_preload();
	if (sdes_armor_marked(bytes))
		return from_armor(bytes, type, typmod);
	refuse_ciphertext_within(plain);
	return seal(plain, type, typmod);
}

/* What is known of a value's key; an error when that is nothing. */
static void
require_owner(const SdesEnvelope *envelope, SdesKeyOwner *owner)
{
	if (sdes_keyring_owner(envelope->key_id, owner))
		return;
	/* Raises, unless the key's row has arrived this very moment. */
	sdes_keyring_by_id(envelope->key_id);
	if (!sdes_keyring_owner(envelope->key_id, owner))
		elog(ERROR, "encryption key came and went");
}

struct varlena *
sdes_value_reseal(struct varlena *value, uint32 type, int32 typmod)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	uint8 target[SDES_UUID_SIZE];
	struct varlena *volatile sealed = NULL;
	text *plain;

	if (typmod < 0)
		return value;
	sdes_require_preload();
	parse(value, &envelope);
	if (is_restoring() && (!knows_keys() || bucket_comes_later(typmod) ||
	                       !sdes_keyring_owner(envelope.key_id, &owner)))
		return value;
	require_owner(&envelope, &owner);
	memcpy(target, bucket_of(typmod)->uuid, SDES_UUID_SIZE);
	if (memcmp(owner.bucket, target, SDES_UUID_SIZE) == 0)
		return value;

	sdes_policy_require(target, SDES_PRIVILEGE_ENCRYPT);
	if (owner.purpose != SDES_PURPOSE_LITERAL)
	{
		sdes_value_forbid_maintenance();
		sdes_policy_require(owner.bucket, SDES_PRIVILEGE_DECRYPT);
	}
	plain = open_under(sdes_keyring_by_id(envelope.key_id), &envelope, type);
	PG_TRY();
	{
		sealed = seal_under(sdes_keyring_active(target, SDES_PURPOSE_DATA),
		                    (SdesPlain){VARDATA(plain), VARSIZE(plain) - VARHDRSZ}, type);
	}
	PG_FINALLY();
	{
		wipe_text(plain);
	}
	PG_END_TRY();
	return sealed;
}

text *
sdes_value_open(struct varlena *value, uint32 type)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	sdes_require_preload();
	sdes_value_forbid_maintenance();
	parse(value, &envelope);
	/* First the privilege: who has none makes the HSM no work. */
	require_owner(&envelope, &owner);
	sdes_policy_require(owner.bucket, SDES_PRIVILEGE_DECRYPT);
	return open_under(sdes_keyring_by_id(envelope.key_id), &envelope, type);
}

bool
sdes_value_is_literal(struct varlena *value)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	parse(value, &envelope);
	return sdes_keyring_owner(envelope.key_id, &owner) &&
	       owner.purpose == SDES_PURPOSE_LITERAL;
}

text *
sdes_value_literal(struct varlena *value, uint32 type)
{
	SdesEnvelope envelope;
	const SdesKey *key;

	parse(value, &envelope);
	key = sdes_keyring_by_id(envelope.key_id);
	if (key->purpose != SDES_PURPOSE_LITERAL)
		elog(ERROR, "value is no literal");
	return open_under(key, &envelope, type);
}

char *
sdes_value_armor(struct varlena *value, size_t *size)
{
	SdesBytes bytes = sdes_value_envelope(value);
	char *armor;

	*size = sdes_armor_size(bytes.size);
	armor = palloc(*size + 1);
	sdes_armor_encode(bytes, armor);
	armor[*size] = '\0';
	return armor;
}

text *
sdes_value_armor_text(struct varlena *value)
{
	size_t size;
	char *armor = sdes_value_armor(value, &size);
	text *result = (text *) make_value(size);

	memcpy(VARDATA(result), armor, size);
	pfree(armor);
	return result;
}

text *
sdes_value_reveal(struct varlena *value, uint32 type, SdesMask mask)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	int privileges;
	text *plain;
	text *masked;

	sdes_require_preload();
	sdes_value_forbid_maintenance();
	parse(value, &envelope);
	/* Without a privilege, and for a key from elsewhere, the HSM is left alone. */
	if (!sdes_keyring_owner(envelope.key_id, &owner))
		return sdes_value_armor_text(value);
	/* Armor in place of a constant of the statement would be a wrong answer. */
	if (owner.purpose == SDES_PURPOSE_LITERAL)
		sdes_policy_require(owner.bucket, SDES_PRIVILEGE_DECRYPT); /* raises */
	privileges = sdes_policy_privileges(owner.bucket);
	if (!(privileges & (SDES_PRIVILEGE_DECRYPT | SDES_PRIVILEGE_MASK)))
		return sdes_value_armor_text(value);

	plain = open_under(sdes_keyring_by_id(envelope.key_id), &envelope, type);
	if (privileges & SDES_PRIVILEGE_DECRYPT)
		return plain;
	masked = mask(plain);
	wipe_text(plain);
	return masked;
}
