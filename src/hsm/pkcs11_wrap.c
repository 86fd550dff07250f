/*
 * pkcs11_wrap.c
 *		Wrapping a DEK under a KEK that never leaves the token.
 *
 *		blob:	1	format, SDES_BLOB_FORMAT
 *				1	mechanism, a number from the table below
 *				...	what that mechanism makes of the payload
 *
 * The payload of a mechanism with AAD of its own (AES-GCM) is the DEK, that of
 * the others DEK || HKDF-SHA-256(DEK, info = "sdes/v1/wrap" || aad), 64 bytes:
 * so another aad is refused with every mechanism, and what is malleable is
 * authenticated. The label is frozen, as are the numbers.
 *
 * Mechanisms are proved by a round trip before anything is wrapped by them:
 * a DEK that cannot be unwrapped is all its values lost. 0x210A is none of
 * them, since it means different things in different modules.
 */
#include "hsm/pkcs11.h"

#include "crypto/kdf.h"
#include "crypto/mac.h"

#include <string.h>

#define SDES_BLOB_FORMAT 1
#define TAG_SIZE         32
#define PAYLOAD_SIZE     (SDES_HSM_DEK_SIZE + TAG_SIZE)

/* PKCS#11 v3.0, section 2.14 "AES key wrap"; p11-kit 0.24 has not all of it. */
#define AES_KEY_WRAP     0x2109UL
#define AES_KEY_WRAP_KWP 0x210BUL

#define CRYPTS (CKF_ENCRYPT | CKF_DECRYPT)
#define WRAPS  (CKF_WRAP | CKF_UNWRAP)

/* Without the terminating zero. */
static const char wrap_label[] = "sdes/v1/wrap";

static const SdesPkcs11Mechanism mechanisms[] = {
    {1, "AES-GCM", CKM_AES_GCM, SDES_HSM_AES_256, CRYPTS, true, false, sdes_pkcs11_gcm_wrap,
     sdes_pkcs11_gcm_unwrap},
    {2, "AES-KEY-WRAP-KWP", AES_KEY_WRAP_KWP, SDES_HSM_AES_256, WRAPS, false, false,
     sdes_pkcs11_kw_wrap, sdes_pkcs11_kw_unwrap},
    {3, "AES-KEY-WRAP", AES_KEY_WRAP, SDES_HSM_AES_256, WRAPS, false, false,
     sdes_pkcs11_kw_wrap, sdes_pkcs11_kw_unwrap},
    {4, "AES-CBC-PAD", CKM_AES_CBC_PAD, SDES_HSM_AES_256, CRYPTS, false, true,
     sdes_pkcs11_cbc_wrap, sdes_pkcs11_cbc_unwrap},
    /* Raw in the token: the padding is ours. */
    {5, "RSA-OAEP-SHA256", CKM_RSA_X_509, SDES_HSM_RSA_4096, CKF_DECRYPT, false, false,
     sdes_pkcs11_oaep_wrap, sdes_pkcs11_oaep_unwrap},
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

_Static_assert(MECHANISMS <= SDES_PKCS11_MECHANISMS_MAX, "SdesHsm.offered is too small");

const SdesPkcs11Mechanism *const sdes_pkcs11_gcm = &mechanisms[0];

void
sdes_pkcs11_probe_mechanisms(SdesHsm *hsm)
{
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		CK_MECHANISM_INFO info;

		hsm->offered[i] =
		    hsm->p11->C_GetMechanismInfo(hsm->slot, mechanisms[i].type, &info) == CKR_OK &&
		    (info.flags & mechanisms[i].usage) == mechanisms[i].usage;
	}
}

static bool
would_do(const SdesPkcs11Mechanism *mechanism, const SdesHsmNewKek *spec)
{
	return mechanism->kind == spec->kind && (!spec->seals || mechanism == sdes_pkcs11_gcm);
}

const SdesPkcs11Mechanism *
sdes_pkcs11_next_mechanism(const SdesHsm *hsm, const SdesHsmNewKek *spec,
                           const SdesPkcs11Mechanism *after)
{
	for (size_t i = after == NULL ? 0 : (size_t) (after - mechanisms) + 1; i < MECHANISMS;
	     i++)
	{
		if (hsm->offered[i] && would_do(&mechanisms[i], spec))
			return &mechanisms[i];
	}
	return NULL;
}

SdesStatus
sdes_pkcs11_none_offered(const SdesHsmNewKek *spec, SdesHsmFault *fault)
{
	size_t used;

	if (spec->seals && spec->kind == SDES_HSM_AES_256)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "the token has no AES-GCM, by which values are sealed in it");
	if (spec->seals)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "values are sealed in the token by AES-GCM, under AES keys");
	sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM, "the token offers none of:");
	used = strlen(fault->detail);
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		if (!would_do(&mechanisms[i], spec))
			continue;
		if (used + strlen(mechanisms[i].name) + 1 >= sizeof(fault->detail))
			break;
		fault->detail[used++] = ' ';
		strcpy(fault->detail + used, mechanisms[i].name);
		used += strlen(mechanisms[i].name);
	}
	return SDES_ERR_HSM_MECHANISM;
}

static SdesStatus
make_tag(SdesBytes dek, SdesBytes aad, uint8_t tag[TAG_SIZE], SdesHsmFault *fault)
{
	SdesBytes info[2] = {sdes_bytes(wrap_label, sizeof(wrap_label) - 1), aad};
	SdesStatus status = sdes_hkdf_sha256(dek, sdes_bytes(NULL, 0), info, 2, tag, TAG_SIZE);

	return status == SDES_OK
	           ? SDES_OK
	           : sdes_hsm_fault(fault, status, "%s", sdes_status_name(status));
}

static SdesStatus
wrap_tagged(const SdesPkcs11Context *context, SdesBytes dek, SdesWriter *out,
            SdesHsmFault *fault)
{
	SdesSecret payload;
	SdesStatus status = sdes_secret_new(&payload, PAYLOAD_SIZE);

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no locked memory");
	memcpy(payload.data, dek.data, SDES_HSM_DEK_SIZE);
	status = make_tag(dek, context->aad, payload.data + SDES_HSM_DEK_SIZE, fault);
	if (status == SDES_OK)
		status = context->mechanism->wrap(context, sdes_secret_bytes(&payload), out, fault);
	sdes_secret_free(&payload);
	return status;
}

static SdesStatus
wrap_dek(const SdesPkcs11Context *context, SdesBytes dek, SdesHsmBlob *out,
         SdesHsmFault *fault)
{
	SdesWriter w = sdes_writer(out->data, sizeof(out->data));
	SdesStatus status;

	out->size = 0;
	sdes_write_u8(&w, SDES_BLOB_FORMAT);
	sdes_write_u8(&w, context->mechanism->number);
	status = context->mechanism->has_aad ? context->mechanism->wrap(context, dek, &w, fault)
	                                     : wrap_tagged(context, dek, &w, fault);
	if (status != SDES_OK)
		return status;
	if (w.failed)
		return sdes_hsm_fault(fault, SDES_ERR_TOO_LONG, "the wrapped key is too long");
	out->size = sizeof(out->data) - w.left;
	return SDES_OK;
}

static SdesStatus
check_tag(const SdesPkcs11Context *context, const SdesSecret *payload, SdesHsmFault *fault)
{
	uint8_t tag[TAG_SIZE];
	SdesStatus status =
	    make_tag(sdes_bytes(payload->data, SDES_HSM_DEK_SIZE), context->aad, tag, fault);

	if (status == SDES_OK && !sdes_equal(tag, payload->data + SDES_HSM_DEK_SIZE, TAG_SIZE))
		status = sdes_hsm_fault(fault, SDES_ERR_TAG, "the wrapped key is not authentic");
	sdes_wipe(tag, sizeof(tag));
	return status;
}

/* The rest of a blob, whose header was read. */
static SdesStatus
unwrap_dek(const SdesPkcs11Context *context, SdesReader *in, SdesSecret *out,
           SdesHsmFault *fault)
{
	const SdesPkcs11Mechanism *mechanism = context->mechanism;
	SdesSecret payload = {NULL, 0};
	SdesStatus status = sdes_secret_new(out, SDES_HSM_DEK_SIZE);

	if (status == SDES_OK)
		status = sdes_secret_new(&payload,
		                         mechanism->has_aad ? SDES_HSM_DEK_SIZE : PAYLOAD_SIZE);
	if (status != SDES_OK)
		sdes_hsm_fault(fault, status, "no locked memory");
	else
		status = mechanism->unwrap(context, in, &payload, fault);
	if (status == SDES_OK && !mechanism->has_aad)
		status = check_tag(context, &payload, fault);
	if (status == SDES_OK)
		memcpy(out->data, payload.data, SDES_HSM_DEK_SIZE);
	else
		sdes_secret_free(out);
	sdes_secret_free(&payload);
	return status;
}

/* A round trip of random bytes. With spoil, the aad is another one at the unwrap. */
static SdesStatus
trip(SdesPkcs11Context *context, bool spoil, SdesHsmFault *fault)
{
	uint8_t aad[] = "round trip", plain[SDES_HSM_DEK_SIZE];
	SdesSecret back = {NULL, 0};
	SdesHsmBlob blob;
	SdesReader r;
	SdesStatus status = sdes_random(plain, sizeof(plain)); /* no secret: never used */

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no random bytes");
	context->aad = SDES_BYTES_OF(aad);
	status = wrap_dek(context, SDES_BYTES_OF(plain), &blob, fault);
	if (status != SDES_OK)
		return status;
	aad[0] ^= spoil;
	r = sdes_reader(sdes_bytes(blob.data, blob.size));
	sdes_read_bytes(&r, 2);
	status = unwrap_dek(context, &r, &back, fault);
	if (status == SDES_OK && !sdes_equal(back.data, plain, sizeof(plain)))
		status = sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                        "%s: what came back is not what was wrapped",
		                        context->mechanism->name);
	sdes_secret_free(&back);
	return status;
}

/* In a session of its own, since the one at hand may be in the middle of something. */
static SdesStatus
round_trip(SdesHsm *hsm, SdesPkcs11Key *key, const SdesPkcs11Mechanism *mechanism,
           bool spoil, SdesHsmFault *fault)
{
	SdesPkcs11Context context = {hsm, CK_INVALID_HANDLE, key, {NULL, 0}, mechanism};
	SdesStatus status = sdes_pkcs11_session(hsm, false, &context.handle, fault);

	if (status != SDES_OK)
		return status;
	status = trip(&context, spoil, fault);
	hsm->p11->C_CloseSession(context.handle);
	return status;
}

/* Gets its own back, and refuses it under another aad. */
static SdesStatus
prove_mechanism(SdesHsm *hsm, SdesPkcs11Key *key, const SdesPkcs11Mechanism *mechanism,
                SdesHsmFault *fault)
{
	SdesHsmFault expected;
	SdesStatus status = round_trip(hsm, key, mechanism, false, fault);

	if (status == SDES_OK && round_trip(hsm, key, mechanism, true, &expected) == SDES_OK)
		status = sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                        "%s of the token does not authenticate its AAD",
		                        mechanism->name);
	return status;
}

SdesStatus
sdes_pkcs11_prove(SdesHsm *hsm, SdesPkcs11Key *key, const SdesPkcs11Mechanism *only,
                  SdesHsmFault *fault)
{
	SdesHsmNewKek spec = {"", key->kind, false};
	SdesStatus status;

	if (key->proven != NULL)
		return SDES_OK;
	status = sdes_pkcs11_none_offered(&spec, fault);
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		if (!hsm->offered[i] || (only != NULL && only != &mechanisms[i]) ||
		    mechanisms[i].kind != key->kind || mechanisms[i].usage != key->usage)
			continue;
		status = prove_mechanism(hsm, key, &mechanisms[i], fault);
		if (status != SDES_OK)
			continue;
		key->proven = &mechanisms[i];
		return SDES_OK;
	}
	return status;
}

static SdesStatus
wrap_proven(SdesPkcs11Context *context, SdesBytes dek, SdesHsmBlob *out,
            SdesHsmFault *fault)
{
	SdesStatus status = sdes_pkcs11_prove(context->hsm, context->key, NULL, fault);

	context->mechanism = context->key->proven;
	return status == SDES_OK ? wrap_dek(context, dek, out, fault) : status;
}

SdesStatus
sdes_pkcs11_dek_wrap(SdesHsmSession *session, const SdesHsmWrap *wrap, SdesBytes dek,
                     SdesHsmBlob *out, SdesHsmFault *fault)
{
	SdesPkcs11Context context;
	SdesStatus status;
	int tries = 0;

	if (dek.size != SDES_HSM_DEK_SIZE)
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "a DEK has 32 bytes");
	do
	{
		status = sdes_pkcs11_session_key(session, wrap, &context, fault);
		if (status == SDES_OK)
			status = wrap_proven(&context, dek, out, fault);
	} while (status != SDES_OK && sdes_pkcs11_key_stale(context.key, fault) &&
	         tries++ == 0);
	return status;
}

SdesStatus
sdes_pkcs11_settle_blame(const SdesPkcs11Context *context, SdesStatus status,
                         SdesHsmFault *fault)
{
	bool doubtful = status == SDES_ERR_TAG ? context->mechanism->malleable
	                                       : status == SDES_ERR_HSM &&
	                                             sdes_pkcs11_may_say_tampered(fault->code);
	SdesHsmFault unused;

	if (!doubtful ||
	    prove_mechanism(context->hsm, context->key, context->mechanism, &unused) != SDES_OK)
		return status;
	return sdes_hsm_fault(fault, SDES_ERR_TAG, "what was wrapped is not authentic");
}

/* The mechanism that a blob names, after whose number *r stands then. */
static SdesStatus
read_header(SdesReader *r, const SdesPkcs11Mechanism **mechanism, SdesHsmFault *fault)
{
	uint8_t format = sdes_read_u8(r);
	uint8_t number = sdes_read_u8(r);

	if (r->failed)
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the wrapped key is too short");
	if (format != SDES_BLOB_FORMAT)
		return sdes_hsm_fault(fault, SDES_ERR_SUITE,
		                      "the wrapped key has an unknown format");
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		*mechanism = &mechanisms[i];
		if (mechanisms[i].number == number)
			return SDES_OK;
	}
	return sdes_hsm_fault(fault, SDES_ERR_SUITE,
	                      "the key was wrapped by a mechanism this version does not know");
}

static SdesStatus
unwrap_once(SdesPkcs11Context *context, SdesBytes blob, SdesSecret *out,
            SdesHsmFault *fault)
{
	SdesReader r = sdes_reader(blob);
	SdesStatus status = read_header(&r, &context->mechanism, fault);

	if (status != SDES_OK)
		return status;
	if (context->mechanism->kind != context->key->kind ||
	    context->mechanism->usage != context->key->usage)
		return sdes_hsm_fault(fault, SDES_ERR_TAG, "this key wraps nothing by %s",
		                      context->mechanism->name);
	status = unwrap_dek(context, &r, out, fault);
	return status == SDES_OK ? SDES_OK : sdes_pkcs11_settle_blame(context, status, fault);
}

SdesStatus
sdes_pkcs11_dek_unwrap(SdesHsmSession *session, const SdesHsmWrap *wrap, SdesBytes blob,
                       SdesSecret *out, SdesHsmFault *fault)
{
	SdesPkcs11Context context;
	SdesStatus status;
	int tries = 0;

	*out = (SdesSecret){NULL, 0};
	do
	{
		status = sdes_pkcs11_session_key(session, wrap, &context, fault);
		if (status == SDES_OK)
			status = unwrap_once(&context, blob, out, fault);
	} while (status != SDES_OK && sdes_pkcs11_key_stale(context.key, fault) &&
	         tries++ == 0);
	return status;
}
