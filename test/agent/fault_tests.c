/*
 * fault_tests.c
 *		Modules that hang, crash, lose the token or are not there; ends of the
 *		supervisor and of the agent.
 */
#include "fixture.h"
#include "tests.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Ready
{
	Fixture *f;
	SdesRequest unwrap;
	SdesClient *second;
} Ready;

/* An agent with a KEK and a wrapped DEK. */
static Ready
ready_new(void)
{
	Ready r = {.f = fixture_new()};
	uint8_t kek[SDES_KEK_ID_SIZE];
	SdesDekBinding binding;

	agent_start(r.f);
	wait_state(r.f, SDES_AGENT_READY, SDES_OK);
	kek_create(r.f, "kek", kek);
	binding = make_binding(kek);
	check_status(dek_create(r.f, &binding, &r.unwrap), SDES_OK, "a token with a DEK");
	r.second = sdes_client_new();
	return r;
}

static void
ready_free(Ready *r)
{
	fixture_rule(r->f, NULL);
	sdes_client_free(r->second);
	fixture_free(r->f);
}

/* Begins a request on the second client, so that the fixture's stays free. */
static SdesClientWant
begin_second(Ready *r)
{
	SdesClientWant want =
	    sdes_client_begin(r->second, r->f->config.socket, r->f->secret, &r->unwrap);

	for (int i = 0; i < 50 && fixture_calls(r->f, "C_Decrypt 0x0 hangs") == 0; i++)
	{
		struct pollfd fd = {sdes_client_fd(r->second), POLLIN, 0};

		poll(&fd, 1, 20);
		if (want == SDES_CLIENT_READ || want == SDES_CLIENT_WRITE)
			want = sdes_client_step(r->second);
	}
	return want;
}

static SdesStatus
end_second(Ready *r, SdesClientWant want, int ms)
{
	int64_t deadline = now_ms() + ms;

	while (want == SDES_CLIENT_READ && now_ms() < deadline)
	{
		struct pollfd fd = {sdes_client_fd(r->second), POLLIN, 0};

		poll(&fd, 1, 50);
		want = sdes_client_step(r->second);
	}
	if (want == SDES_CLIENT_DONE)
		return sdes_client_reply(r->second)->status;
	return want == SDES_CLIENT_FAILED ? sdes_client_status(r->second)
	                                  : SDES_ERR_AGENT_TIMEOUT;
}

static void
test_hang_in_job(void)
{
	Ready r = ready_new();
	int64_t began = now_ms();
	SdesClientWant want;
	int slow = 0, status;

	fixture_rule(r.f, "C_Decrypt hang");
	want = begin_second(&r);
	check(want == SDES_CLIENT_READ, "C_Decrypt hangs");
	for (int i = 0; i < 50; i++)
	{
		int64_t asked = now_ms();

		if (ask_op(r.f, SDES_OP_STATUS) != SDES_OK || now_ms() - asked > 200)
			slow++;
	}
	check(slow == 0, "meanwhile 50 STATUS are answered at once");
	check_status(end_second(&r, want, 13000), SDES_ERR_HSM_TIMEOUT, "the waiting client");
	check(now_ms() - began > 9000 && now_ms() - began < 12000, "after ten seconds");
	status = agent_wait(r.f, 2000);
	check(status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 1,
	      "and the agent exits with status 1");
	fixture_rule(r.f, NULL);
	agent_start(r.f);
	wait_state(r.f, SDES_AGENT_READY, SDES_OK);
	check_status(ask(r.f, &r.unwrap, 5000), SDES_OK, "its successor works");
	ready_free(&r);
}

static void
test_hang_in_login(void)
{
	Fixture *f = fixture_new();
	uint8_t id[SDES_KEK_ID_SIZE];
	int status;

	fixture_rule(f, "C_Login hang");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_STARTING, SDES_ERR_HSM_STARTING), "C_Login hangs");
	for (int i = 0; i < 200 && fixture_calls(f, "C_Login") == 0; i++)
		sleep_ms(20);
	check(agent_orphan(f, 1000), "end of file then: gone within 1 s, status 0");

	agent_start(f);
	check_status(kek_create(f, "x", id), SDES_ERR_HSM_TIMEOUT,
	             "C_Login hangs: a request waits and is told");
	status = agent_wait(f, 3000);
	check(status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 1,
	      "and the agent exits with status 1");
	fixture_rule(f, NULL);
	fixture_free(f);
}

static void
test_hang_in_initialize(void)
{
	Fixture *f = fixture_new();

	fixture_rule(f, "C_Initialize hang");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_STARTING, SDES_ERR_HSM_STARTING), "C_Initialize hangs");
	check(agent_orphan(f, 1000), "end of file then: gone within 1 s, status 0");
	fixture_rule(f, NULL);
	fixture_free(f);
}

static void
test_kill(void)
{
	Ready r = ready_new();
	SdesClientWant want;

	fixture_rule(r.f, "C_Decrypt hang");
	want = begin_second(&r);
	agent_kill(r.f);
	check_status(end_second(&r, want, 2000), SDES_ERR_AGENT_LOST, "SIGKILL in a request");
	check_status(ask_op(r.f, SDES_OP_STATUS), SDES_ERR_AGENT_ABSENT, "then nobody listens");
	fixture_rule(r.f, NULL);
	agent_start(r.f);
	wait_state(r.f, SDES_AGENT_READY, SDES_OK);
	check_status(ask(r.f, &r.unwrap, 5000), SDES_OK,
	             "a successor is found over the same client");
	fixture_rule(r.f, "C_Decrypt segv");
	check_status(ask(r.f, &r.unwrap, 5000), SDES_ERR_AGENT_LOST, "a crash in the module");
	ready_free(&r);
}

static void
test_client_gone(void)
{
	Ready r = ready_new();

	fixture_rule(r.f, "C_Decrypt hang");
	begin_second(&r);
	sdes_client_close(r.second);
	sleep_ms(100);
	fixture_rule(r.f, NULL);
	sleep_ms(200);
	check_status(ask(r.f, &r.unwrap, 5000), SDES_OK,
	             "a client that left in a request: its result is nobody else's");
	check(wait_state(r.f, SDES_AGENT_READY, SDES_OK), "and the agent is well");
	ready_free(&r);
}

static void
test_lost_session(void)
{
	static const struct
	{
		const char *rule, *name;
	} once[] = {
	    {"C_DecryptInit 0xb3 1", "CKR_SESSION_HANDLE_INVALID once"},
	    {"C_FindObjectsInit 0xb0 1", "CKR_SESSION_CLOSED once"},
	};
	Ready r = ready_new();
	int logins = fixture_calls(r.f, "C_Login");

	for (size_t i = 0; i < 2; i++)
	{
		fixture_rule(r.f, once[i].rule);
		check_status(ask(r.f, &r.unwrap, 5000), SDES_OK, once[i].name);
	}
	check(fixture_calls(r.f, "C_Login") == logins, "heal by a new session, without login");
	ready_free(&r);
}

/* A code that can mean a bad tag or a sick token: told apart by a round trip. */
static void
test_blame(void)
{
	Ready r = ready_new();

	fixture_rule(r.f, "C_Decrypt 0x5");
	check_status(ask(r.f, &r.unwrap, 5000), SDES_ERR_HSM,
	             "CKR_GENERAL_ERROR for every key: the token's fault");
	fixture_rule(r.f, "C_Decrypt 0x5 1");
	check_status(ask(r.f, &r.unwrap, 5000), SDES_OK, "once only: nobody's");
	fixture_rule(r.f, NULL);
	r.unwrap.wrapped[20] ^= 1;
	check_status(ask(r.f, &r.unwrap, 5000), SDES_ERR_TAG, "for this blob only: the blob's");
	r.unwrap.wrapped[20] ^= 1;
	check_status(ask(r.f, &r.unwrap, 5000), SDES_OK, "and a good one opens");
	ready_free(&r);
}

static void
set(char *setting, const char *value)
{
	snprintf(setting, SDES_CONFIG_VALUE_SIZE, "%s", value);
}

/* SoftHSM2 makes as many tokens as one likes. */
static void
test_softhsm_tokens(void)
{
	Fixture *f = fixture_new();
	char serial[17], uri[64];
	uint8_t id[SDES_KEK_ID_SIZE];

	set(f->config.token, "pkcs11:token=other");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_TOKEN), "no token matches");
	check_status(kek_create(f, "x", id), SDES_ERR_HSM_TOKEN, "requests are told so");
	check(strstr(f->reply.detail, "no token matches") != NULL, "in words");
	fixture_make_token(f, "other");
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "the token appears: works by itself");
	strcpy(serial, f->reply.info.token_serial);
	agent_kill(f);

	fixture_make_token(f, "other");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_TOKEN) &&
	          strstr(f->reply.info.detail, "2 tokens match") != NULL,
	      "two tokens match");
	agent_kill(f);
	snprintf(uri, sizeof(uri), "pkcs11:token=other;serial=%s", serial);
	set(f->config.token, uri);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK) &&
	          strcmp(f->reply.info.token_serial, serial) == 0,
	      "the serial number chooses");
	fixture_free(f);
}

static void
test_modules(void)
{
	Fixture *f = fixture_new();
	char module[SDES_CONFIG_VALUE_SIZE];

	strcpy(module, f->config.module);
	set(f->config.module, fixture_path(f, "module.so"));
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_MODULE), "no module");
	if (symlink(module, fixture_path(f, "module.so")) != 0)
		abort();
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "it appears: works by itself");
	agent_kill(f);

	set(f->config.module, module);
	if (!fixture_is_nss()) /* where no other test would do without them */
		set(f->config.init_args, "configdir='sql:/dir' flags=optimizeSpace");
	unlink(fixture_path(f, "calls"));
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK) &&
	          fixture_calls(f, "C_Initialize 0x0 configdir='sql:/") == 1,
	      "init_args reach C_Initialize");
	agent_kill(f);

	set(f->config.module, "/lib/x86_64-linux-gnu/libm.so.6");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_MODULE), "no PKCS#11 module");
	agent_kill(f);
	set(f->config.module, "");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_UNSET), "nothing is set");
	check(agent_orphan(f, 1000), "end of file then: gone within 1 s, status 0");
	fixture_free(f);
}

/* Each of the settings that a login takes, missing: the agent runs and says so. */
static void
test_unset(void)
{
	static const char *const names[] = {"token", "PIN source", "state directory"};

	for (size_t i = 0; i < 3; i++)
	{
		Fixture *f = fixture_new();
		char *values[] = {f->config.token, f->config.pin_source, f->config.state_directory};

		values[i][0] = '\0';
		agent_start(f);
		check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_UNSET) &&
		          fixture_calls(f, "C_Login") == 0,
		      "no %s: no login", names[i]);
		fixture_free(f);
	}
}

/* The module says no before there is a token; it heals by itself. */
static void
test_refused_start(void)
{
	static const char *const calls[] = {"C_Initialize", "C_GetInfo"};

	for (size_t i = 0; i < 2; i++)
	{
		Fixture *f = fixture_new();
		char rule[64];

		snprintf(rule, sizeof(rule), "%s 0x30", calls[i]); /* CKR_DEVICE_ERROR */
		fixture_rule(f, rule);
		agent_start(f);
		check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_MODULE), "%s fails", calls[i]);
		fixture_rule(f, NULL);
		check(wait_state(f, SDES_AGENT_READY, SDES_OK), "%s works: ready by itself",
		      calls[i]);
		fixture_free(f);
	}
}

/* A state line per change, and nobody has to read them. */
static void
test_state_lines(void)
{
	Fixture *f = fixture_new();
	char text[512] = "";
	ssize_t n;

	agent_start(f);
	wait_state(f, SDES_AGENT_READY, SDES_OK);
	sleep_ms(50);
	n = read(f->from_agent, text, sizeof(text) - 1);
	check(n > 0 && strstr(text, "state READY ok\n") != NULL, "the supervisor is told");
	close(f->from_agent);
	f->from_agent = -1;
	fixture_rule(f, "C_GenerateRandom 0x30");
	fixture_rule(f, NULL);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "and need not listen");
	fixture_free(f);
}

/* A client that leaves before it was told of its new KEK leaves none behind. */
static void
test_abandoned_kek(void)
{
	Ready r = ready_new();
	SdesRequest create = {
	    .op = SDES_OP_KEK_CREATE, .label = "abandoned", .kind = SDES_KEK_AES_256};
	SdesRequest list = {.op = SDES_OP_KEK_LIST, .label = "abandoned"};

	fixture_rule(r.f, "C_GenerateKey hang");
	sdes_client_begin(r.second, r.f->config.socket, r.f->secret, &create);
	for (int i = 0; i < 100 && fixture_calls(r.f, "C_GenerateKey 0x0 hangs") == 0; i++)
	{
		sdes_client_step(r.second);
		sleep_ms(20);
	}
	sdes_client_close(r.second);
	sleep_ms(200);
	fixture_rule(r.f, NULL);
	for (int i = 0; i < 200 && fixture_calls(r.f, "C_DestroyObject 0x0") == 0; i++)
		sleep_ms(20);
	check(fixture_calls(r.f, "C_DestroyObject 0x0") == 1,
	      "a KEK whose client has left is destroyed");
	check(ask(r.f, &list, 5000) == SDES_OK && r.f->reply.nkeks == 0,
	      "and not in the token");
	ready_free(&r);
}

void
fault_tests(void)
{
	test_abandoned_kek();
	test_hang_in_job();
	test_hang_in_login();
	test_hang_in_initialize();
	test_kill();
	test_client_gone();
	test_lost_session();
	test_blame();
	if (!fixture_is_nss())
		test_softhsm_tokens();
	test_modules();
	test_unset();
	test_refused_start();
	test_state_lines();
}
