/*
 * key_tests.c
 *		KEKs and DEKs: made, listed, wrapped, unwrapped, destroyed; and what is
 *		not what was wrapped is refused.
 */
#include "tests.h"
#include "token.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A larger mapping is a sanitizer's shadow. */
#define SEARCH_MAX (1UL << 30)

#define WRAPPED_SIZE 62 /* format, mechanism, IV, DEK, tag */

static void
test_status(Fixture *f)
{
	const SdesAgentInfo *info = &f->reply.info;

	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "the agent becomes ready");
	check(info->pid == (uint32_t) f->agent, "STATUS: the agent's pid");
	check(info->logins == 1, "STATUS: one login");
	check(strcmp(info->token_label, "sdes") == 0, "STATUS: the token's label");
	check(strlen(info->token_serial) == 16, "STATUS: the token's serial number");
	check(strstr(info->token_model, fixture_is_nss() ? "NSS" : "SoftHSM") != NULL,
	      "STATUS: the token's model");
	check(access(fixture_path(f, "state/pin_latch"), F_OK) != 0,
	      "no PIN latch stays behind after a good login");
}

static void
test_keks(Fixture *f, uint8_t kek[SDES_KEK_ID_SIZE])
{
	uint8_t missing[SDES_KEK_ID_SIZE] = {1};

	check_status(kek_create(f, "sdes/a/1", kek), SDES_OK, "KEK_CREATE");
	check(strcmp(f->reply.mechanism, "AES-GCM") == 0, "KEK_CREATE: the mechanism");
	check_status(kek_op(f, SDES_OP_KEK_CHECK, kek), SDES_OK, "KEK_CHECK");
	check(strcmp(f->reply.mechanism, "AES-GCM") == 0, "KEK_CHECK: the mechanism");
	check_status(kek_op(f, SDES_OP_KEK_CHECK, missing), SDES_ERR_HSM_KEY_MISSING,
	             "KEK_CHECK of a missing key");
	check_status(kek_op(f, SDES_OP_KEK_DESTROY, missing), SDES_ERR_HSM_KEY_MISSING,
	             "KEK_DESTROY of a missing key");
}

static SdesStatus
kek_list(Fixture *f, const char *prefix, const uint8_t after[SDES_KEK_ID_SIZE])
{
	SdesRequest request = {.op = SDES_OP_KEK_LIST};

	snprintf(request.label, sizeof(request.label), "%s", prefix);
	memcpy(request.kek_id, after, SDES_KEK_ID_SIZE);
	return ask(f, &request, 15000);
}

static void
test_list(Fixture *f)
{
	uint8_t ids[5][SDES_KEK_ID_SIZE], first[SDES_KEK_ID_SIZE] = {0};
	int failed = 0;

	for (int i = 0; i < 5; i++)
		failed += kek_create(f, i < 3 ? "list/three" : "list/two", ids[i]) != SDES_OK;
	check(failed == 0, "five more KEKs");
	check_status(kek_list(f, "list/", first), SDES_OK, "KEK_LIST");
	check(f->reply.nkeks == 5, "KEK_LIST: five with the prefix");
	memcpy(first, f->reply.keks[1], sizeof(first));
	kek_list(f, "list/", first);
	check(f->reply.nkeks == 3, "KEK_LIST: three after the second, ascending");
	memset(first, 0, sizeof(first));
	kek_list(f, "list/two", first);
	check(f->reply.nkeks == 2, "KEK_LIST: two with the longer prefix");
	kek_list(f, "nothing", first);
	check(f->reply.nkeks == 0, "KEK_LIST: none with another prefix");
	for (int i = 0; i < 5; i++)
		failed += kek_op(f, SDES_OP_KEK_DESTROY, ids[i]) != SDES_OK;
	check(failed == 0, "five KEK_DESTROY");
	kek_list(f, "list/", first);
	check(f->reply.nkeks == 0, "KEK_LIST: all gone");
}

static void
test_deks(Fixture *f, const uint8_t kek[SDES_KEK_ID_SIZE], SdesRequest *unwrap,
          uint8_t dek[SDES_DEK_SIZE])
{
	SdesDekBinding binding = make_binding(kek);
	uint8_t commitment[SDES_COMMITMENT_SIZE], again[SDES_COMMITMENT_SIZE];
	SdesRequest other;

	check_status(dek_create(f, &binding, unwrap), SDES_OK, "DEK_CREATE");
	check(unwrap->wrapped_size == WRAPPED_SIZE && unwrap->wrapped[0] == 1,
	      "DEK_CREATE: format 1, %d bytes", WRAPPED_SIZE);
	memcpy(commitment, f->reply.commitment, sizeof(commitment));
	check_status(ask(f, unwrap, 5000), SDES_OK, "DEK_UNWRAP");
	memcpy(dek, f->dek, SDES_DEK_SIZE);
	check(sdes_dek_commitment(sdes_bytes(dek, SDES_DEK_SIZE), &binding, again) == SDES_OK &&
	          memcmp(commitment, again, sizeof(again)) == 0,
	      "the DEK is the one that was committed to");
	check_status(dek_create(f, &binding, &other), SDES_OK, "a second DEK_CREATE");
	check_status(ask(f, &other, 5000), SDES_OK, "its DEK_UNWRAP");
	check(memcmp(dek, f->dek, SDES_DEK_SIZE) != 0, "two DEKs differ");
	binding.kek_id[0] ^= 1;
	check_status(dek_create(f, &binding, &other), SDES_ERR_HSM_KEY_MISSING,
	             "DEK_CREATE under a missing KEK");
	check(f->reply.detail[0] != '\0', "a failure has words");
}

/* A DEK that was unwrapped is wrapped again, under another KEK. */
static void
test_rewrap(Fixture *f, const SdesDekBinding *old, const uint8_t dek[SDES_DEK_SIZE])
{
	SdesRequest wrap = {.op = SDES_OP_DEK_WRAP, .binding = *old};
	SdesRequest unwrap = {.op = SDES_OP_DEK_UNWRAP};
	uint8_t kek[SDES_KEK_ID_SIZE], commitment[SDES_COMMITMENT_SIZE];

	wrap.dek = sdes_bytes(dek, SDES_DEK_SIZE);
	check_status(kek_create(f, "sdes/a/2", kek), SDES_OK, "another KEK");
	memcpy(wrap.binding.kek_id, kek, sizeof(kek));
	check_status(ask(f, &wrap, 5000), SDES_OK, "DEK_WRAP");
	check(sdes_dek_commitment(wrap.dek, &wrap.binding, commitment) == SDES_OK &&
	          memcmp(commitment, f->reply.commitment, sizeof(commitment)) == 0,
	      "DEK_WRAP commits to the DEK under its new binding");
	unwrap.binding = wrap.binding;
	unwrap.wrapped_size = f->reply.wrapped_size;
	memcpy(unwrap.wrapped, f->reply.wrapped, f->reply.wrapped_size);
	check_status(ask(f, &unwrap, 5000), SDES_OK, "DEK_UNWRAP of what it wrapped");
	check(memcmp(dek, f->dek, SDES_DEK_SIZE) == 0, "is the same DEK");
	unwrap.binding = *old;
	check_status(ask(f, &unwrap, 5000), SDES_ERR_TAG, "and under its old binding none");
	check_status(kek_op(f, SDES_OP_KEK_DESTROY, kek), SDES_OK, "the other KEK destroyed");
	check_status(ask(f, &wrap, 5000), SDES_ERR_HSM_KEY_MISSING, "DEK_WRAP after that");
}

/* Every byte of the blob and of the binding, one bit at a time in turn. */
static void
test_tampering(Fixture *f, const SdesRequest *good)
{
	uint8_t plain[SDES_DEK_BINDING_SIZE];
	int opened = 0, odd = 0;

	for (size_t i = 0; i < good->wrapped_size; i++)
	{
		SdesRequest bad = *good;
		SdesStatus status;

		bad.wrapped[i] ^= (uint8_t) (1 << i % 8);
		status = ask(f, &bad, 5000);
		opened += status == SDES_OK;
		/* Another known mechanism is one that this key does not do. */
		odd += i >= 1 ? status != SDES_ERR_TAG : status != SDES_ERR_SUITE;
	}
	check(opened == 0 && odd == 0, "each of %zu bytes of a blob flipped: refused",
	      good->wrapped_size);
	opened = odd = 0;
	sdes_dek_binding_encode(&good->binding, plain);
	for (size_t i = 0; i < sizeof(plain); i++)
	{
		SdesRequest bad = *good;
		uint8_t bytes[sizeof(plain)];
		SdesStatus status;

		memcpy(bytes, plain, sizeof(bytes));
		bytes[i] ^= 3; /* purpose and mode stay known numbers */
		if (!sdes_dek_binding_decode(SDES_BYTES_OF(bytes), &bad.binding))
			bytes[i] = 0;
		if (bytes[i] == 0 && plain[i] != 3)
			continue;
		status = ask(f, &bad, 5000);
		opened += status == SDES_OK;
		odd += status != SDES_ERR_TAG && status != SDES_ERR_HSM_KEY_MISSING;
	}
	check(opened == 0 && odd == 0, "each byte of a binding changed: refused");
}

static void
test_lengths(Fixture *f, const SdesRequest *good)
{
	int opened = 0, odd = 0;

	for (size_t size = 0; size <= SDES_WRAPPED_MAX; size += size < 70 ? 1 : 159)
	{
		SdesRequest bad = *good;
		SdesStatus status;

		if (size == good->wrapped_size)
			continue;
		bad.wrapped_size = size;
		status = ask(f, &bad, 5000);
		opened += status == SDES_OK;
		odd += status != SDES_ERR_FORMAT;
	}
	check(opened == 0 && odd == 0, "a blob of any other length: refused");
	check_status(ask(f, good, 5000), SDES_OK, "and the good one still opens");
}

static void
test_restart(Fixture *f, const SdesRequest *unwrap, const uint8_t dek[SDES_DEK_SIZE])
{
	check(agent_orphan(f, 1000), "end of file while idle: gone within 1 s, status 0");
	check(access(f->config.socket, F_OK) == 0, "the socket is left to a successor");
	check_status(ask_op(f, SDES_OP_STATUS), SDES_ERR_AGENT_ABSENT, "nobody listens");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "a new agent becomes ready");
	check_status(ask(f, unwrap, 5000), SDES_OK, "DEK_UNWRAP after a restart");
	check(memcmp(dek, f->dek, SDES_DEK_SIZE) == 0, "the same DEK after a restart");
}

/* Occurrences of the bytes in the writable memory of the agent; -1 when denied. */
static int
search_memory(const Fixture *f, const void *bytes, size_t size)
{
	char path[64], line[256];
	static uint8_t buffer[1 << 20];
	unsigned long from, to;
	int found = 0, mem;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int) f->agent);
	mem = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int) f->agent);
	maps = fopen(path, "r");
	while (mem >= 0 && maps != NULL && fgets(line, sizeof(line), maps) != NULL)
	{
		if (sscanf(line, "%lx-%lx rw", &from, &to) != 2 || strstr(line, " rw") == NULL ||
		    to - from > SEARCH_MAX)
			continue;
		for (; from < to; from += sizeof(buffer) / 2)
		{
			ssize_t n = pread(mem, buffer, sizeof(buffer), (off_t) from);

			if (n > 0 && memmem(buffer, (size_t) n, bytes, size) != NULL)
				found++;
		}
	}
	if (maps != NULL)
		fclose(maps);
	if (mem < 0)
		return -1;
	close(mem);
	return found;
}

static void
test_memory(Fixture *f, const uint8_t dek[SDES_DEK_SIZE])
{
	int pins = search_memory(f, TEST_PIN, strlen(TEST_PIN));
	int deks = search_memory(f, dek, SDES_DEK_SIZE);
	int secrets = search_memory(f, f->config.secret, sizeof(f->config.secret));

	if (geteuid() != 0)
	{
		check(pins == -1 && deks == -1, "the agent's user cannot look into the agent");
		return;
	}
	check(secrets > 0, "root finds the secret in the agent's memory (the search works)");
	check(pins == 0, "but not the PIN, after the login");
	check(deks == 0, "and not the DEK, after the unwrap");
}

/* What the token says of a key is believed only when it is what it must be. */
static void
test_unsafe_keys(Fixture *f)
{
	static const struct
	{
		const char *name;
		unsigned attribute;
	} flips[] = {
	    {"CKA_SENSITIVE", 0x103},
	    {"CKA_EXTRACTABLE", 0x162},
	    {"CKA_NEVER_EXTRACTABLE", 0x164},
	    {"CKA_ALWAYS_SENSITIVE", 0x165},
	    {"CKA_PRIVATE", 0x2},
	    {"CKA_DECRYPT", 0x105},
	    {"CKA_UNWRAP", 0x107},
	};
	uint8_t id[SDES_KEK_ID_SIZE], none[SDES_KEK_ID_SIZE] = {0};
	char rule[64];

	for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++)
	{
		snprintf(rule, sizeof(rule), "C_GetAttributeValue flip 0x%x", flips[i].attribute);
		fixture_rule(f, rule);
		check(kek_create(f, "unsafe", id) == SDES_ERR_HSM_KEY_UNSAFE &&
		          strstr(f->reply.detail, flips[i].name) != NULL,
		      "KEK_CREATE: %s is not what it must be", flips[i].name);
	}
	fixture_rule(f, NULL);
	kek_list(f, "unsafe", none);
	check(f->reply.nkeks == 0, "no unsafe key stays in the token");
}

/* By a program of its own, which shares the token with the agent. */
static bool
import_kek(Fixture *f, const uint8_t id[SDES_KEK_ID_SIZE])
{
	static const uint8_t value[32] = {1, 2, 3};
	CK_OBJECT_HANDLE key;
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(token_import_aes(token_of(f), id, SDES_BYTES_OF(value),
		                       CKF_ENCRYPT | CKF_DECRYPT, true, &key)
		          ? 0
		          : 1);
	return waitpid(child, &status, 0) == child && status == 0;
}

/* A key that somebody knows, put where a KEK is expected. */
static void
test_imported(Fixture *f)
{
	uint8_t id[SDES_KEK_ID_SIZE] = {3, 1, 4};
	SdesDekBinding binding = make_binding(id);
	SdesRequest unwrap;

	check(import_kek(f, id), "a key with a known value is imported into the token");
	check_status(kek_op(f, SDES_OP_KEK_CHECK, id), SDES_ERR_HSM_KEY_UNSAFE,
	             "KEK_CHECK of an imported key");
	check(strstr(f->reply.detail, "CKA_ALWAYS_SENSITIVE") != NULL, "says why");
	check_status(dek_create(f, &binding, &unwrap), SDES_ERR_HSM_KEY_UNSAFE,
	             "DEK_CREATE under it");
	check_status(kek_op(f, SDES_OP_KEK_DESTROY, id), SDES_OK, "KEK_DESTROY of it");
}

static void
test_rsa(Fixture *f)
{
	SdesRequest create = {
	    .op = SDES_OP_KEK_CREATE, .label = "sdes/rsa", .kind = SDES_KEK_RSA_4096};
	uint8_t kek[SDES_KEK_ID_SIZE], dek[SDES_DEK_SIZE];
	SdesDekBinding binding;
	SdesRequest unwrap;

	check_status(ask(f, &create, 15000), SDES_OK, "KEK_CREATE of an RSA-4096 pair");
	check(strcmp(f->reply.mechanism, "RSA-OAEP-SHA256") == 0, "its mechanism");
	memcpy(kek, f->reply.kek_id, sizeof(kek));
	check_status(kek_op(f, SDES_OP_KEK_CHECK, kek), SDES_OK, "KEK_CHECK of it");
	binding = make_binding(kek);
	check_status(dek_create(f, &binding, &unwrap), SDES_OK, "DEK_CREATE under it");
	check_status(ask(f, &unwrap, 5000), SDES_OK, "DEK_UNWRAP");
	memcpy(dek, f->dek, sizeof(dek));
	test_memory(f, dek);
	unwrap.binding.version++;
	check_status(ask(f, &unwrap, 5000), SDES_ERR_TAG, "DEK_UNWRAP under another binding");
	unwrap.binding.version--;
	fixture_rule(f, "C_Decrypt 0x30");
	check_status(ask(f, &unwrap, 5000), SDES_ERR_HSM, "CKR_DEVICE_ERROR to libp11");
	/* The second try finds the operation that the proxy left active in libp11's pool. */
	check(f->reply.ckr == 0x30 || f->reply.ckr == 0x90, "the reply holds a CKR");
	fixture_rule(f, NULL);
	for (int i = 0; i < 100 && ask(f, &unwrap, 5000) != SDES_OK; i++)
		sleep_ms(50);
	check_status(f->reply.status, SDES_OK, "the module is started again, libp11 too");
	agent_kill(f);
	agent_start(f);
	wait_state(f, SDES_AGENT_READY, SDES_OK);
	check_status(ask(f, &unwrap, 5000), SDES_OK, "DEK_UNWRAP in a new agent");
	check(memcmp(dek, f->dek, sizeof(dek)) == 0, "the same DEK");
	check_status(kek_op(f, SDES_OP_KEK_DESTROY, kek), SDES_OK, "KEK_DESTROY of the pair");
	check_status(ask(f, &unwrap, 5000), SDES_ERR_HSM_KEY_MISSING, "DEK_UNWRAP after that");
	check(agent_orphan(f, 1000), "end of file: gone, with libp11 in use");
	agent_start(f);
	wait_state(f, SDES_AGENT_READY, SDES_OK);
}

static void
test_mechanisms(Fixture *f)
{
	SdesRequest seals = {.op = SDES_OP_KEK_CREATE,
	                     .label = "proof",
	                     .kind = SDES_KEK_AES_256,
	                     .seals = true};
	uint8_t id[SDES_KEK_ID_SIZE];

	fixture_rule(f, "C_GenerateKey 0x12 2\n"); /* CKR_ATTRIBUTE_TYPE_INVALID */
	check_status(kek_create(f, "ladder", id), SDES_OK,
	             "KEK_CREATE on a token without CKA_COPYABLE and CKA_MODIFIABLE");
	fixture_rule(f, "C_GenerateKey 0x54\n"); /* CKR_FUNCTION_NOT_SUPPORTED, of a TPM */
	check_status(kek_create(f, "refused", id), SDES_ERR_HSM_MECHANISM,
	             "KEK_CREATE on a token that makes no such keys");
	fixture_rule(f, "C_Decrypt 0x70\n"); /* CKR_MECHANISM_INVALID */
	check_status(kek_create(f, "proof", id), SDES_OK,
	             "KEK_CREATE when C_Decrypt fails: another mechanism");
	check(strstr(f->reply.mechanism, "AES-KEY-WRAP") == f->reply.mechanism, "it is %s",
	      f->reply.mechanism);
	check_status(ask(f, &seals, 5000), SDES_ERR_HSM_MECHANISM,
	             "KEK_CREATE for values when C_Decrypt fails");
	agent_kill(f);
	fixture_rule(f, "C_GetMechanismInfo 0x70\n");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "ready without any mechanism");
	check(kek_create(f, "none", id) == SDES_ERR_HSM_MECHANISM &&
	          strstr(f->reply.detail, "AES-GCM") != NULL,
	      "KEK_CREATE: no mechanism, and the names of those that would do");
	fixture_rule(f, NULL);
}

void
key_tests(void)
{
	Fixture *f = fixture_new();
	uint8_t kek[SDES_KEK_ID_SIZE], dek[SDES_DEK_SIZE];
	SdesRequest unwrap;

	agent_start(f);
	test_status(f);
	test_keks(f, kek);
	test_list(f);
	test_deks(f, kek, &unwrap, dek);
	test_rewrap(f, &unwrap.binding, dek);
	test_memory(f, dek);
	test_tampering(f, &unwrap);
	test_lengths(f, &unwrap);
	test_restart(f, &unwrap, dek);
	test_unsafe_keys(f);
	test_imported(f);
	test_rsa(f);
	check_status(kek_op(f, SDES_OP_KEK_DESTROY, kek), SDES_OK, "KEK_DESTROY");
	check_status(ask(f, &unwrap, 5000), SDES_ERR_HSM_KEY_MISSING,
	             "DEK_UNWRAP after its KEK was destroyed");
	test_mechanisms(f);
	fixture_free(f);
}
