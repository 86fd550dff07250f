/*
 * sign_tests.c
 *		Keys that sign: made, used, and kept apart from those that encrypt.
 */
#include "crypto/public_key.h"
#include "tests.h"

#include "fixture.h"

#include <string.h>

static SdesStatus
signer_create(Fixture *f, uint8_t kind, uint8_t id[SDES_KEK_ID_SIZE])
{
	SdesRequest create = {.op = SDES_OP_KEK_CREATE, .label = "sdes/signer", .kind = kind};
	SdesStatus status = ask(f, &create, 30000);

	memcpy(id, f->reply.kek_id, SDES_KEK_ID_SIZE);
	return status;
}

static SdesStatus
sign(Fixture *f, const uint8_t id[SDES_KEK_ID_SIZE],
     const uint8_t digest[SDES_SIGN_DIGEST_SIZE])
{
	SdesRequest request = {.op = SDES_OP_SIGN};

	memcpy(request.kek_id, id, SDES_KEK_ID_SIZE);
	memcpy(request.digest, digest, SDES_SIGN_DIGEST_SIZE);
	return ask(f, &request, 5000);
}

static void
test_signature(Fixture *f, const uint8_t id[SDES_KEK_ID_SIZE])
{
	uint8_t digest[SDES_SIGN_DIGEST_SIZE] = {1, 2, 3};
	SdesPublicKey *key = NULL;
	SdesBytes public, signature;

	check_status(kek_op(f, SDES_OP_PUBLIC_KEY, id), SDES_OK, "PUBLIC_KEY");
	public = sdes_bytes(f->reply.public, f->reply.public_size);
	check_status(public.size == SDES_P256_POINT_SIZE
	                 ? sdes_public_key_of_point(public, &key)
	                 : sdes_public_key_new(public, &key),
	             SDES_OK, "it is a public key");
	check_status(sign(f, id, digest), SDES_OK, "SIGN");
	signature = sdes_bytes(f->reply.public, f->reply.public_size);
	check_status(sdes_public_key_verify(key, digest, signature), SDES_OK,
	             "the signature is right");
	f->reply.public[50] ^= 1;
	check_status(sdes_public_key_verify(key, digest, signature), SDES_ERR_TAG,
	             "and would not be with another bit");
	f->reply.public[50] ^= 1;
	digest[0] ^= 1;
	check_status(sdes_public_key_verify(key, digest, signature), SDES_ERR_TAG,
	             "nor of another digest");
	sdes_public_key_free(key);
}

/* A key that signs wraps nothing; one that wraps signs nothing. */
static void
test_apart(Fixture *f, const uint8_t signer[SDES_KEK_ID_SIZE])
{
	SdesRequest create = {
	    .op = SDES_OP_KEK_CREATE, .label = "sdes/rsa", .kind = SDES_KEK_RSA_4096};
	uint8_t digest[SDES_SIGN_DIGEST_SIZE] = {1}, rsa[SDES_KEK_ID_SIZE];
	uint8_t aes[SDES_KEK_ID_SIZE];
	SdesDekBinding binding = make_binding(signer);
	SdesRequest unwrap;

	check(dek_create(f, &binding, &unwrap) != SDES_OK, "DEK_CREATE under a signer");
	check(kek_op(f, SDES_OP_KEK_CHECK, signer) != SDES_OK, "KEK_CHECK of a signer");
	check_status(ask(f, &create, 30000), SDES_OK, "an RSA key that wraps");
	memcpy(rsa, f->reply.kek_id, sizeof(rsa));
	check_status(sign(f, rsa, digest), SDES_ERR_HSM_KEY_UNSAFE, "SIGN with it");
	check_status(kek_op(f, SDES_OP_PUBLIC_KEY, rsa), SDES_OK, "PUBLIC_KEY of it");
	check_status(kek_create(f, "sdes/aes", aes), SDES_OK, "an AES key");
	check_status(sign(f, aes, digest), SDES_ERR_HSM_KEY_UNSAFE, "SIGN with it");
	check_status(kek_op(f, SDES_OP_PUBLIC_KEY, aes), SDES_ERR_HSM_KEY_UNSAFE,
	             "PUBLIC_KEY of it");
}

static void
test_faults(Fixture *f, uint8_t kind, const uint8_t signer[SDES_KEK_ID_SIZE])
{
	uint8_t digest[SDES_SIGN_DIGEST_SIZE] = {1}, id[SDES_KEK_ID_SIZE];
	uint8_t missing[SDES_KEK_ID_SIZE] = {9};
	uint8_t first[SDES_KEK_ID_SIZE] = {0};
	SdesRequest list = {.op = SDES_OP_KEK_LIST, .label = "sdes/signer"};
	int before;

	check_status(sign(f, missing, digest), SDES_ERR_HSM_KEY_MISSING,
	             "SIGN with a missing key");
	memcpy(list.kek_id, first, sizeof(first));
	ask(f, &list, 5000);
	before = f->reply.nkeks;
	fixture_rule(f, "C_SignInit 0x54\n"); /* CKR_FUNCTION_NOT_SUPPORTED */
	check(signer_create(f, kind, id) != SDES_OK,
	      "a token that makes signers and does not sign");
	check(sign(f, signer, digest) != SDES_OK, "SIGN there");
	fixture_rule(f, NULL);
	for (int i = 0; i < 100 && sign(f, signer, digest) != SDES_OK; i++)
		sleep_ms(50);
	check_status(f->reply.status, SDES_OK, "the agent recovers");
	ask(f, &list, 5000);
	check(f->reply.nkeks == before, "nothing stays of the key that failed");
}

static void
test_kind(Fixture *f, uint8_t kind, const char *mechanism)
{
	uint8_t id[SDES_KEK_ID_SIZE];

	check_status(signer_create(f, kind, id), SDES_OK, "KEK_CREATE of a signer");
	check(strcmp(f->reply.mechanism, mechanism) == 0, "%s", mechanism);
	test_signature(f, id);
	test_apart(f, id);
	test_faults(f, kind, id);
	check_status(kek_op(f, SDES_OP_KEK_DESTROY, id), SDES_OK, "KEK_DESTROY of the signer");
	check_status(kek_op(f, SDES_OP_PUBLIC_KEY, id), SDES_ERR_HSM_KEY_MISSING,
	             "nothing is left of it");
}

void
sign_tests(void)
{
	Fixture *f = fixture_new();

	agent_start(f);
	wait_state(f, SDES_AGENT_READY, SDES_OK);
	test_kind(f, SDES_KEK_RSA_4096_SIGN, "RSA-PKCS1-SHA256");
	test_kind(f, SDES_KEK_P256_SIGN, "ECDSA-P256-SHA256");
	fixture_free(f);
}
