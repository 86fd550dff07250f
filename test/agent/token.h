/*
 * token.h
 *		The token under test, entered by the test program itself, through the
 *		provider's functions and below them.
 */
#ifndef SDES_TEST_TOKEN_H
#define SDES_TEST_TOKEN_H

#include "fixture.h"
#include "hsm/pkcs11.h"

typedef struct Token
{
	Fixture *fixture; /* its folder; no agent runs there */
	const SdesHsmProvider *provider;
	SdesHsm *hsm;
	SdesHsmSession *session;
	SdesHsmFault fault; /* of the last call */
} Token;

/* A new token, logged in, reached through p11_own_iv.so. */
extern Token *token_new(void);
/* The token of a fixture, whose agent may be using it. */
extern Token *token_of(Fixture *f);
extern void token_free(Token *t);
/* A new session, as after a failure. */
extern void token_renew(Token *t);

/* Only this mechanism is offered; NULL: as the module says. False when it is not. */
extern bool token_only(Token *t, const char *name);

/*
 * Import a key as a KEK would look, with C_CreateObject: AES of value.size bytes
 * and the usages (CKF_ENCRYPT ...), or the private half of an RSA key.
 */
extern bool token_import_aes(Token *t, const uint8_t id[SDES_KEK_ID_SIZE], SdesBytes value,
                             CK_FLAGS usage, CK_OBJECT_HANDLE *out);
typedef struct RsaParts
{
	SdesBytes n, e, d, p, q, dp, dq, qi;
} RsaParts;
extern bool token_import_rsa(Token *t, const uint8_t id[SDES_KEK_ID_SIZE],
                             const RsaParts *parts, CK_OBJECT_HANDLE *out);
/* A public RSA key with that id; any modulus. */
extern bool token_plant_public(Token *t, const uint8_t id[SDES_KEK_ID_SIZE],
                               SdesBytes modulus);
/* Objects with that id, of whatever class. */
extern int token_count(Token *t, const uint8_t id[SDES_KEK_ID_SIZE]);

#endif
