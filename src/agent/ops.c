/*
 * ops.c
 *		The agent's operations on keys, in terms of the provider's.
 *
 * Invariant: a DEK is in locked memory from its first byte to its last, and
 * leaves this file wrapped or in a reply, whoever asked for it. One that a request
 * brings (DEK_WRAP) is its job's, in locked memory too.
 */
#include "agent/ops.h"

#include "crypto/kdf.h"

#include <stdio.h>
#include <string.h>

_Static_assert(SDES_HSM_KEY_ID_SIZE == SDES_KEK_ID_SIZE, "one size of KEK ids");
_Static_assert(SDES_HSM_DEK_SIZE == SDES_DEK_SIZE, "one size of DEKs");
_Static_assert(SDES_HSM_BLOB_MAX == SDES_WRAPPED_MAX, "one size of wrapped DEKs");
_Static_assert((int) SDES_HSM_AES_256 == (int) SDES_KEK_AES_256 &&
                   (int) SDES_HSM_RSA_4096 == (int) SDES_KEK_RSA_4096 &&
                   (int) SDES_HSM_RSA_4096_SIGN == (int) SDES_KEK_RSA_4096_SIGN &&
                   (int) SDES_HSM_P256_SIGN == (int) SDES_KEK_P256_SIGN,
               "one numbering of kinds of KEKs");
_Static_assert(SDES_HSM_RSA_SIZE == SDES_RSA_4096_SIZE, "one size of RSA keys");
_Static_assert(SDES_HSM_DETAIL_MAX == SDES_DETAIL_MAX, "one size of details");

#define RETRIES 1 /* on a new session each */

/* The binding's bytes and what the provider wants of it; aad points into it. */
typedef struct Binding
{
	uint8_t bytes[SDES_DEK_BINDING_SIZE];
	SdesHsmWrap wrap;
} Binding;

static void
make_binding(const SdesDekBinding *binding, Binding *out)
{
	sdes_dek_binding_encode(binding, out->bytes);
	memcpy(out->wrap.kek_id, binding->kek_id, sizeof(out->wrap.kek_id));
	out->wrap.aad = SDES_BYTES_OF(out->bytes);
}

static void
set_mechanism(SdesReply *reply, const char *mechanism)
{
	strncpy(reply->mechanism, mechanism, sizeof(reply->mechanism) - 1);
}

/* The token's random bytes XOR ours: as strong as the better of the two. */
static SdesStatus
draw_dek(SdesOps *ops, SdesSecret *dek, SdesHsmFault *fault)
{
	SdesSecret ours;
	SdesStatus status = sdes_secret_new(&ours, SDES_DEK_SIZE);

	if (status == SDES_OK)
		status = sdes_secret_new(dek, SDES_DEK_SIZE);
	if (status == SDES_OK)
		status = sdes_random(ours.data, ours.size);
	if (status != SDES_OK)
		sdes_hsm_fault(fault, status, "%s", sdes_status_name(status));
	else
		status = ops->provider->random(ops->session, dek->data, dek->size, fault);
	for (size_t i = 0; status == SDES_OK && i < SDES_DEK_SIZE; i++)
		dek->data[i] ^= ours.data[i];
	sdes_secret_free(&ours);
	return status;
}

/* Blob and commitment of a DEK for what it is bound to. */
static SdesStatus
wrap_dek(SdesOps *ops, const SdesDekBinding *bound, SdesBytes dek, SdesReply *reply,
         SdesHsmFault *fault)
{
	SdesHsmBlob blob = {0};
	Binding binding;
	SdesStatus status = sdes_dek_commitment(dek, bound, reply->commitment);

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "%s", sdes_status_name(status));
	make_binding(bound, &binding);
	status = ops->provider->dek_wrap(ops->session, &binding.wrap, dek, &blob, fault);
	if (status == SDES_OK)
	{
		reply->wrapped_size = blob.size;
		memcpy(reply->wrapped, blob.data, blob.size);
	}
	return status;
}

static SdesStatus
dek_create(SdesOps *ops, const SdesRequest *request, SdesReply *reply, SdesHsmFault *fault)
{
	SdesSecret dek = {NULL, 0};
	SdesStatus status = draw_dek(ops, &dek, fault);

	if (status == SDES_OK)
		status = wrap_dek(ops, &request->binding, sdes_secret_bytes(&dek), reply, fault);
	sdes_secret_free(&dek);
	return status;
}

static SdesStatus
dek_unwrap(SdesOps *ops, const SdesRequest *request, SdesReply *reply, SdesSecret *dek,
           SdesHsmFault *fault)
{
	Binding binding;
	SdesStatus status;

	make_binding(&request->binding, &binding);
	status = ops->provider->dek_unwrap(ops->session, &binding.wrap,
	                                   sdes_bytes(request->wrapped, request->wrapped_size),
	                                   dek, fault);
	if (status == SDES_OK)
		reply->dek = sdes_secret_bytes(dek);
	return status;
}

static SdesStatus
kek_list(SdesOps *ops, const SdesRequest *request, SdesReply *reply, SdesHsmFault *fault)
{
	SdesHsmKekList list = {0, SDES_KEK_LIST_MAX, reply->keks};
	SdesStatus status = ops->provider->kek_list(ops->session, request->label,
	                                            request->kek_id, &list, fault);

	reply->nkeks = (uint16_t) list.count;
	return status;
}

static SdesStatus
kek_create(SdesOps *ops, const SdesRequest *request, SdesReply *reply,
           const char **mechanism, SdesHsmFault *fault)
{
	SdesHsmNewKek spec = {request->label, (SdesHsmKekKind) request->kind, request->seals};

	return ops->provider->kek_create(ops->session, &spec, reply->kek_id, mechanism, fault);
}

static SdesStatus
sign_or_show(SdesOps *ops, const SdesRequest *request, SdesReply *reply,
             SdesHsmFault *fault)
{
	SdesHsmPublic public = {0};
	SdesStatus status =
	    request->op == SDES_OP_SIGN
	        ? ops->provider->sign(ops->session, request->kek_id, request->digest, &public,
	                              fault)
	        : ops->provider->public_key(ops->session, request->kek_id, &public, fault);

	if (status == SDES_OK)
	{
		reply->public_size = public.size;
		memcpy(reply->public, public.data, public.size);
	}
	return status;
}

static SdesStatus
run_op(SdesOps *ops, const SdesRequest *request, SdesReply *reply, SdesOpsMemory *memory,
       SdesHsmFault *fault)
{
	const char *mechanism = "";
	SdesStatus status;

	switch (request->op)
	{
		case SDES_OP_KEK_CREATE:
			status = kek_create(ops, request, reply, &mechanism, fault);
			set_mechanism(reply, mechanism);
			return status;
		case SDES_OP_KEK_CHECK:
			status =
			    ops->provider->kek_check(ops->session, request->kek_id, &mechanism, fault);
			set_mechanism(reply, mechanism);
			return status;
		case SDES_OP_KEK_DESTROY:
			return ops->provider->kek_destroy(ops->session, request->kek_id, fault);
		case SDES_OP_KEK_LIST:
			return kek_list(ops, request, reply, fault);
		case SDES_OP_DEK_CREATE:
			return dek_create(ops, request, reply, fault);
		case SDES_OP_DEK_WRAP:
			return wrap_dek(ops, &request->binding, request->dek, reply, fault);
		case SDES_OP_DEK_UNWRAP:
			return dek_unwrap(ops, request, reply, &memory->dek, fault);
		case SDES_OP_PUBLIC_KEY:
		case SDES_OP_SIGN:
			return sign_or_show(ops, request, reply, fault);
		case SDES_OP_SEAL:
		case SDES_OP_OPEN:
			return sdes_batch_run(&memory->batch, ops, request, reply, fault);
		default: /* the main thread answers the others itself */
			return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "not an operation of a worker");
	}
}

void
sdes_ops_close(SdesOps *ops)
{
	ops->provider->session_close(ops->session);
	ops->session = NULL;
}

/*
 * Whether it is the token, its login or its session that is to blame, and not
 * the key, the blob or the value: then a new session may do.
 */
static bool
is_infrastructure(SdesStatus status, const SdesHsmFault *fault)
{
	switch (status)
	{
		case SDES_ERR_HSM:
		case SDES_ERR_HSM_MODULE:
		case SDES_ERR_HSM_TOKEN:
		case SDES_ERR_HSM_PIN:
		case SDES_ERR_HSM_PIN_LOCKED:
			return true;
		case SDES_ERR_MEMORY:
			return fault->code != 0; /* CKR_HOST_MEMORY: the module's */
		default:
			return fault->lost;
	}
}

/* Whether the token answers, and is the one that was logged in to. */
static SdesStatus
same_token(SdesOps *ops, SdesHsmFault *fault)
{
	SdesHsmTokenInfo token;
	SdesStatus status;

	if (ops->mute)
		return SDES_OK;
	status = ops->provider->token_info(ops->hsm, &token, fault);
	if (status == SDES_OK && strcmp(token.serial, ops->token->serial) != 0)
		status =
		    sdes_hsm_fault(fault, SDES_ERR_HSM_TOKEN,
		                   "the token was replaced by one of serial \"%s\"", token.serial);
	return status;
}

SdesStatus
sdes_ops_probe(SdesOps *ops, const uint8_t *kek, SdesHsmFault *fault)
{
	const char *mechanism;
	uint8_t bytes[16];
	SdesStatus status = same_token(ops, fault);

	if (status == SDES_OK && ops->session == NULL)
		status = ops->provider->session_open(ops->hsm, &ops->session, fault);
	if (status == SDES_OK)
		status = ops->provider->random(ops->session, bytes, sizeof(bytes), fault);
	if (status == SDES_OK && kek != NULL)
	{
		status = ops->provider->kek_check(ops->session, kek, &mechanism, fault);
		if (status != SDES_OK && !is_infrastructure(status, fault))
			status = SDES_OK;
	}
	sdes_ops_close(ops);
	return status;
}

const uint8_t *
sdes_ops_kek(const SdesRequest *request, const SdesReply *reply)
{
	switch (request->op)
	{
		case SDES_OP_KEK_CREATE:
			return reply->kek_id;
		case SDES_OP_DEK_CREATE:
		case SDES_OP_DEK_UNWRAP:
		case SDES_OP_DEK_WRAP:
			return request->binding.kek_id;
		default:
			return request->kek_id;
	}
}

/* Whether a token can be proved by the key that a request has used. */
static bool
uses_kek(const SdesRequest *request)
{
	switch (request->op)
	{
		case SDES_OP_KEK_LIST:
		case SDES_OP_KEK_DESTROY:
		case SDES_OP_PUBLIC_KEY:
		case SDES_OP_SIGN:
			return false;
		case SDES_OP_KEK_CREATE:
			return request->kind < SDES_KEK_RSA_4096_SIGN;
		default:
			return true;
	}
}

bool
sdes_ops_wants_key(const SdesRequest *request)
{
	return uses_kek(request) && request->op != SDES_OP_KEK_CREATE &&
	       request->op != SDES_OP_KEK_CHECK;
}

/* One try. The session is closed unless that goes well. */
static void
try_op(SdesOps *ops, const SdesRequest *request, SdesReply *reply, SdesOpsMemory *memory,
       SdesHsmFault *fault)
{
	memset(reply, 0, sizeof(*reply));
	memset(fault, 0, sizeof(*fault));
	reply->op = request->op;
	if (ops->session == NULL)
		reply->status = ops->provider->session_open(ops->hsm, &ops->session, fault);
	if (reply->status == SDES_OK)
		reply->status = run_op(ops, request, reply, memory, fault);
	/* An operation may have stayed active in the session. */
	if (reply->status != SDES_OK)
		sdes_ops_close(ops);
}

/* NSS, for one, gives every token a serial number of zeros. */
bool
sdes_ops_knows_token(const SdesOps *ops)
{
	return !ops->mute && ops->token->serial[strspn(ops->token->serial, "0")] != '\0';
}

/* A missing key may mean that the token is another one: says which was looked at. */
static SdesOpsOutcome
look_at_token(SdesOps *ops, SdesReply *reply, SdesHsmFault *fault)
{
	size_t used = strlen(fault->detail);

	if (reply->status != SDES_ERR_HSM_KEY_MISSING)
		return SDES_OPS_NEUTRAL;
	reply->status = same_token(ops, fault);
	if (reply->status != SDES_OK)
		return SDES_OPS_LOST;
	reply->status = SDES_ERR_HSM_KEY_MISSING;
	snprintf(fault->detail + used, sizeof(fault->detail) - used,
	         " (token \"%s\", serial \"%s\")", ops->token->label, ops->token->serial);
	return SDES_OPS_MISSING;
}

SdesOpsOutcome
sdes_ops_run(SdesOps *ops, const SdesRequest *request, SdesReply *reply,
             SdesOpsMemory *memory)
{
	SdesOpsOutcome outcome = SDES_OPS_FAILED;
	SdesHsmFault fault, unused;

	for (int attempt = 0; attempt <= RETRIES && outcome == SDES_OPS_FAILED; attempt++)
	{
		try_op(ops, request, reply, memory, &fault);
		if (reply->status == SDES_OK)
			return uses_kek(request) ? SDES_OPS_SERVED : SDES_OPS_NEUTRAL;
		/* Some tokens have one code for a bad tag and for a bad moment. */
		if (!is_infrastructure(reply->status, &fault) &&
		    (reply->status != SDES_ERR_TAG || attempt == RETRIES))
			outcome = look_at_token(ops, reply, &fault);
	}
	if (outcome == SDES_OPS_FAILED && sdes_ops_probe(ops, NULL, &unused) != SDES_OK)
		outcome = SDES_OPS_LOST;
	reply->ckr = fault.code;
	strcpy(reply->detail, fault.detail);
	return outcome;
}

void
sdes_ops_memory_free(SdesOpsMemory *memory)
{
	sdes_secret_free(&memory->dek);
	sdes_batch_free(&memory->batch);
}
