/*
 * site.c
 *		This site and those it trusts: sdes.site_certificate(), sdes.trust_site(),
 *		sdes.distrust_site().
 *
 * A site is a database. Its two RSA keys are made in the HSM at the first need; they
 * never leave it. Trust in another site is an officer's word, who compared the
 * fingerprint by another way: no message here tells what the fingerprint is.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "audit/audit.h"
#include "commands/dbcommands.h"
#include "crypto/kdf.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_site_certificate);
SDES_SQL_FUNCTION(sdes_trust_site);
SDES_SQL_FUNCTION(sdes_distrust_site);

#define PEM_MAX     (3 * SDES_CERTIFICATE_MAX)
#define NAME_DIGITS 8 /* hex, after the database's name */

void
sdes_exchange_begin(const char *function, const char *role, const char *action)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	sdes_require_preload();
	sdes_policy_require_member(role, action);
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
}

static void
free_certificate(void *certificate)
{
	sdes_certificate_free(certificate);
}

/* An error unless the row says what its certificate says. */
static SdesSite *
open_site(const SdesSiteRow *row)
{
	SdesSite *site = palloc0(sizeof(SdesSite));
	SdesBytes pem = sdes_bytes(row->certificate, strlen(row->certificate));

	site->row = *row;
	if (sdes_certificate_read_site(pem, &site->certificate) != SDES_OK ||
	    memcmp(site->certificate.fingerprint, row->fingerprint, SDES_FINGERPRINT_SIZE) != 0)
	{
		sdes_certificate_free(&site->certificate);
		ereport(ERROR,
		        (errcode(ERRCODE_DATA_CORRUPTED),
		         errmsg("row of site \"%s\" does not fit its certificate", row->name),
		         errhint("It was changed by hand or damaged. Have an officer trust "
		                 "the site again.")));
	}
	site->callback.func = free_certificate;
	site->callback.arg = &site->certificate;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &site->callback);
	return site;
}

bool
sdes_key_is_in_token(const uint8 *id)
{
	SdesRequest request = {.op = SDES_OP_KEK_CHECK};
	SdesLinkFailure failure;

	memcpy(request.kek_id, id, SDES_KEK_ID_SIZE);
	if (sdes_agentlink_try(&request, SDES_PATIENT, &failure) != NULL)
	{
		sdes_agentlink_finish();
		return true;
	}
	if (failure.status != SDES_ERR_HSM_KEY_MISSING)
		sdes_report(ERROR, failure.status, failure.detail);
	return false;
}

/* ---- this site ---- */

static void
make_key(uint8 kind, const char *what, uint8 *id)
{
	SdesRequest request = {.op = SDES_OP_KEK_CREATE, .kind = kind};

	sdes_keyring_label_prefix(request.label, sizeof(request.label));
	strlcat(request.label, what, sizeof(request.label));
	/* A site's keys have no copies: they are in the first token. */
	memcpy(id, sdes_agentlink_ask_at(0, &request)->kek_id, SDES_KEK_ID_SIZE);
	sdes_agentlink_finish();
	sdes_agentlink_kek_pending(0, id);
}

/* Of a key that is RSA-4096: all that a site has are. */
static void
take_public(const SdesReply *reply, uint8 out[SDES_RSA_4096_SIZE])
{
	bool fits = reply->public_size == SDES_RSA_4096_SIZE;

	if (fits)
		memcpy(out, reply->public, SDES_RSA_4096_SIZE);
	sdes_agentlink_finish();
	if (!fits)
		sdes_report(ERROR, SDES_ERR_HSM_KEY_UNSAFE, "The key is no RSA key of 4096 bits.");
}

static void
read_modulus(const uint8 *id, uint8 *modulus)
{
	SdesRequest request = {.op = SDES_OP_PUBLIC_KEY};

	memcpy(request.kek_id, id, SDES_KEK_ID_SIZE);
	take_public(sdes_agentlink_ask(&request), modulus);
}

static void
sign_digest(const uint8 *key_id, const uint8 *digest, uint8 signature[SDES_RSA_4096_SIZE])
{
	SdesRequest request = {.op = SDES_OP_SIGN};

	memcpy(request.kek_id, key_id, SDES_KEK_ID_SIZE);
	memcpy(request.digest, digest, sizeof(request.digest));
	take_public(sdes_agentlink_ask(&request), signature);
}

void
sdes_site_sign(const SdesSite *own, SdesBytes bytes, uint8 signature[SDES_RSA_4096_SIZE])
{
	uint8 digest[SDES_DIGEST_SIZE];

	sdes_check(sdes_parcel_signed_digest(bytes, digest));
	sign_digest(own->row.signing_key, digest, signature);
}

/* "shop-3f9a2c1d", in UTF-8: databases of one name are told apart. */
static char *
make_name(void)
{
	const char *database = get_database_name(MyDatabaseId);
	char *utf8 = pg_server_to_any(database, (int) strlen(database), PG_UTF8);
	int size = (int) strlen(utf8);
	uint8 bytes[NAME_DIGITS / 2];

	sdes_check(sdes_random(bytes, sizeof(bytes)));
	size = pg_encoding_mbcliplen(PG_UTF8, utf8, size, SDES_SITE_NAME_MAX - NAME_DIGITS - 1);
	return psprintf("%.*s-%02x%02x%02x%02x", size, utf8, bytes[0], bytes[1], bytes[2],
	                bytes[3]);
}

static void
free_draft(void *draft)
{
	sdes_certificate_draft_free(draft);
}

/* Appends a certificate, signed in the token, to a text. */
static void
certify(SdesCertificateSpec *spec, char *pem)
{
	uint8 digest[SDES_DIGEST_SIZE], signature[SDES_RSA_4096_SIZE];
	SdesCertificateDraft *draft;
	MemoryContextCallback *callback = palloc0(sizeof(*callback));
	size_t used = 0, at = strlen(pem);

	sdes_check(sdes_random(spec->serial, sizeof(spec->serial)));
	spec->serial[0] = 0x40 | (spec->serial[0] & 0x3f); /* positive, of 16 bytes */
	spec->not_before = (int64) time(NULL);
	sdes_check(sdes_certificate_draft(spec, &draft, digest));
	callback->func = free_draft;
	callback->arg = draft;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	sign_digest(spec->issuer_id, digest, signature);
	sdes_check(sdes_certificate_finish(draft, SDES_BYTES_OF(signature), pem + at,
	                                   PEM_MAX - at - 1, &used));
	pem[at + used] = '\0';
}

/* The same of an RSA key in the token. */
static void
certify_rsa(SdesCertificateSpec *spec, const uint8 *subject, char *pem)
{
	uint8 modulus[SDES_RSA_4096_SIZE];

	read_modulus(subject, modulus);
	spec->modulus = SDES_BYTES_OF(modulus);
	memcpy(spec->subject_id, subject, SDES_KEK_ID_SIZE);
	certify(spec, pem);
}

/* What the root of the ML-KEM key is wrapped for. */
static void
kem_binding(const SdesSiteRow *own, SdesDekBinding *binding)
{
	memset(binding, 0, sizeof(*binding));
	memcpy(binding->key_id, own->signing_key, SDES_KEY_ID_SIZE);
	memcpy(binding->bucket, own->signing_key, SDES_UUID_SIZE);
	binding->version = 1;
	binding->purpose = SDES_PURPOSE_PARCEL;
	binding->mode = SDES_MODE_CACHED;
	memcpy(binding->kek_id, own->kem_key, SDES_KEK_ID_SIZE);
}

void
sdes_site_kem_root(const SdesSiteRow *own, SdesSecret *root)
{
	SdesRequest request = {.op = SDES_OP_DEK_UNWRAP};
	const SdesReply *reply;
	SdesStatus status;

	if (own->kem_root_size > sizeof(request.wrapped))
		sdes_report(ERROR, SDES_ERR_FORMAT, NULL);
	kem_binding(own, &request.binding);
	request.wrapped_size = own->kem_root_size;
	memcpy(request.wrapped, own->kem_root, own->kem_root_size);
	reply = sdes_agentlink_ask(&request);
	status = sdes_secret_new(root, SDES_KEM_ROOT_SIZE);
	if (status == SDES_OK)
		memcpy(root->data, reply->dek.data, SDES_KEM_ROOT_SIZE);
	sdes_agentlink_finish();
	sdes_check(status);
}

/* A root that the agent draws and an AES key in the token wraps, and its certificate. */
static void
make_kem(SdesSiteRow *own, SdesCertificateSpec *spec, char *pem)
{
	SdesRequest request = {.op = SDES_OP_DEK_CREATE};
	uint8 public_key[SDES_KEM_PUBLIC_SIZE];
	const SdesReply *reply;
	SdesSecret root = {NULL, 0};
	SdesStatus status;
	uint8 *blob;

	make_key(SDES_KEK_AES_256, "#site ML-KEM", own->kem_key);
	kem_binding(own, &request.binding);
	reply = sdes_agentlink_ask(&request);
	own->kem_root_size = reply->wrapped_size;
	blob = palloc(reply->wrapped_size);
	memcpy(blob, reply->wrapped, reply->wrapped_size);
	own->kem_root = blob;
	sdes_agentlink_finish();
	sdes_site_kem_root(own, &root);
	status = sdes_kem_public(sdes_secret_bytes(&root), public_key);
	sdes_secret_free(&root);
	sdes_check(status);
	spec->kem = SDES_BYTES_OF(public_key);
	memcpy(spec->subject_id, own->kem_key, SDES_KEK_ID_SIZE);
	certify(spec, pem);
}

static SdesSite *
make_own(void)
{
	SdesSiteRow row = {.own = true, .hybrid = sdes_kem_available()};
	char *pem = palloc0(PEM_MAX);
	SdesCertificateSpec spec = {.name = make_name(), .hybrid = row.hybrid};
	SdesCertificate certificate;

	make_key(SDES_KEK_RSA_4096_SIGN, "#site signing", row.signing_key);
	make_key(SDES_KEK_RSA_4096, "#site encryption", row.encryption_key);
	memcpy(spec.issuer_id, row.signing_key, SDES_KEK_ID_SIZE);
	certify_rsa(&spec, row.signing_key, pem);
	certify_rsa(&spec, row.encryption_key, pem);
	if (row.hybrid)
		make_kem(&row, &spec, pem);
	sdes_check(sdes_certificate_read_site(sdes_bytes(pem, strlen(pem)), &certificate));
	memcpy(row.fingerprint, certificate.fingerprint, SDES_FINGERPRINT_SIZE);
	sdes_certificate_free(&certificate);
	row.name = pg_any_to_server(spec.name, (int) strlen(spec.name), PG_UTF8);
	row.certificate = pem;
	sdes_store_insert_site(&row);
	return open_site(&row);
}

SdesSite *
sdes_site_own(bool make)
{
	ListCell *cell;

	foreach (cell, sdes_store_sites())
	{
		const SdesSiteRow *row = lfirst(cell);

		if (row->own)
			return open_site(row);
	}
	return make ? make_own() : NULL;
}

Datum
sdes_site_certificate(PG_FUNCTION_ARGS)
{
	sdes_exchange_begin("sdes.site_certificate()", "sdes_admin",
	                    "make the certificate of this site");
	PG_RETURN_TEXT_P(cstring_to_text(sdes_site_own(true)->row.certificate));
}

/* ---- other sites ---- */

SdesSite *
sdes_site_by_fingerprint(const uint8 *fingerprint)
{
	ListCell *cell;

	foreach (cell, sdes_store_sites())
	{
		const SdesSiteRow *row = lfirst(cell);

		if (memcmp(row->fingerprint, fingerprint, SDES_FINGERPRINT_SIZE) == 0)
			return open_site(row);
	}
	return NULL;
}

static const SdesSiteRow *
find_trusted(const char *name)
{
	ListCell *cell;

	foreach (cell, sdes_store_sites())
	{
		const SdesSiteRow *row = lfirst(cell);

		if (!row->own && strcmp(row->name, name) == 0)
			return row;
	}
	ereport(ERROR,
	        (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("site \"%s\" is not trusted", name),
	         errhint("An officer trusts it by sdes.trust_site(); those that are "
	                 "trusted are in sdes.site.")));
}

SdesSite *
sdes_site_by_name(const char *name)
{
	return open_site(find_trusted(name));
}

/* As people and programs write it: hex digits of both cases, colons, blanks. */
static bool
parse_fingerprint(const char *text, uint8 out[SDES_FINGERPRINT_SIZE])
{
	int digits = 0;

	for (; *text != '\0'; text++)
	{
		int value = *text >= '0' && *text <= '9'   ? *text - '0'
		            : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10
		            : *text >= 'A' && *text <= 'F' ? *text - 'A' + 10
		                                           : -1;

		if (*text == ':' || *text == ' ')
			continue;
		if (value < 0 || digits == 2 * SDES_FINGERPRINT_SIZE)
			return false;
		out[digits / 2] = (uint8) (digits % 2 == 0 ? value << 4 : out[digits / 2] | value);
		digits++;
	}
	return digits == 2 * SDES_FINGERPRINT_SIZE;
}

static void
read_certificate(const char *pem, SdesSiteRow *row)
{
	SdesCertificate certificate;
	SdesStatus status =
	    sdes_certificate_read_site(sdes_bytes(pem, strlen(pem)), &certificate);

	if (status != SDES_OK)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("this is not the certificate of a site"),
		         status == SDES_ERR_TAG ? errdetail("Its signature is not right.") : 0,
		         errhint("Give the whole text that sdes.site_certificate() returned there, "
		                 "of two or three certificates.")));
	memcpy(row->fingerprint, certificate.fingerprint, SDES_FINGERPRINT_SIZE);
	row->name = pstrdup(certificate.name);
	sdes_certificate_free(&certificate);
	row->name = pg_any_to_server(row->name, (int) strlen(row->name), PG_UTF8);
	row->certificate = pem;
}

static void
check_new_site(const SdesSiteRow *site)
{
	ListCell *cell;

	foreach (cell, sdes_store_sites())
	{
		const SdesSiteRow *row = lfirst(cell);

		if (row->own &&
		    memcmp(row->fingerprint, site->fingerprint, SDES_FINGERPRINT_SIZE) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("this is the certificate of this very site")));
		if (strcmp(row->name, site->name) == 0)
			ereport(ERROR,
			        (errcode(ERRCODE_DUPLICATE_OBJECT),
			         errmsg("there is a site \"%s\" already", site->name),
			         errhint("If it has another certificate now, end trust in the old one "
			                 "first, by sdes.distrust_site().")));
	}
}

Datum
sdes_trust_site(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"certificate", "fingerprint"};
	SdesSiteRow row = {0};
	uint8 typed[SDES_FINGERPRINT_SIZE];

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_exchange_begin("sdes.trust_site()", "sdes_officer", "trust another site");
	read_certificate(text_to_cstring(PG_GETARG_TEXT_PP(0)), &row);
	if (!parse_fingerprint(text_to_cstring(PG_GETARG_TEXT_PP(1)), typed))
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("a fingerprint has 64 hexadecimal digits"),
		         errhint("It is what \"openssl x509 -noout -fingerprint -sha256\" prints "
		                 "of the certificate at the other site.")));
	if (memcmp(typed, row.fingerprint, sizeof(typed)) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("the certificate has another fingerprint"),
		         errhint("Ask the other site for its fingerprint once more, by another way "
		                 "than the certificate came. The certificate may be forged.")));
	check_new_site(&row);
	sdes_store_insert_site(&row);
	sdes_audit_event("trust site", NULL, "%s", row.name);
	PG_RETURN_TEXT_P(cstring_to_text(row.name));
}

Datum
sdes_distrust_site(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"name"};
	const char *name;

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_exchange_begin("sdes.distrust_site()", "sdes_officer",
	                    "end trust in another site");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	sdes_store_delete_site(find_trusted(name)->fingerprint);
	sdes_audit_event("distrust site", NULL, "%s", name);
	PG_RETURN_VOID();
}
