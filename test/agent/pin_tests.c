/*
 * pin_tests.c
 *		One try per PIN; where a PIN may come from; what heals by itself.
 */
#include "fixture.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAG_COUNT_LOW "C_GetTokenInfo set 0x10000"
#define FLAG_FINAL_TRY "C_GetTokenInfo set 0x20000"
#define FLAG_LOCKED    "C_GetTokenInfo set 0x40000"

/*
 * The layout a provisioned token has: SoftHSM2 rewrites token.object at every
 * login and notes a wrong PIN there, which a killed agent could lose.
 */
static void
protect_token(const Fixture *f)
{
	char command[256];

	snprintf(command, sizeof(command), "chmod 0444 %s/tokens/*/token.object", f->dir);
	if (!fixture_is_nss() && system(command) != 0)
		abort();
}

static void
test_one_try(void)
{
	Fixture *f = fixture_new();
	uint8_t id[SDES_KEK_ID_SIZE];
	int failed = 0;

	protect_token(f);
	fixture_write(f, "pin", "not the pin\n", 0600);
	for (int i = 0; i < 5; i++)
	{
		agent_start(f);
		failed += !wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN);
		failed += kek_create(f, "x", id) != SDES_ERR_HSM_PIN;
		agent_kill(f);
	}
	check(failed == 0, "five agents with a wrong PIN: each fails with \"%s\"",
	      sdes_status_name(SDES_ERR_HSM_PIN));
	check(fixture_calls(f, "C_Login") == 1, "and exactly one C_Login among them");
	check(fixture_calls(f, "C_Login 0xa0") == 1, "which the token answered with 0xa0");
	check(!fixture_logged(f, "not the pin"), "the PIN is not in the log");

	agent_start(f);
	wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN);
	fixture_write(f, "pin", TEST_PIN "\n", 0600);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK),
	      "a corrected PIN works without a restart");
	check(fixture_calls(f, "C_Login") == 2, "with one more C_Login");
	fixture_free(f);
}

/* Some tokens have other words for a PIN that they do not take. */
static void
test_other_refusals(void)
{
	static const unsigned codes[] = {0x7, 0x102, 0x103, 0x104, 0x105};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
	{
		Fixture *f = fixture_new();
		char rule[32];
		int failed = 0;

		snprintf(rule, sizeof(rule), "C_Login 0x%x", codes[i]);
		fixture_rule(f, rule);
		for (int n = 0; n < 2; n++)
		{
			agent_start(f);
			failed += !wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN);
			agent_kill(f);
		}
		check(failed == 0 && fixture_calls(f, "C_Login") == 1, "%s: tried once", rule);
		fixture_free(f);
	}
}

/* The low count is due to our own wrong PIN: its correction gets one try too. */
static void
test_corrected(void)
{
	Fixture *f = fixture_new();

	fixture_write(f, "pin", "wrong one", 0600);
	agent_start(f);
	wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN);
	fixture_rule(f, FLAG_COUNT_LOW);
	fixture_write(f, "pin", "wrong two", 0600);
	for (int i = 0; i < 200 && fixture_calls(f, "C_Login") < 2; i++)
		sleep_ms(20);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN),
	      "a corrected PIN is tried though the token reports a low count");
	sleep_ms(1500);
	check(fixture_calls(f, "C_Login") == 2, "and, refused, not again");
	fixture_write(f, "pin", TEST_PIN, 0600);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "the next correction works");
	check(fixture_calls(f, "C_Login") == 3, "with one more C_Login");
	fixture_free(f);
}

static void
test_retry(void)
{
	Fixture *f = fixture_new();

	protect_token(f);
	fixture_write(f, "pin", "wrong", 0600);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN), "a wrong PIN");
	check_status(ask_op(f, SDES_OP_PIN_RETRY), SDES_OK, "PIN_RETRY answers at once");
	for (int i = 0; i < 100 && fixture_calls(f, "C_Login") < 2; i++)
		sleep_ms(20);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN) &&
	          fixture_calls(f, "C_Login") == 2,
	      "and tries the PIN once more");
	sleep_ms(1500);
	check(fixture_calls(f, "C_Login") == 2, "but only once");
	fixture_free(f);
}

/* Flags of the token that forbid a login, and whether PIN_RETRY lifts them. */
static void
test_flags(void)
{
	static const struct
	{
		const char *rule;
		bool lifted;
	} flags[] = {{FLAG_COUNT_LOW, true}, {FLAG_FINAL_TRY, false}, {FLAG_LOCKED, false}};

	for (size_t i = 0; i < 3; i++)
	{
		Fixture *f = fixture_new();

		fixture_rule(f, flags[i].rule);
		agent_start(f);
		check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN_LOCKED) &&
		          fixture_calls(f, "C_Login") == 0,
		      "%s: no login", flags[i].rule);
		ask_op(f, SDES_OP_PIN_RETRY);
		sleep_ms(700);
		check(fixture_calls(f, "C_Login") == (flags[i].lifted ? 1 : 0), "%s: PIN_RETRY %s",
		      flags[i].rule, flags[i].lifted ? "logs in" : "does not change that");
		if (!flags[i].lifted)
		{
			fixture_rule(f, NULL);
			check(wait_state(f, SDES_AGENT_READY, SDES_OK), "%s: heals when it is gone",
			      flags[i].rule);
		}
		fixture_free(f);
	}
}

/* A token that locks at the login itself, before its flags could say so. */
static void
test_locked_at_login(void)
{
	Fixture *f = fixture_new();

	fixture_rule(f, "C_Login 0xa4"); /* CKR_PIN_LOCKED */
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN_LOCKED),
	      "C_Login says that the PIN is locked");
	sleep_ms(1500);
	check(fixture_calls(f, "C_Login") == 1, "and the PIN is not tried again");
	fixture_free(f);
}

/* Killed in the middle of C_Login: tried again, unless the token has counted. */
static void
test_killed_in_login(void)
{
	Fixture *f = fixture_new();

	fixture_rule(f, "C_Login hang");
	agent_start(f);
	for (int i = 0; i < 200 && fixture_calls(f, "C_Login 0x0 hangs") < 1; i++)
		sleep_ms(20);
	check(access(fixture_path(f, "state/pin_latch"), F_OK) == 0,
	      "the latch is written before C_Login");
	agent_kill(f);
	fixture_rule(f, FLAG_COUNT_LOW);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN_LOCKED),
	      "killed in C_Login, and the token has counted: no login");
	agent_kill(f);
	fixture_rule(f, NULL);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK),
	      "killed in C_Login, and the token has not: tried again");
	fixture_free(f);
}

static bool
source_refused(Fixture *f, const char *detail)
{
	bool refused = wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN_SOURCE) &&
	               strstr(f->reply.info.detail, detail) != NULL &&
	               fixture_calls(f, "C_Login") == 0;

	if (!refused)
		printf("# %s\n", f->reply.info.detail);
	return refused;
}

static void
test_unsafe_files(void)
{
	Fixture *f = fixture_new();

	fixture_write(f, "pin", TEST_PIN, 0644);
	agent_start(f);
	check(source_refused(f, "unsafe"), "PIN file readable by others: refused");
	fixture_write(f, "pin", TEST_PIN, 0600);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "PIN file made safe: works by itself");
	fixture_free(f);

	f = fixture_new();
	if (symlink("pin", fixture_path(f, "link")) != 0)
		abort();
	snprintf(f->config.pin_source, sizeof(f->config.pin_source), "file:%s",
	         fixture_path(f, "link"));
	agent_start(f);
	check(source_refused(f, "symbolic link"), "PIN file is a symbolic link: refused");
	agent_kill(f);
	fixture_write(f, "data/pin", TEST_PIN, 0600);
	snprintf(f->config.pin_source, sizeof(f->config.pin_source), "file:%s",
	         fixture_path(f, "data/../data/pin"));
	agent_start(f);
	check(source_refused(f, "data directory"), "PIN file in the data directory: refused");
	agent_kill(f);
	if (mkfifo(fixture_path(f, "fifo"), 0600) != 0)
		abort();
	snprintf(f->config.pin_source, sizeof(f->config.pin_source), "file:%s",
	         fixture_path(f, "fifo"));
	agent_start(f);
	check(source_refused(f, "regular file"), "PIN file is a FIFO: refused, no wait");
	agent_kill(f);
	snprintf(f->config.pin_source, sizeof(f->config.pin_source), "file:%s/missing", f->dir);
	agent_start(f);
	check(source_refused(f, "No such file"), "PIN file is missing");
	fixture_write(f, "missing", TEST_PIN "\r\n", 0400);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "PIN file appears: works by itself");
	fixture_free(f);
}

static void
test_contents(void)
{
	Fixture *f = fixture_new();
	char text[400];

	fixture_write(f, "pin", "\n", 0600);
	agent_start(f);
	check(source_refused(f, "1 to 255"), "an empty PIN: refused");
	agent_kill(f);
	memset(text, 'x', sizeof(text));
	text[256] = '\0';
	fixture_write(f, "pin", text, 0600);
	agent_start(f);
	check(source_refused(f, "1 to 255"), "a PIN of 256 bytes: refused");
	fixture_free(f);
}

static void
set_source(Fixture *f, const char *source)
{
	snprintf(f->config.pin_source, sizeof(f->config.pin_source), "%s", source);
}

static void
test_commands(void)
{
	Fixture *f = fixture_new();
	char command[128];
	int64_t began;

	set_source(f, "|sleep 0.1; printf '%s\\n' " TEST_PIN);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "a PIN command");
	check(!fixture_logged(f, TEST_PIN), "a PIN command is not in the log");
	fixture_free(f);

	f = fixture_new();
	set_source(f, "|exit 3");
	agent_start(f);
	check(source_refused(f, "command failed"), "a PIN command that fails");
	agent_kill(f);
	set_source(f, "|yes");
	agent_start(f);
	check(source_refused(f, "more than 255"), "a PIN command that prints for ever");
	agent_kill(f);
	/* A number of seconds that no other run of this test has. */
	snprintf(command, sizeof(command), "|sleep 61.%d | sleep 61.%d", getpid(), getpid());
	set_source(f, command);
	began = now_ms();
	agent_start(f);
	check(wait_state(f, SDES_AGENT_STARTING, SDES_ERR_HSM_STARTING),
	      "STATUS answers while a PIN command runs");
	check(source_refused(f, "5 seconds") && now_ms() - began < 8000,
	      "a PIN command that hangs: ended after 5 s");
	snprintf(command, sizeof(command),
	         "! grep -lsxz '61.%d' /proc/[0-9]*/cmdline >/dev/null", getpid());
	check(system(command) == 0, "with all its children");
	fixture_free(f);
}

static void
test_credential(void)
{
	Fixture *f = fixture_new();

	setenv("CREDENTIALS_DIRECTORY", f->dir, 1);
	set_source(f, "credential:pin");
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "a systemd credential");
	agent_kill(f);
	unsetenv("CREDENTIALS_DIRECTORY");
	unlink(fixture_path(f, "calls"));
	agent_start(f);
	check(source_refused(f, "CREDENTIALS_DIRECTORY"), "a credential without systemd");
	fixture_free(f);
}

static void
test_latch_fails_closed(void)
{
	Fixture *f = fixture_new();

	snprintf(f->config.state_directory, sizeof(f->config.state_directory), "%s/none",
	         f->dir);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM) &&
	          strstr(f->reply.info.detail, "latch") != NULL &&
	          fixture_calls(f, "C_Login") == 0,
	      "no place for the latch: no login");
	mkdir(f->config.state_directory, 0700);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "and it heals when there is one");
	agent_kill(f);
	fixture_write(f, "none/pin_latch", "what is this\n", 0600);
	unlink(fixture_path(f, "calls"));
	agent_start(f);
	check(wait_state(f, SDES_AGENT_FAILED, SDES_ERR_HSM_PIN) &&
	          fixture_calls(f, "C_Login") == 0,
	      "a latch that cannot be understood: no login");
	ask_op(f, SDES_OP_PIN_RETRY);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "until an administrator says so");
	fixture_free(f);
}

/* The layout that the documentation recommends, as the user it is meant for. */
static void
test_read_only_softhsm(void)
{
	Fixture *f = fixture_new();
	uint8_t id[SDES_KEK_ID_SIZE];
	SdesDekBinding binding;
	SdesRequest unwrap;

	protect_token(f);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "read-only token.object: login");
	check_status(kek_create(f, "ro", id), SDES_OK, "read-only token.object: KEK_CREATE");
	binding = make_binding(id);
	check_status(dek_create(f, &binding, &unwrap), SDES_OK,
	             "read-only token.object: DEK_CREATE");
	agent_kill(f);
	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "read-only token.object: login again");
	check_status(ask(f, &unwrap, 5000), SDES_OK, "read-only token.object: DEK_UNWRAP");
	check_status(kek_op(f, SDES_OP_KEK_DESTROY, id), SDES_OK,
	             "read-only token.object: KEK_DESTROY");
	fixture_free(f);
}

void
pin_tests(void)
{
	test_one_try();
	test_other_refusals();
	test_corrected();
	test_retry();
	test_flags();
	test_locked_at_login();
	test_killed_in_login();
	test_unsafe_files();
	test_contents();
	test_commands();
	test_credential();
	test_latch_fails_closed();
	if (!fixture_is_nss())
		test_read_only_softhsm();
}
