/*
 * ladder_tests.c
 *		What the agent does when the HSM fails for a while: one more session, the
 *		module anew, a new process; and what clients are told meanwhile.
 */
#include "fixture.h"
#include "tests.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4 /* of the agent */

/* The longest wait between two tries, and what a slow machine needs on top. */
#define RECOVERY_MS (3000 + 2000)

#define TOKEN_GONE "C_Decrypt 0x30\nC_OpenSession 0x30\nC_GetTokenInfo 0x30\n"

typedef struct Ladder
{
	Fixture *f;
	SdesRequest unwrap;
	SdesClient *others[WORKERS];
	SdesClientWant wants[WORKERS];
} Ladder;

static void
restart_agent(Ladder *l)
{
	agent_start(l->f);
	wait_state(l->f, SDES_AGENT_READY, SDES_OK);
}

/* An agent with a KEK and a DEK. */
static Ladder
ladder_new(void)
{
	Ladder l = {.f = fixture_new()};
	uint8_t kek[SDES_KEK_ID_SIZE];
	SdesDekBinding binding;

	restart_agent(&l);
	kek_create(l.f, "kek", kek);
	binding = make_binding(kek);
	dek_create(l.f, &binding, &l.unwrap);
	check_status(ask(l.f, &l.unwrap, 5000), SDES_OK, "a token with a DEK");
	for (int i = 0; i < WORKERS; i++)
		l.others[i] = sdes_client_new();
	return l;
}

static void
ladder_free(Ladder *l)
{
	fixture_rule(l->f, NULL);
	for (int i = 0; i < WORKERS; i++)
		sdes_client_free(l->others[i]);
	fixture_free(l->f);
}

static SdesStatus
unwrap(Ladder *l)
{
	return ask(l->f, &l->unwrap, 15000);
}

/* So many requests, of which each fails. */
static bool
fail_times(Ladder *l, int times)
{
	int failed = 0;

	for (int i = 0; i < times; i++)
		failed += unwrap(l) == SDES_ERR_HSM;
	return failed == times;
}

/* Asks until that works; milliseconds it took, or -1 when it did not within ms. */
static int
until_served(Ladder *l, int ms)
{
	int64_t began = now_ms();

	while (now_ms() - began < ms)
	{
		if (unwrap(l) == SDES_OK)
			return (int) (now_ms() - began);
		sleep_ms(20);
	}
	return -1;
}

/* Begins requests of clients of their own, which a rule lets hang. */
static void
begin_others(Ladder *l, int count)
{
	for (int i = 0; i < count; i++)
	{
		l->wants[i] =
		    sdes_client_begin(l->others[i], l->f->config.socket, l->f->secret, &l->unwrap);
		for (int n = 0; n < 10 && l->wants[i] == SDES_CLIENT_READ; n++)
		{
			struct pollfd fd = {sdes_client_fd(l->others[i]), POLLIN, 0};

			poll(&fd, 1, 10);
			l->wants[i] = sdes_client_step(l->others[i]);
		}
	}
	for (int n = 0; n < 100 && fixture_calls(l->f, "C_Decrypt 0x0 hangs") < count; n++)
		sleep_ms(20);
}

static SdesStatus
end_other(Ladder *l, int i, int ms)
{
	int64_t deadline = now_ms() + ms;

	while (l->wants[i] == SDES_CLIENT_READ && now_ms() < deadline)
	{
		struct pollfd fd = {sdes_client_fd(l->others[i]), POLLIN, 0};

		poll(&fd, 1, 50);
		l->wants[i] = sdes_client_step(l->others[i]);
	}
	if (l->wants[i] == SDES_CLIENT_DONE)
		return sdes_client_reply(l->others[i])->status;
	return l->wants[i] == SDES_CLIENT_FAILED ? sdes_client_status(l->others[i])
	                                         : SDES_ERR_AGENT_TIMEOUT;
}

/* Lines of the agent's log that hold the text. */
static int
logged(Ladder *l, const char *text)
{
	FILE *file = fopen(fixture_path(l->f, "log"), "r");
	char line[1024];
	int count = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		count += strstr(line, text) != NULL;
	if (file != NULL)
		fclose(file);
	return count;
}

/* So many of the log's lines hold the text, at the latest in a moment. */
static bool
logs(Ladder *l, const char *text, int times)
{
	for (int i = 0; i < 100 && logged(l, text) < times; i++)
		sleep_ms(20);
	return logged(l, text) == times;
}

/* ---- the rungs ---- */

static void
test_one_more_session(void)
{
	/* PKCS#11 v2.40, section 11.1: what can befall any call, and a vendor's code. */
	static const unsigned codes[] = {0x2,  0x5,  0x6,  0xa,  0x30, 0x31, 0x32,  0x50,
	                                 0x60, 0x82, 0x90, 0xb0, 0xb3, 0xe0, 0x101, 0x80000001};
	static const char *const calls[] = {"C_Decrypt", "C_DecryptInit", "C_FindObjectsInit"};
	const size_t count = sizeof(codes) / sizeof(codes[0]);
	Ladder l = ladder_new();
	int logins = fixture_calls(l.f, "C_Login"), served = 0;

	for (size_t i = 0; i < 3 * count; i++)
	{
		char rule[64];

		snprintf(rule, sizeof(rule), "%s 0x%x 1", calls[i / count], codes[i % count]);
		fixture_rule(l.f, rule);
		if (unwrap(&l) == SDES_OK)
			served++;
		else
			printf("# %s: %s\n", rule, l.f->reply.detail);
	}
	check(served == (int) (3 * count), "any code, once in each of 3 calls: nobody notices");
	check(fixture_calls(l.f, "C_Login") == logins, "a new session does");
	ladder_free(&l);
}

/* The token answers, but does not decrypt. */
static void
test_breaker(void)
{
	Ladder l = ladder_new();
	const SdesAgentInfo *info = &l.f->reply.info;
	int logins = fixture_calls(l.f, "C_Login"), decrypts, ms;

	fixture_rule(l.f, "C_Decrypt 0x30");
	check(fail_times(&l, 2) && wait_state(l.f, SDES_AGENT_READY, SDES_OK) &&
	          info->failures == 2,
	      "two requests fail: that is told, and no more");
	fixture_rule(l.f, NULL);
	check(unwrap(&l) == SDES_OK && ask_op(l.f, SDES_OP_STATUS) == SDES_OK &&
	          info->failures == 0,
	      "one goes well: forgotten");
	check(fixture_calls(l.f, "C_Login") == logins, "the module was left alone");

	/* Its start hangs, so that there is time to look. */
	fixture_rule(l.f, "C_Decrypt 0x30\nC_Initialize hang\n");
	check(fail_times(&l, 3), "three in a row fail");
	check(l.f->reply.ckr == 0x30, "the reply holds the CKR");
	check(wait_state(l.f, SDES_AGENT_FAILED, SDES_ERR_HSM) && info->failures == 3 &&
	          strstr(info->detail, "C_Decrypt") != NULL,
	      "out of service: STATUS tells since when and why");
	decrypts = fixture_calls(l.f, "C_Decrypt");
	ms = (int) now_ms();
	check(fail_times(&l, 100) && strstr(l.f->reply.detail, "C_Decrypt") != NULL,
	      "100 more are told so");
	ms = (int) now_ms() - ms;
	check(ms < 2000, "at once (%d ms)", ms);
	check(fixture_calls(l.f, "C_Decrypt") == decrypts, "and the module is not touched");

	fixture_rule(l.f, NULL);
	ms = until_served(&l, RECOVERY_MS);
	check(ms >= 0, "the fault ends: back in service (%d ms)", ms);
	check(fixture_calls(l.f, "C_Finalize") >= 1 && fixture_calls(l.f, "C_Login") > logins,
	      "after the module was started anew");
	check(logs(&l, "unavailable: ", 1) && logs(&l, "available again after ", 1),
	      "a line in the log for each of the two");
	ladder_free(&l);
}

static void
test_token_gone(void)
{
	Ladder l = ladder_new();
	int ms;

	fixture_rule(l.f, TOKEN_GONE);
	check_status(unwrap(&l), SDES_ERR_HSM, "the token does not answer at all");
	check(wait_state(l.f, SDES_AGENT_FAILED, SDES_ERR_HSM_TOKEN) ||
	          l.f->reply.info.state == SDES_AGENT_FAILED,
	      "one failure is enough");
	fixture_rule(l.f, NULL);
	ms = until_served(&l, RECOVERY_MS);
	check(ms >= 0, "it is back: back in service (%d ms)", ms);
	ladder_free(&l);
}

/* Nothing helps a process that was well before: it goes, and only once. */
static void
test_new_process(void)
{
	Ladder l = ladder_new();
	int64_t began = now_ms();
	int status, logins, ms;

	fixture_rule(l.f, "C_Decrypt 0x30");
	fail_times(&l, 3);
	status = agent_wait(l.f, RECOVERY_MS);
	check(status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 1,
	      "two starts of the module do not help: exit for a new agent (%d ms)",
	      (int) (now_ms() - began));
	check(logs(&l, "unavailable: ", 1) && logs(&l, "has not helped", 1),
	      "which is two lines in the log");

	restart_agent(&l);
	check(fail_times(&l, 3), "the fault goes on in its successor");
	sleep_ms(RECOVERY_MS);
	for (int i = 0; i < 20; i++, sleep_ms(100))
		unwrap(&l);
	check(agent_wait(l.f, 0) == -1, "which stays, since it was never served");
	check(logs(&l, "unavailable: ", 2) && logs(&l, "available again", 0),
	      "and says so once, whatever it tries");
	logins = fixture_calls(l.f, "C_Login");
	check(logins < 20, "not too often (%d logins)", logins);
	fixture_rule(l.f, NULL);
	ms = until_served(&l, RECOVERY_MS);
	check(ms >= 0, "the fault ends: back in service (%d ms)", ms);
	check(logs(&l, "available again after ", 1), "and the log says so");
	ladder_free(&l);
}

/* Nothing but a request can tell whether the token decrypts: one is let through. */
static void
test_half_open(void)
{
	Ladder l = ladder_new();

	agent_kill(l.f);
	restart_agent(&l);
	fixture_rule(l.f, "C_Decrypt 0x30");
	check(fail_times(&l, 3), "an agent that was never served: three requests fail");
	for (int i = 0; i < 200 && (ask_op(l.f, SDES_OP_STATUS) != SDES_OK ||
	                            l.f->reply.info.state != SDES_AGENT_READY);
	     i++)
		sleep_ms(20);
	check(l.f->reply.info.status == SDES_ERR_HSM && l.f->reply.info.failures == 3,
	      "half open: that it failed is still told");
	fixture_rule(l.f, "C_Decrypt hang");
	begin_others(&l, 1);
	check(fail_times(&l, 5), "while one request is under way, others fail at once");
	check(fixture_calls(l.f, "C_Decrypt 0x0 hangs") == 1, "and do not reach the module");
	fixture_rule(l.f, NULL);
	check_status(end_other(&l, 0, 2000), SDES_OK, "that one goes well");
	check_status(unwrap(&l), SDES_OK, "and all others after it");
	check(wait_state(l.f, SDES_AGENT_READY, SDES_OK) && l.f->reply.info.failures == 0,
	      "closed");
	ladder_free(&l);
}

/* The client of the request that was let through goes away. */
static void
test_abandoned_trial(void)
{
	Ladder l = ladder_new();

	agent_kill(l.f);
	restart_agent(&l);
	fixture_rule(l.f, "C_Decrypt 0x30");
	fail_times(&l, 3);
	fixture_rule(l.f, "C_Decrypt hang");
	sleep_ms(500);
	begin_others(&l, 1);
	sdes_client_close(l.others[0]);
	sleep_ms(100);
	fixture_rule(l.f, NULL);
	check(until_served(&l, RECOVERY_MS) >= 0, "a trial whose client leaves blocks nobody");
	ladder_free(&l);
}

/* A request's own fault is no failure, however often. */
static void
test_verdicts(void)
{
	Ladder l = ladder_new();
	/* A missing key is worth one more look, by a module that was started anew. */
	int logins = fixture_calls(l.f, "C_Login") + 1, tags = 0;
	SdesRequest bad = l.unwrap;

	bad.wrapped[20] ^= 1;
	for (int i = 0; i < 10; i++)
		tags += ask(l.f, &bad, 5000) == SDES_ERR_TAG;
	bad = l.unwrap;
	bad.binding.kek_id[0] ^= 1;
	for (int i = 0; i < 10; i++)
		tags += ask(l.f, &bad, 5000) == SDES_ERR_HSM_KEY_MISSING;
	check(tags == 20, "20 requests that fail for their own sake");
	check(strstr(l.f->reply.detail, "token \"") != NULL, "a missing key: which token");
	check_status(unwrap(&l), SDES_OK, "are no failure of the HSM");
	check(fixture_calls(l.f, "C_Login") == logins && !fixture_logged(l.f, "unavailable"),
	      "and nobody takes them for one");
	ladder_free(&l);
}

/* A PIN that the token has come to refuse is tried once, outage or not. */
static void
test_pin_in_outage(void)
{
	Ladder l = ladder_new();
	int logins = fixture_calls(l.f, "C_Login");

	fixture_rule(l.f, TOKEN_GONE "C_Login 0xa0\n");
	unwrap(&l);
	fixture_rule(l.f, "C_Login 0xa0\n");
	check(wait_state(l.f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN),
	      "the token is back and refuses the PIN");
	sleep_ms(3500);
	check(fixture_calls(l.f, "C_Login") == logins + 1, "it is tried once");
	check_status(unwrap(&l), SDES_ERR_HSM_PIN, "requests are told so");
	check(agent_wait(l.f, 0) == -1, "and no new process tries it either");
	ladder_free(&l);
}

/* ---- hangs ---- */

static void
test_one_hangs(void)
{
	Ladder l = ladder_new();
	int64_t began;
	int served = 0;

	fixture_rule(l.f, "C_Decrypt hang 1");
	begin_others(&l, 1);
	began = now_ms();
	for (int i = 0; i < 50; i++, sleep_ms(50))
		served += unwrap(&l) == SDES_OK;
	check(served == 50 && now_ms() - began > 2500, "one worker hangs: others serve");
	check(wait_state(l.f, SDES_AGENT_READY, SDES_OK), "and the agent is ready");
	fixture_rule(l.f, NULL);
	check_status(end_other(&l, 0, 2000), SDES_OK, "it comes back with its answer");
	ladder_free(&l);
}

static void
test_all_hang(void)
{
	Ladder l = ladder_new();
	int64_t began = now_ms();
	int ms;

	fixture_rule(l.f, "C_Decrypt hang");
	begin_others(&l, WORKERS);
	check_status(unwrap(&l), SDES_ERR_HSM_TIMEOUT, "all workers hang: who waits is told");
	ms = (int) (now_ms() - began);
	check(ms > 1500 && ms < 5000, "after two seconds (%d ms)", ms);
	began = now_ms();
	for (int i = 0; i < 20; i++)
		unwrap(&l);
	ms = (int) (now_ms() - began);
	check(l.f->reply.status == SDES_ERR_HSM_TIMEOUT && ms < 1000,
	      "who comes then, at once (20 in %d ms)", ms);
	check(wait_state(l.f, SDES_AGENT_FAILED, SDES_ERR_HSM_TIMEOUT), "STATUS tells it");
	fixture_rule(l.f, NULL);
	ms = until_served(&l, 2000);
	check(ms >= 0, "the hang ends: back in service (%d ms)", ms);
	for (int i = 0; i < WORKERS; i++)
		check_status(end_other(&l, i, 2000), SDES_OK, "and who hung has an answer");
	check(logs(&l, "unavailable: ", 1) && logs(&l, "available again after ", 1),
	      "a line in the log for each of the two");
	ladder_free(&l);
}

/* Making a key may take its time. */
static void
test_slow_is_no_hang(void)
{
	Ladder l = ladder_new();
	SdesRequest create = {.op = SDES_OP_KEK_CREATE, .label = "k", .kind = SDES_KEK_AES_256};

	fixture_rule(l.f, "C_GenerateKey hang");
	for (int i = 0; i < WORKERS; i++)
	{
		l.wants[i] =
		    sdes_client_begin(l.others[i], l.f->config.socket, l.f->secret, &create);
		for (int n = 0; n < 10 && l.wants[i] == SDES_CLIENT_READ; n++)
		{
			sleep_ms(10);
			l.wants[i] = sdes_client_step(l.others[i]);
		}
	}
	sleep_ms(10000 + 1000);
	check(wait_state(l.f, SDES_AGENT_READY, SDES_OK), "all workers make keys: no hang");
	fixture_rule(l.f, NULL);
	for (int n = 0; n < 500 && l.wants[0] == SDES_CLIENT_READ; n++)
	{
		sleep_ms(10);
		l.wants[0] = sdes_client_step(l.others[0]);
	}
	check(l.wants[0] == SDES_CLIENT_DONE &&
	          sdes_client_reply(l.others[0])->status == SDES_OK,
	      "and a key that took longer than other requests may is there");
	check_status(unwrap(&l), SDES_OK, "who waits for them is served");
	ladder_free(&l);
}

static void
test_delay(void)
{
	Ladder l = ladder_new();
	int64_t began = now_ms();

	fixture_rule(l.f, "C_Decrypt delay 1000");
	check_status(unwrap(&l), SDES_OK, "a call that takes a second");
	check(now_ms() - began >= 1000 && now_ms() - began < 5000, "is waited for");
	ladder_free(&l);
}

/* ---- bursts ---- */

/* Every request fails for some time. How long after it one is served again. */
static int
burst(Ladder *l, const char *rule, int ms)
{
	int64_t end = now_ms() + ms;

	fixture_rule(l->f, rule);
	while (now_ms() < end)
	{
		unwrap(l);
		sleep_ms(10);
		if (l->f->agent != 0 && agent_wait(l->f, 0) != -1)
			agent_start(l->f);
	}
	fixture_rule(l->f, NULL);
	return until_served(l, RECOVERY_MS);
}

static void
test_bursts(void)
{
	static const char *const rules[] = {
	    "C_Decrypt 0x5\n",     "C_Decrypt 0x30\nC_DecryptInit 0x30\n", TOKEN_GONE,
	    "C_OpenSession 0x2\n", "C_FindObjectsInit 0x5 every 3\n",
	};
	Ladder l = ladder_new();

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
	{
		int ms = burst(&l, rules[i], 1500);

		check(ms >= 0, "after a burst of %.*s: back in service (%d ms)",
		      (int) strcspn(rules[i], "\n"), rules[i], ms);
	}
	ladder_free(&l);
}

/* ---- keys and tokens that are not there ---- */

/* The token's directory, out of the way or back. */
static void
move_tokens(const Fixture *f, const char *from, const char *to)
{
	char path[256];

	snprintf(path, sizeof(path), "%s", fixture_path(f, from));
	if (rename(path, fixture_path(f, to)) != 0)
		abort();
}

static void
protect_tokens(const Fixture *f)
{
	char command[256];

	snprintf(command, sizeof(command), "chmod 0444 %s/*/*/token.object", f->dir);
	if (system(command) != 0)
		abort();
}

/*
 * A module's list of the keys lacks one, such as another process has made: nobody is told
 * that it is missing before the module was started anew. That is not done for every
 * request.
 */
static void
test_stale_list(void)
{
	Ladder l = ladder_new();
	SdesRequest other = l.unwrap;
	int logins;

	other.binding.kek_id[0] ^= 1;
	agent_kill(l.f);
	restart_agent(&l);
	logins = fixture_calls(l.f, "C_Login");
	if (!fixture_is_nss())
	{
		check_status(kek_op(l.f, SDES_OP_KEK_CHECK, other.binding.kek_id),
		             SDES_ERR_HSM_KEY_MISSING, "whether a key is there");
		check(fixture_calls(l.f, "C_Login") == logins,
		      "is not worth a start, where the token says who it is");
	}
	fixture_rule(l.f, "C_FindObjects stale");
	check_status(unwrap(&l), SDES_OK, "a key that the module does not know yet is found");
	check(fixture_calls(l.f, "C_Login") == logins + 1, "by a module that was started anew");
	check(agent_wait(l.f, 0) == -1 && !fixture_logged(l.f, "unavailable"),
	      "in the same process, and nothing was out of service");
	check(fixture_logged(l.f, "a key is missing") == !fixture_is_nss(),
	      "with a line in the log, where that is not done every few seconds");
	for (int i = 0; i < 3; i++)
		check_status(ask(l.f, &other, 5000), SDES_ERR_HSM_KEY_MISSING,
		             "another one is missing");
	check(fixture_calls(l.f, "C_Login") == logins + 1, "which is believed for a while");
	check_status(unwrap(&l), SDES_OK, "the first one still works");
	ladder_free(&l);
}

/*
 * Another token of the same label, as a URI without serial number allows. For
 * users other than root, in the layout that the documentation recommends, too:
 * SoftHSM2 may not write to the token then.
 */
static void
test_other_token(bool read_only)
{
	Ladder l = ladder_new();
	int ms;

	printf("# %s\n", read_only ? "read-only" : "writable");

	agent_kill(l.f);
	move_tokens(l.f, "tokens", "right");
	if (mkdir(fixture_path(l.f, "tokens"), 0700) != 0)
		abort();
	fixture_make_token(l.f, "sdes");
	if (read_only)
		protect_tokens(l.f);
	restart_agent(&l);
	check_status(unwrap(&l), SDES_ERR_HSM_KEY_MISSING, "another token of the same label");
	check(wait_state(l.f, SDES_AGENT_READY, SDES_OK), "the agent works with it");
	move_tokens(l.f, "tokens", "wrong");
	move_tokens(l.f, "right", "tokens");
	ms = until_served(&l, RECOVERY_MS + 3000);
	check(ms >= 0, "the right one is back: back in service (%d ms)", ms);
	check(agent_wait(l.f, 0) == -1, "in the same process");

	/* And the other way round, under an agent that was served. */
	move_tokens(l.f, "tokens", "right");
	move_tokens(l.f, "wrong", "tokens");
	for (int i = 0; i < 200 && unwrap(&l) != SDES_ERR_HSM_KEY_MISSING; i++)
		sleep_ms(50);
	check_status(l.f->reply.status, SDES_ERR_HSM_KEY_MISSING,
	             "replaced under the agent: a clear error");
	move_tokens(l.f, "tokens", "wrong");
	move_tokens(l.f, "right", "tokens");
	ms = until_served(&l, RECOVERY_MS + 3000);
	check(ms >= 0, "the right one is back: back in service (%d ms)", ms);
	ladder_free(&l);
}

/* Wrong bytes out of the token: never a key that is believed. */
static void
test_wrong_key(void)
{
	Ladder l = ladder_new();
	uint8_t right[SDES_DEK_SIZE], commitment[SDES_COMMITMENT_SIZE];
	uint8_t wrong[SDES_COMMITMENT_SIZE];

	memcpy(right, l.f->dek, sizeof(right));
	sdes_dek_commitment(SDES_BYTES_OF(right), &l.unwrap.binding, commitment);
	fixture_rule(l.f, "C_Decrypt wrong");
	check_status(unwrap(&l), SDES_OK, "C_Decrypt returns another DEK");
	sdes_dek_commitment(SDES_BYTES_OF(l.f->dek), &l.unwrap.binding, wrong);
	check(memcmp(l.f->dek, right, sizeof(right)) != 0 &&
	          memcmp(wrong, commitment, sizeof(wrong)) != 0,
	      "which its commitment tells");
	fixture_rule(l.f, "C_Decrypt less");
	check_status(unwrap(&l), SDES_ERR_HSM, "C_Decrypt returns too few bytes");
	fixture_rule(l.f, "C_Decrypt short");
	check_status(unwrap(&l), SDES_ERR_HSM, "C_Decrypt claims that there is no room");
	fixture_rule(l.f, NULL);
	check_status(unwrap(&l), SDES_OK, "and all is well after it");
	check(memcmp(l.f->dek, right, sizeof(right)) == 0, "with the right key");
	ladder_free(&l);
}

void
ladder_tests(void)
{
	test_one_more_session();
	test_breaker();
	test_token_gone();
	test_new_process();
	test_half_open();
	test_abandoned_trial();
	test_verdicts();
	test_pin_in_outage();
	test_one_hangs();
	test_all_hang();
	test_slow_is_no_hang();
	test_delay();
	test_bursts();
	test_stale_list();
	if (!fixture_is_nss())
	{
		test_other_token(false);
		test_other_token(true);
	}
	test_wrong_key();
}
