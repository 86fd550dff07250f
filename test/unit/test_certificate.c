/*
 * test_certificate.c
 *		Certificates: a site's is made, signed and read back, and what is not one is
 *		refused; encryption to the keys in them.
 */
#include "parcel/parcel.h"
#include "tap.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#define PEM_MAX (3 * SDES_CERTIFICATE_MAX)

static const uint8_t site_id[SDES_SITE_KEY_ID_SIZE] = {1, 2};
static const uint8_t other_id[SDES_SITE_KEY_ID_SIZE] = {3, 4};

static EVP_PKEY *
new_key(unsigned bits)
{
	EVP_PKEY *key = EVP_RSA_gen(bits);

	if (key == NULL)
		abort();
	return key;
}

static size_t
modulus_of(EVP_PKEY *key, uint8_t *out)
{
	BIGNUM *n = NULL;
	int size;

	EVP_PKEY_get_bn_param(key, "n", &n);
	size = BN_bn2bin(n, out);
	BN_free(n);
	return (size_t) size;
}

static size_t
sign(EVP_PKEY *key, const uint8_t digest[SDES_DIGEST_SIZE], uint8_t *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	size_t size = SDES_RSA_SIZE_MAX;

	if (EVP_PKEY_sign_init(ctx) != 1 ||
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) != 1 ||
	    EVP_PKEY_sign(ctx, out, &size, digest, SDES_DIGEST_SIZE) != 1)
		abort();
	EVP_PKEY_CTX_free(ctx);
	return size;
}

/* Appends a certificate of a key to a text; returns its new length. */
static size_t
certify(EVP_PKEY *subject, bool encrypts, EVP_PKEY *issuer, char *pem, size_t at)
{
	uint8_t modulus[SDES_RSA_SIZE_MAX], digest[SDES_DIGEST_SIZE];
	uint8_t signature[SDES_RSA_SIZE_MAX];
	SdesCertificateSpec spec = {.name = "stores \xc3\xa9", .not_before = 1764000000};
	SdesCertificateDraft *draft;
	size_t used = 0;

	spec.modulus = sdes_bytes(modulus, modulus_of(subject, modulus));
	memcpy(spec.subject_id, encrypts ? other_id : site_id, sizeof(site_id));
	memcpy(spec.issuer_id, site_id, sizeof(site_id));
	spec.serial[0] = 0x7f;
	is_status(sdes_certificate_draft(&spec, &draft, digest), SDES_OK, "a draft");
	is_status(sdes_certificate_finish(
	              draft, sdes_bytes(signature, sign(issuer, digest, signature)), pem + at,
	              PEM_MAX - at, &used),
	          SDES_OK, "and its certificate");
	sdes_certificate_draft_free(draft);
	return at + used;
}

static SdesStatus
read_site(const char *pem, size_t size)
{
	SdesCertificate certificate;
	SdesStatus status = sdes_certificate_read_site(sdes_bytes(pem, size), &certificate);

	if (status == SDES_OK)
		sdes_certificate_free(&certificate);
	return status;
}

static SdesStatus
read_officer(const char *pem, size_t size)
{
	SdesCertificate certificate;
	SdesStatus status = sdes_certificate_read_officer(sdes_bytes(pem, size), &certificate);

	if (status == SDES_OK)
		sdes_certificate_free(&certificate);
	return status;
}

static void
test_site(const char *pem, size_t first, size_t size)
{
	SdesCertificate site, officer;
	char twice[2 * PEM_MAX];

	is_status(sdes_certificate_read_site(sdes_bytes(pem, size), &site), SDES_OK,
	          "it is read back");
	ok(strcmp(site.name, "stores \xc3\xa9") == 0, "its name");
	ok(memcmp(site.key_id, other_id, sizeof(other_id)) == 0, "its key's id");
	is_status(sdes_certificate_read_officer(sdes_bytes(pem, first), &officer), SDES_OK,
	          "the first alone is an officer's");
	ok(memcmp(site.fingerprint, officer.fingerprint, SDES_DIGEST_SIZE) == 0,
	   "whose fingerprint is the site's");
	sdes_certificate_free(&site);
	sdes_certificate_free(&officer);
	is_status(read_site(pem, first), SDES_ERR_FORMAT, "the first alone is no site's");
	is_status(read_site(pem + first, size - first), SDES_ERR_FORMAT, "nor is the second");
	is_status(read_officer(pem, size), SDES_ERR_FORMAT, "two are no officer's");
	memcpy(twice, pem, size);
	memcpy(twice + size, pem, first);
	is_status(read_site(twice, size + first), SDES_ERR_FORMAT, "three are none");
	memcpy(twice, pem + first, size - first);
	memcpy(twice + size - first, pem, first);
	is_status(read_site(twice, size), SDES_ERR_FORMAT, "nor are they in another order");
	is_status(read_site("", 0), SDES_ERR_FORMAT, "an empty text");
}

static void
test_bad_signers(EVP_PKEY *site, EVP_PKEY *other)
{
	char pem[PEM_MAX];
	size_t size = certify(site, false, other, pem, 0);

	size = certify(other, true, site, pem, size);
	is_status(read_site(pem, size), SDES_ERR_TAG, "a first that another signed");
	size = certify(site, false, site, pem, 0);
	size = certify(other, true, other, pem, size);
	is_status(read_site(pem, size), SDES_ERR_TAG, "a second that another signed");
}

static void
test_small(EVP_PKEY *site)
{
	uint8_t modulus[SDES_RSA_SIZE_MAX];
	EVP_PKEY *small = new_key(2048), *medium = new_key(3072);
	SdesPublicKey *key;
	char pem[PEM_MAX];
	size_t size = certify(site, false, site, pem, 0);

	size = certify(medium, true, site, pem, size);
	is_status(read_site(pem, size), SDES_ERR_FORMAT, "a site with 3072 bits");
	is_status(sdes_public_key_new(sdes_bytes(modulus, modulus_of(small, modulus)), &key),
	          SDES_ERR_FORMAT, "a key of 2048 bits");
	size = certify(medium, false, medium, pem, 0);
	is_status(read_officer(pem, size), SDES_OK, "an officer with 3072 bits");
	EVP_PKEY_free(small);
	EVP_PKEY_free(medium);
}

static void
test_encryption(EVP_PKEY *private_key)
{
	uint8_t modulus[SDES_RSA_SIZE_MAX], sealed[SDES_RSA_SIZE_MAX], out[SDES_RSA_SIZE_MAX];
	static const uint8_t message[447] = {9, 8, 7};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(private_key, NULL);
	SdesPublicKey *key;
	size_t size = sizeof(out);

	sdes_public_key_new(sdes_bytes(modulus, modulus_of(private_key, modulus)), &key);
	is_status(sdes_public_key_encrypt(key, sdes_bytes(message, 446), sealed), SDES_OK,
	          "the longest message");
	ok(EVP_PKEY_decrypt_init(ctx) == 1 &&
	       EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
	       EVP_PKEY_decrypt(ctx, out, &size, sealed, sdes_public_key_size(key)) == 1 &&
	       size == 446 && memcmp(out, message, size) == 0,
	   "OpenSSL decrypts it");
	is_status(sdes_public_key_encrypt(key, SDES_BYTES_OF(message), sealed),
	          SDES_ERR_TOO_LONG, "one byte more");
	EVP_PKEY_CTX_free(ctx);
	sdes_public_key_free(key);
}

/* Some flipped characters read as the same bits (RFC 7468, section 2): lines' ends. */
static void
test_damage(char *pem, size_t first, size_t size)
{
	SdesCertificate good, bad;
	long failed = 0, total = 0;

	sdes_certificate_read_site(sdes_bytes(pem, size), &good);
	for (size_t i = 100; i < first - 100; i += 7)
	{
		pem[i] ^= 1;
		if (sdes_certificate_read_site(sdes_bytes(pem, size), &bad) == SDES_OK)
		{
			failed += memcmp(good.fingerprint, bad.fingerprint, SDES_DIGEST_SIZE) != 0;
			sdes_certificate_free(&bad);
		}
		pem[i] ^= 1;
		total++;
	}
	none_failed(failed, total, "what is damaged is refused");
	sdes_certificate_free(&good);
}

/* A certificate of a hybrid site: the first, second or third. */
static size_t
certify_hybrid(int which, EVP_PKEY *subject, SdesBytes kem, EVP_PKEY *issuer, char *pem,
               size_t at)
{
	uint8_t modulus[SDES_RSA_SIZE_MAX], digest[SDES_DIGEST_SIZE];
	uint8_t signature[SDES_RSA_SIZE_MAX];
	SdesCertificateSpec spec = {.name = "stores", .hybrid = true, .serial = {1}};
	SdesCertificateDraft *draft;
	size_t used = 0;

	spec.modulus = sdes_bytes(modulus, modulus_of(subject, modulus));
	spec.kem = which == 3 ? kem : sdes_bytes(NULL, 0);
	memcpy(spec.subject_id, which == 1 ? site_id : other_id, sizeof(site_id));
	memcpy(spec.issuer_id, site_id, sizeof(site_id));
	if (sdes_certificate_draft(&spec, &draft, digest) != SDES_OK ||
	    sdes_certificate_finish(draft,
	                            sdes_bytes(signature, sign(issuer, digest, signature)),
	                            pem + at, PEM_MAX - at, &used) != SDES_OK)
		abort();
	sdes_certificate_draft_free(draft);
	return at + used;
}

/* What a site with that key makes of a parcel's content key is what the sender has. */
static void
test_hybrid_key(EVP_PKEY *private_key, const char *pem, size_t size, SdesBytes root)
{
	static uint8_t field[SDES_PARCEL_WRAPPED_MAX], payload[SDES_RSA_SIZE_MAX];
	uint8_t there[SDES_PARCEL_KEY_SIZE], back[SDES_PARCEL_KEY_SIZE];
	SdesParcel parcel = {.wrap = SDES_WRAP_HYBRID, .id = {7}};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(private_key, NULL);
	SdesCertificate site;
	size_t field_size = 0, payload_size = sizeof(payload);

	sdes_certificate_read_site(sdes_bytes(pem, size), &site);
	is_status(sdes_parcel_wrap_hybrid(&parcel, &site, there, field, &field_size), SDES_OK,
	          "a content key for a hybrid site");
	parcel.wrapped[0] = sdes_bytes(field, field_size);
	ok(EVP_PKEY_decrypt_init(ctx) == 1 &&
	       EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
	       EVP_PKEY_decrypt(ctx, payload, &payload_size,
	                        sdes_parcel_wrapped_secret(&parcel).data + 2, 512) == 1 &&
	       payload_size == 64,
	   "its first secret");
	is_status(sdes_parcel_hybrid_key(&parcel, sdes_bytes(payload, SDES_PARCEL_KEY_SIZE),
	                                 root, back),
	          SDES_OK, "the content key again");
	ok(memcmp(there, back, sizeof(there)) == 0, "the same");
	ok(memcmp(there, payload, sizeof(there)) != 0, "which is not the first secret");
	field[3] ^= 1;
	sdes_parcel_hybrid_key(&parcel, sdes_bytes(payload, SDES_PARCEL_KEY_SIZE), root, back);
	ok(memcmp(there, back, sizeof(there)) != 0, "of another ciphertext, another one");
	EVP_PKEY_CTX_free(ctx);
	sdes_certificate_free(&site);
}

static void
test_hybrid(EVP_PKEY *site, EVP_PKEY *other)
{
	static uint8_t kem[SDES_KEM_PUBLIC_SIZE] = {1, 2, 3};
	uint8_t root[SDES_KEM_ROOT_SIZE] = {4, 5, 6};
	SdesBytes public_key = SDES_BYTES_OF(kem);
	SdesCertificate read;
	char pem[PEM_MAX];
	size_t two, size;

	if (sdes_kem_available())
		sdes_kem_public(SDES_BYTES_OF(root), kem);
	two = certify_hybrid(1, site, public_key, site, pem, 0);
	two = certify_hybrid(2, other, public_key, site, pem, two);
	size = certify_hybrid(3, other, public_key, site, pem, two);
	is_status(sdes_certificate_read_site(sdes_bytes(pem, size), &read), SDES_OK,
	          "a hybrid site's certificate");
	ok(read.hybrid && memcmp(read.kem, kem, sizeof(kem)) == 0, "its ML-KEM key");
	sdes_certificate_free(&read);
	is_status(read_site(pem, two), SDES_ERR_FORMAT, "without its third");
	if (sdes_kem_available())
		test_hybrid_key(other, pem, size, SDES_BYTES_OF(root));
	size = certify_hybrid(3, other, public_key, other, pem, two);
	is_status(read_site(pem, size), SDES_ERR_TAG, "a third that another signed");
	size =
	    certify_hybrid(3, other, sdes_bytes(kem, SDES_KEM_PUBLIC_SIZE - 1), site, pem, two);
	is_status(read_site(pem, size), SDES_ERR_FORMAT, "a third of another size");
	size = certify_hybrid(2, other, public_key, site, pem, two);
	is_status(read_site(pem, size), SDES_ERR_FORMAT, "a third that is none");
}

int
main(void)
{
	EVP_PKEY *site = new_key(4096), *other = new_key(4096);
	char pem[PEM_MAX];
	size_t first = certify(site, false, site, pem, 0);
	size_t size = certify(other, true, site, pem, first);

	test_site(pem, first, size);
	test_damage(pem, first, size);
	test_bad_signers(site, other);
	test_small(site);
	test_encryption(other);
	test_hybrid(site, other);
	EVP_PKEY_free(site);
	EVP_PKEY_free(other);
	return done_testing();
}
