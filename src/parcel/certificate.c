/*
 * certificate.c
 *		Reading X.509 certificates, and making those of a site.
 *
 * Invariant: what is read is one certificate, or the two of a site, and nothing else:
 * a text that another program would read differently is refused.
 */
#include "parcel/certificate.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define SITE_BITS 4096
#define HYBRID    "hybrid"                 /* the site has an ML-KEM key */
#define KEM_OID   "2.16.840.1.101.3.4.4.2" /* id-alg-ml-kem-768, NIST CSOR */
#define NO_EXPIRY "99991231235959Z"        /* RFC 5280, section 4.1.2.5 */

/* ---- reading ---- */

/* Reads all certificates of a text, up to max; returns how many, 0 where there are more. */
static int
read_all(SdesBytes pem, X509 **out, int max)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
	X509 *one = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	int count = 0;

	for (; one != NULL && count < max; count++)
	{
		out[count] = one;
		one = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	}
	if (one != NULL)
		count = 0;
	X509_free(one);
	BIO_free(bio);
	return count;
}

/* The one common name, without control characters. */
static bool
read_name(const X509 *certificate, char out[SDES_SITE_NAME_MAX + 1])
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	int size;
	bool done;

	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	size = ASN1_STRING_to_UTF8(&utf8,
	                           X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	done = size > 0 && size <= SDES_SITE_NAME_MAX;
	for (int i = 0; done && i < size; i++)
		done = utf8[i] >= ' ' && utf8[i] != 0x7f;
	if (done)
	{
		memcpy(out, utf8, (size_t) size);
		out[size] = '\0';
	}
	OPENSSL_free(utf8);
	return done;
}

/* Whether the subject's organizational unit is that one. */
static bool
has_unit(const X509 *certificate, const char *unit)
{
	char found[16];

	return X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
	                                 NID_organizationalUnitName, found,
	                                 sizeof(found)) == (int) strlen(unit) &&
	       strcmp(found, unit) == 0;
}

/* Fingerprint, name and key, which must be one that fits. */
static SdesStatus
read_one(const X509 *certificate, SdesCertificate *out)
{
	unsigned size = SDES_DIGEST_SIZE;

	if (X509_digest(certificate, EVP_sha256(), out->fingerprint, &size) != 1)
		return SDES_ERR_CRYPTO;
	out->key = X509_get_pubkey((X509 *) (uintptr_t) certificate);
	if (out->key == NULL || !sdes_public_key_fits(out->key) ||
	    !read_name(certificate, out->name))
		return SDES_ERR_FORMAT;
	return SDES_OK;
}

/* The key to encrypt to, in a certificate that the site's own has signed. */
static SdesStatus
read_second(X509 *first, X509 *second, SdesCertificate *out)
{
	const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(second);

	out->encrypts = X509_get_pubkey(second);
	if (out->encrypts == NULL || !sdes_public_key_fits(out->encrypts) ||
	    EVP_PKEY_get_bits(out->encrypts) != SITE_BITS ||
	    EVP_PKEY_get_bits(out->key) != SITE_BITS || id == NULL ||
	    ASN1_STRING_length(id) != SDES_SITE_KEY_ID_SIZE ||
	    (X509_get_key_usage(first) & X509v3_KU_DIGITAL_SIGNATURE) == 0 ||
	    (X509_get_key_usage(second) & X509v3_KU_KEY_ENCIPHERMENT) == 0)
		return SDES_ERR_FORMAT;
	memcpy(out->key_id, ASN1_STRING_get0_data(id), SDES_SITE_KEY_ID_SIZE);
	if (X509_verify(first, out->key) != 1 || X509_verify(second, out->key) != 1)
		return SDES_ERR_TAG;
	return SDES_OK;
}

/* The ML-KEM key, which OpenSSL before 3.5 does not know. */
static SdesStatus
read_third(X509 *third, SdesCertificate *out)
{
	const unsigned char *bytes;
	ASN1_OBJECT *algorithm;
	char oid[64];
	int size;

	if (X509_PUBKEY_get0_param(&algorithm, &bytes, &size, NULL,
	                           X509_get_X509_PUBKEY(third)) != 1 ||
	    OBJ_obj2txt(oid, sizeof(oid), algorithm, 1) <= 0 || strcmp(oid, KEM_OID) != 0 ||
	    size != SDES_KEM_PUBLIC_SIZE ||
	    (X509_get_key_usage(third) & X509v3_KU_KEY_ENCIPHERMENT) == 0)
		return SDES_ERR_FORMAT;
	memcpy(out->kem, bytes, SDES_KEM_PUBLIC_SIZE);
	return X509_verify(third, out->key) == 1 ? SDES_OK : SDES_ERR_TAG;
}

SdesStatus
sdes_certificate_read_site(SdesBytes pem, SdesCertificate *out)
{
	X509 *all[3] = {NULL, NULL, NULL};
	SdesStatus status = SDES_ERR_FORMAT;
	int count = 0;

	memset(out, 0, sizeof(*out));
	if (pem.size <= 3 * SDES_CERTIFICATE_MAX)
		count = read_all(pem, all, 3);
	if (count >= 2)
		status = read_one(all[0], out);
	out->hybrid = status == SDES_OK && has_unit(all[0], HYBRID);
	if (status == SDES_OK && count != (out->hybrid ? 3 : 2))
		status = SDES_ERR_FORMAT;
	if (status == SDES_OK)
		status = read_second(all[0], all[1], out);
	if (status == SDES_OK && out->hybrid)
		status = read_third(all[2], out);
	for (int i = 0; i < 3; i++)
		X509_free(all[i]);
	ERR_clear_error();
	if (status != SDES_OK)
		sdes_certificate_free(out);
	return status;
}

SdesStatus
sdes_certificate_read_officer(SdesBytes pem, SdesCertificate *out)
{
	X509 *one = NULL;
	SdesStatus status = SDES_ERR_FORMAT;

	memset(out, 0, sizeof(*out));
	if (pem.size <= SDES_CERTIFICATE_MAX && read_all(pem, &one, 1) == 1)
		status = read_one(one, out);
	X509_free(one);
	ERR_clear_error();
	if (status != SDES_OK)
		sdes_certificate_free(out);
	return status;
}

void
sdes_certificate_free(SdesCertificate *certificate)
{
	sdes_public_key_free(certificate->key);
	sdes_public_key_free(certificate->encrypts);
	certificate->key = NULL;
	certificate->encrypts = NULL;
}

/* ---- making ---- */

static bool
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	bool done;

	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	done = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

static bool
add_subject_id(X509 *certificate, const uint8_t id[SDES_SITE_KEY_ID_SIZE])
{
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	bool done =
	    value != NULL && ASN1_OCTET_STRING_set(value, id, SDES_SITE_KEY_ID_SIZE) == 1 &&
	    X509_add1_ext_i2d(certificate, NID_subject_key_identifier, value, 0, 0) == 1;

	ASN1_OCTET_STRING_free(value);
	return done;
}

static bool
add_issuer_id(X509 *certificate, const uint8_t id[SDES_SITE_KEY_ID_SIZE])
{
	AUTHORITY_KEYID *value = AUTHORITY_KEYID_new();
	bool done =
	    value != NULL && (value->keyid = ASN1_OCTET_STRING_new()) != NULL &&
	    ASN1_OCTET_STRING_set(value->keyid, id, SDES_SITE_KEY_ID_SIZE) == 1 &&
	    X509_add1_ext_i2d(certificate, NID_authority_key_identifier, value, 0, 0) == 1;

	AUTHORITY_KEYID_free(value);
	return done;
}

/* What tells the certificates of a site apart, and the first of a hybrid one from others. */
static const char *
unit_of(const SdesCertificateSpec *spec, bool issuer)
{
	if (issuer || memcmp(spec->subject_id, spec->issuer_id, SDES_SITE_KEY_ID_SIZE) == 0)
		return spec->hybrid ? HYBRID : NULL;
	return spec->kem.size > 0 ? "ML-KEM-768" : "encryption";
}

static bool
add_entry(X509_NAME *name, int nid, const char *value)
{
	return value == NULL ||
	       X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8,
	                                  (const unsigned char *) value, -1, -1, 0) == 1;
}

static X509_NAME *
new_name(const SdesCertificateSpec *spec, bool issuer)
{
	X509_NAME *name = X509_NAME_new();

	if (name != NULL && add_entry(name, NID_organizationName, "sdes") &&
	    add_entry(name, NID_organizationalUnitName, unit_of(spec, issuer)) &&
	    add_entry(name, NID_commonName, spec->name))
		return name;
	X509_NAME_free(name);
	return NULL;
}

static bool
set_names(X509 *certificate, const SdesCertificateSpec *spec)
{
	X509_NAME *issuer = new_name(spec, true);
	X509_NAME *subject = new_name(spec, false);
	bool done = issuer != NULL && subject != NULL &&
	            X509_set_issuer_name(certificate, issuer) == 1 &&
	            X509_set_subject_name(certificate, subject) == 1;

	X509_NAME_free(issuer);
	X509_NAME_free(subject);
	return done;
}

/* An ML-KEM key by its bytes, which takes no OpenSSL that knows what they are. */
static bool
set_kem(X509 *certificate, SdesBytes kem)
{
	unsigned char *copy = OPENSSL_memdup(kem.data, kem.size);
	ASN1_OBJECT *algorithm = OBJ_txt2obj(KEM_OID, 1);

	if (copy != NULL && algorithm != NULL &&
	    X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate), algorithm, V_ASN1_UNDEF,
	                           NULL, copy, (int) kem.size) == 1)
		return true;
	OPENSSL_free(copy);
	ASN1_OBJECT_free(algorithm);
	return false;
}

static bool
set_serial(X509 *certificate, const uint8_t serial[SDES_CERTIFICATE_SERIAL])
{
	BIGNUM *number = BN_bin2bn(serial, SDES_CERTIFICATE_SERIAL, NULL);
	bool done = number != NULL &&
	            BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;

	BN_free(number);
	return done;
}

static bool
set_validity(X509 *certificate, int64_t not_before)
{
	return ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t) not_before) != NULL &&
	       ASN1_TIME_set_string(X509_getm_notAfter(certificate), NO_EXPIRY) == 1;
}

/*
 * OpenSSL signs with keys that it holds. Here the token signs, so both statements of
 * the algorithm, which are const to callers, are written first.
 */
static bool
set_algorithm(X509 *certificate)
{
	const X509_ALGOR *outer = NULL;
	const X509_ALGOR *inner = X509_get0_tbs_sigalg(certificate);
	ASN1_OBJECT *object = OBJ_nid2obj(NID_sha256WithRSAEncryption);

	X509_get0_signature(NULL, &outer, certificate);
	return X509_ALGOR_set0((X509_ALGOR *) (uintptr_t) outer, object, V_ASN1_NULL, NULL) ==
	           1 &&
	       X509_ALGOR_set0((X509_ALGOR *) (uintptr_t) inner, object, V_ASN1_NULL, NULL) ==
	           1;
}

static bool
fill(X509 *certificate, const SdesCertificateSpec *spec, EVP_PKEY *key)
{
	bool encrypts = memcmp(spec->subject_id, spec->issuer_id, SDES_SITE_KEY_ID_SIZE) != 0;

	return X509_set_version(certificate, X509_VERSION_3) == 1 &&
	       set_serial(certificate, spec->serial) &&
	       set_validity(certificate, spec->not_before) && set_names(certificate, spec) &&
	       (key != NULL ? X509_set_pubkey(certificate, key) == 1
	                    : set_kem(certificate, spec->kem)) &&
	       add_extension(certificate, certificate, NID_basic_constraints,
	                     encrypts ? "critical,CA:FALSE" : "critical,CA:TRUE,pathlen:0") &&
	       add_extension(certificate, certificate, NID_key_usage,
	                     encrypts ? "critical,keyEncipherment"
	                              : "critical,digitalSignature,keyCertSign") &&
	       add_subject_id(certificate, spec->subject_id) &&
	       add_issuer_id(certificate, spec->issuer_id) && set_algorithm(certificate);
}

/* SHA-256 of what a certificate's signature is over. */
static SdesStatus
tbs_digest(X509 *certificate, uint8_t digest[SDES_DIGEST_SIZE])
{
	unsigned char *tbs = NULL;
	int size = i2d_re_X509_tbs(certificate, &tbs);
	SdesBytes piece = sdes_bytes(tbs, size > 0 ? (size_t) size : 0);
	SdesStatus status = size > 0 ? sdes_sha256(&piece, 1, digest) : SDES_ERR_CRYPTO;

	OPENSSL_free(tbs);
	return status;
}

SdesStatus
sdes_certificate_draft(const SdesCertificateSpec *spec, SdesCertificateDraft **out,
                       uint8_t digest[SDES_DIGEST_SIZE])
{
	SdesPublicKey *key = NULL;
	SdesStatus status = SDES_OK;

	*out = NULL;
	if (spec->kem.size == 0)
		status = sdes_public_key_new(spec->modulus, &key);
	if (status != SDES_OK)
		return status;
	*out = X509_new();
	if (*out == NULL)
		status = SDES_ERR_MEMORY;
	else if (!fill(*out, spec, key))
		status = SDES_ERR_CRYPTO;
	if (status == SDES_OK)
		status = tbs_digest(*out, digest);
	sdes_public_key_free(key);
	ERR_clear_error();
	if (status != SDES_OK)
	{
		sdes_certificate_draft_free(*out);
		*out = NULL;
	}
	return status;
}

static bool
set_signature(X509 *certificate, SdesBytes signature)
{
	const ASN1_BIT_STRING *bits = NULL;
	ASN1_BIT_STRING *into;

	X509_get0_signature(&bits, NULL, certificate);
	into = (ASN1_BIT_STRING *) (uintptr_t) bits;
	if (into == NULL || ASN1_STRING_set(into, signature.data, (int) signature.size) != 1)
		return false;
	into->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07);
	into->flags |= ASN1_STRING_FLAG_BITS_LEFT; /* all bits of the last byte count */
	return true;
}

SdesStatus
sdes_certificate_finish(SdesCertificateDraft *draft, SdesBytes signature, char *out,
                        size_t size, size_t *used)
{
	BIO *bio = BIO_new(BIO_s_mem());
	SdesStatus status = SDES_ERR_CRYPTO;
	char *pem;
	long length;

	if (bio != NULL && set_signature(draft, signature) &&
	    PEM_write_bio_X509(bio, draft) == 1)
	{
		length = BIO_get_mem_data(bio, &pem);
		status = length > 0 && (size_t) length <= size ? SDES_OK : SDES_ERR_TOO_LONG;
		if (status == SDES_OK)
		{
			memcpy(out, pem, (size_t) length);
			*used = (size_t) length;
		}
	}
	BIO_free(bio);
	ERR_clear_error();
	return status;
}

void
sdes_certificate_draft_free(SdesCertificateDraft *draft)
{
	X509_free(draft);
}
