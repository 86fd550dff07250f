/*
 * value.c
 *		Sealing, opening, re-sealing.
 *
 * Plaintext exists here in palloc'd memory between conversion and sealing; what
 * this file allocated for it is wiped before it is freed. The caller's copies
 * are the server's own (parameters, literals, tuples) and live as theirs do.
 */
#include "postgres.h"

#include "value/internal.h"

#include "crypto/secret.h"
#include "envelope/armor.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "replication/logicalworker.h"
#include "sdes_errors.h"
#include "sdes_guc.h"

void
sdes_value_parse(struct varlena *value, SdesEnvelope *envelope)
{
	sdes_check(sdes_envelope_parse(sdes_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)),
	                               envelope));
}

SdesBytes
sdes_value_envelope(struct varlena *value)
{
	SdesEnvelope envelope;

	/* What is not an envelope may be anything: never hand it out. */
	sdes_value_parse(value, &envelope);
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

static SdesAuditOperation
operation_of(int privilege)
{
	return privilege == SDES_PRIVILEGE_ENCRYPT  ? SDES_AUDIT_ENCRYPT
	       : privilege == SDES_PRIVILEGE_SEARCH ? SDES_AUDIT_SEARCH
	                                            : SDES_AUDIT_DECRYPT;
}

void
sdes_value_require(const uint8 *bucket, int privilege)
{
	uint8 copy[SDES_UUID_SIZE];

	/* Of something that may move while grants are read or the record is written. */
	memcpy(copy, bucket, SDES_UUID_SIZE);
	if (sdes_policy_privileges(copy) & privilege)
		return;
	sdes_audit_denied(copy, operation_of(privilege));
	sdes_policy_require(copy, privilege);
}

/* A modifier is whatever a caller of the cast functions makes up. */
const SdesBucketRow *
sdes_value_bucket_of(int32 typmod)
{
	const SdesBucketRow *bucket;

	if (SDES_TYPMOD_FLAGS(typmod) & ~(SDES_SEARCHABLE | SDES_SEARCHABLE_CI))
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

struct varlena *
sdes_value_make(size_t payload)
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

static struct varlena *
seal_utf8(const uint8 *bucket, SdesDekPurpose purpose, const SdesUtf8 *utf8,
          const SdesType *type, int32 typmod)
{
	SdesSealing item = {0};
	const SdesKey *key;

	/* Before the data key is asked for: the search key's fetch may move it. */
	if (typmod >= 0)
		sdes_value_add_tokens(utf8->bytes, type, typmod, &item.spec);
	key = sdes_keyring_active(bucket, purpose);
	if (utf8->bytes.size > sdes_cipher_max(key->mode))
		report_too_long(key->mode);
	memcpy(item.spec.key_id, key->key_id, SDES_KEY_ID_SIZE);
	memcpy(item.spec.context.bucket, key->bucket, SDES_UUID_SIZE);
	item.spec.context.type = type->tag;
	item.spec.bytes = !utf8->valid;
	item.plaintext = utf8->bytes;
	sdes_cipher_seal(key, &item, 1);
	return item.value;
}

/*
 * Seals text under a bucket's active key, whoever the user is, with the tokens that
 * typmod demands; none for typmod < 0.
 */
static struct varlena *
seal_under(const uint8 *bucket, SdesDekPurpose purpose, SdesPlain plain,
           const SdesType *type, int32 typmod)
{
	struct varlena *volatile value;
	SdesUtf8 utf8;

	sdes_to_utf8(plain, &utf8);
	if (utf8.owned == NULL)
		return seal_utf8(bucket, purpose, &utf8, type, typmod);
	/* An error leaves no converted plaintext behind, either. */
	PG_TRY();
	{
		value = seal_utf8(bucket, purpose, &utf8, type, typmod);
	}
	PG_FINALLY();
	{
		sdes_utf8_free(&utf8);
	}
	PG_END_TRY();
	return value;
}

static SdesValueContext
context_of(const SdesKey *key, const SdesType *type)
{
	SdesValueContext context = {.type = type->tag};

	memcpy(context.bucket, key->bucket, SDES_UUID_SIZE);
	return context;
}

SdesOpening
sdes_value_opening(const SdesKey *key, const SdesEnvelope *envelope, const SdesType *type)
{
	return (SdesOpening){.envelope = envelope, .context = context_of(key, type)};
}

text *
sdes_value_open_under(const SdesKey *key, const SdesEnvelope *envelope,
                      const SdesType *type)
{
	SdesValueContext context = context_of(key, type);

	return sdes_from_utf8(sdes_cipher_open_one(key, envelope, &context),
	                      !(envelope->flags & SDES_ENVELOPE_BYTES));
}

const SdesKey *
sdes_value_key(const SdesEnvelope *envelope, const SdesKeyOwner *owner)
{
	const SdesKey *key = sdes_keyring_by_id(envelope->key_id);

	if (key->purpose != owner->purpose ||
	    memcmp(key->bucket, owner->bucket, SDES_UUID_SIZE) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("the row of an encryption key was changed while it was in use"),
		         errhint("Try again."), SDES_KEEP_OUT_OF_LOG));
	return key;
}

text *
sdes_value_open_for(const SdesEnvelope *envelope, const SdesKeyOwner *owner,
                    const SdesType *type, SdesAuditOperation operation)
{
	text *plain;

	if (owner->purpose != SDES_PURPOSE_LITERAL)
	{
		sdes_audit_use(owner->bucket, operation, 1);
		sdes_honey_opened(envelope, owner);
	}
	plain = sdes_value_open_under(sdes_value_key(envelope, owner), envelope, type);
	if (owner->purpose != SDES_PURPOSE_LITERAL)
		sdes_audit_bytes(VARSIZE(plain) - VARHDRSZ);
	return plain;
}

void
sdes_value_wipe(text *plain)
{
	sdes_wipe(VARDATA(plain), VARSIZE(plain) - VARHDRSZ);
	pfree(plain);
}

static uint64 sealed_here = 0;

uint64
sdes_value_sealed_here(void)
{
	return sealed_here;
}

/* Support shows a mask; saved from its form, it would replace the value. */
static void
refuse_mask(SdesPlain plain, const SdesType *type, const uint8 *bucket)
{
	int privileges;

	if (type->looks_masked == NULL || !type->looks_masked(plain))
		return;
	privileges = sdes_policy_privileges(bucket);
	if ((privileges & SDES_PRIVILEGE_MASK) && !(privileges & SDES_PRIVILEGE_DECRYPT))
		ereport(ERROR,
		        (errcode(ERRCODE_DATA_EXCEPTION),
		         errmsg("a mask cannot be stored in place of the value"),
		         errdetail("The current role sees masks of this bucket's values, and the "
		                   "new value looks like one."),
		         errhint("Leave the column out of the UPDATE."), SDES_KEEP_OUT_OF_LOG));
}

static struct varlena *
seal_literal(SdesPlain plain, const SdesType *type)
{
	struct varlena *value = sdes_value_same_literal(plain, type);
	uint8 bucket[SDES_UUID_SIZE];

	if (value != NULL)
		return value;
	memcpy(bucket, sdes_keyring_system_bucket()->uuid, SDES_UUID_SIZE);
	value = seal_under(bucket, SDES_PURPOSE_LITERAL, plain, type, -1);
	sdes_value_keep_literal(plain, type, value);
	return value;
}

struct varlena *
sdes_value_seal(SdesPlain plain, const SdesType *type, int32 typmod)
{
	uint8 bucket[SDES_UUID_SIZE];

	if (typmod < 0)
		return seal_literal(plain, type);
	sealed_here++;
	memcpy(bucket, sdes_value_bucket_of(typmod)->uuid, SDES_UUID_SIZE);
	sdes_value_require(bucket, SDES_PRIVILEGE_ENCRYPT);
	refuse_mask(plain, type, bucket);
	sdes_audit_use(bucket, SDES_AUDIT_ENCRYPT, 1);
	sdes_audit_bytes((int64) plain.size);
	return seal_under(bucket, SDES_PURPOSE_DATA, plain, type, typmod);
}

bool
sdes_value_fits(const SdesEnvelope *envelope, int32 typmod)
{
	return (envelope->ntokens > 0) == ((typmod & SDES_SEARCHABLE) != 0) &&
	       (envelope->nci > 0) == ((typmod & SDES_SEARCHABLE_CI) != 0);
}

void
sdes_value_owner(const SdesEnvelope *envelope, SdesKeyOwner *owner)
{
	if (sdes_keyring_owner(envelope->key_id, owner))
		return;
	/* Raises, unless the key's row has arrived this very moment. */
	sdes_keyring_by_id(envelope->key_id);
	if (!sdes_keyring_owner(envelope->key_id, owner))
		elog(ERROR, "encryption key came and went");
}

/* Whether a value would carry a token that it does not carry yet. */
static bool
gains_token(const SdesEnvelope *envelope, int32 typmod)
{
	return (envelope->ntokens == 0 && (typmod & SDES_SEARCHABLE) != 0) ||
	       (envelope->nci == 0 && (typmod & SDES_SEARCHABLE_CI) != 0);
}

/*
 * A value that is to be stored again as it is: a variable or a cursor may have held it
 * since before its key was retired, and nobody would look for it any more.
 */
static struct varlena *
under_living_key(struct varlena *value, const SdesType *type, const SdesEnvelope *envelope)
{
	SdesRenewing item = {.value = value, .type = type};
	SdesKeyState state = sdes_keyring_state(envelope->key_id);

	if (state == SDES_KEY_ACTIVE || state == SDES_KEY_DECRYPT_ONLY)
		return value;
	/* Raises for a key that is destroyed. */
	sdes_keyring_for_renewal(envelope->key_id);
	sdes_value_renew(&item, 1);
	sdes_check(item.status);
	return item.renewed;
}

struct varlena *
sdes_value_reseal(struct varlena *value, const SdesType *type, int32 typmod)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	uint8 target[SDES_UUID_SIZE];
	bool stays;
	struct varlena *volatile sealed = NULL;
	text *plain;

	if (typmod < 0)
		return value;
	sdes_require_preload();
	sdes_value_parse(value, &envelope);
	if (sdes_value_is_restoring() &&
	    (!sdes_value_knows_keys() || sdes_value_bucket_comes_later(typmod) ||
	     !sdes_keyring_owner(envelope.key_id, &owner)))
		return value;
	sdes_value_owner(&envelope, &owner);
	memcpy(target, sdes_value_bucket_of(typmod)->uuid, SDES_UUID_SIZE);
	stays = memcmp(owner.bucket, target, SDES_UUID_SIZE) == 0;
	if (stays && sdes_value_fits(&envelope, typmod))
		return under_living_key(value, type, &envelope);

	sealed_here++;
	sdes_value_require(target, SDES_PRIVILEGE_ENCRYPT);
	/* Who may only store could read it by what it does with it elsewhere, or by guesses. */
	if (owner.purpose != SDES_PURPOSE_LITERAL && (!stays || gains_token(&envelope, typmod)))
	{
		/* An applier that acts for a table's owner looks like maintenance. */
		if (!IsLogicalWorker())
			sdes_value_forbid_maintenance();
		sdes_value_require(owner.bucket, SDES_PRIVILEGE_DECRYPT);
		sdes_audit_use(owner.bucket, SDES_AUDIT_DECRYPT, 1);
		sdes_honey_opened(&envelope, &owner);
	}
	plain = sdes_value_open_under(sdes_value_key(&envelope, &owner), &envelope, type);
	PG_TRY();
	{
		SdesPlain fresh = {VARDATA(plain), VARSIZE(plain) - VARHDRSZ};

		if (owner.purpose == SDES_PURPOSE_LITERAL)
			refuse_mask(fresh, type, target);
		sdes_audit_use(target, SDES_AUDIT_ENCRYPT, 1);
		sdes_audit_bytes((int64) fresh.size);
		sealed = seal_under(target, SDES_PURPOSE_DATA, fresh, type, typmod);
	}
	PG_FINALLY();
	{
		sdes_value_wipe(plain);
	}
	PG_END_TRY();
	return sealed;
}

text *
sdes_value_open(struct varlena *value, const SdesType *type)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	sdes_require_preload();
	sdes_value_forbid_maintenance();
	sdes_value_parse(value, &envelope);
	/* First the privilege: who has none makes the HSM no work. */
	sdes_value_owner(&envelope, &owner);
	sdes_value_require(owner.bucket, SDES_PRIVILEGE_DECRYPT);
	return sdes_value_open_for(&envelope, &owner, type, SDES_AUDIT_DECRYPT);
}

bool
sdes_value_has_known_key(struct varlena *value)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	sdes_value_parse(value, &envelope);
	return sdes_keyring_owner(envelope.key_id, &owner);
}

bool
sdes_value_can_open(struct varlena *value)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	sdes_require_preload();
	sdes_value_parse(value, &envelope);
	return sdes_keyring_owner(envelope.key_id, &owner) &&
	       (sdes_policy_privileges(owner.bucket) & SDES_PRIVILEGE_DECRYPT) != 0 &&
	       sdes_keyring_try(envelope.key_id) != NULL;
}

bool
sdes_value_is_literal(struct varlena *value)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	sdes_value_parse(value, &envelope);
	return sdes_keyring_owner(envelope.key_id, &owner) &&
	       owner.purpose == SDES_PURPOSE_LITERAL;
}

text *
sdes_value_literal(struct varlena *value, const SdesType *type)
{
	SdesEnvelope envelope;
	const SdesKey *key;

	sdes_value_parse(value, &envelope);
	key = sdes_keyring_by_id(envelope.key_id);
	if (key->purpose != SDES_PURPOSE_LITERAL)
		elog(ERROR, "value is no literal");
	return sdes_value_open_under(key, &envelope, type);
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
	text *result = (text *) sdes_value_make(size);

	memcpy(VARDATA(result), armor, size);
	pfree(armor);
	return result;
}

text *
sdes_value_reveal(struct varlena *value, const SdesType *type)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	int privileges;
	text *plain;
	text *masked;

	sdes_require_preload();
	sdes_value_forbid_maintenance();
	sdes_value_parse(value, &envelope);
	/* Without a privilege, and for a key from elsewhere, the HSM is left alone. */
	if (!sdes_keyring_owner(envelope.key_id, &owner))
		return sdes_value_armor_text(value);
	/* Armor in place of a constant of the statement would be a wrong answer. */
	if (owner.purpose == SDES_PURPOSE_LITERAL)
		sdes_policy_require(owner.bucket, SDES_PRIVILEGE_DECRYPT); /* raises */
	privileges = sdes_policy_privileges(owner.bucket);
	if (!(privileges & (SDES_PRIVILEGE_DECRYPT | SDES_PRIVILEGE_MASK)))
		return sdes_value_armor_text(value);

	plain = sdes_value_open_for(&envelope, &owner, type,
	                            privileges & SDES_PRIVILEGE_DECRYPT ? SDES_AUDIT_DECRYPT
	                                                                : SDES_AUDIT_MASK);
	if (privileges & SDES_PRIVILEGE_DECRYPT)
		return plain;
	masked = type->mask(plain);
	sdes_value_wipe(plain);
	return masked;
}
