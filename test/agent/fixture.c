/*
 * fixture.c
 *		See fixture.h. Whatever goes wrong in the fixture itself ends the test
 *		program, since no check after it would mean anything.
 */
#include "fixture.h"

#include "crypto/kdf.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void
die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *
setting(const char *name)
{
	const char *value = getenv(name);

	if (value == NULL)
	{
		errno = 0;
		die(name);
	}
	return value;
}

int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

const char *
fixture_path(const Fixture *f, const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", f->dir, name);
	return path;
}

void
fixture_write(const Fixture *f, const char *name, const char *text, mode_t mode)
{
	const char *path = fixture_path(f, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text) ||
	    fchmod(fd, mode) != 0 || close(fd) != 0)
		die(path);
}

static void
run(const char *format, const char *a, const char *b)
{
	char command[1024];

	snprintf(command, sizeof(command), format, a, b);
	if (system(command) != 0)
		die(command);
}

bool
fixture_is_nss(void)
{
	return strstr(setting("SDES_TEST_MODULE"), "softokn") != NULL;
}

static void
make_nss_token(const Fixture *f)
{
	if (mkdir(fixture_path(f, "nss"), 0700) != 0)
		die("mkdir");
	run("certutil -N -d 'sql:%s' -f '%s'", fixture_path(f, "nss"), fixture_path(f, "pin"));
}

void
fixture_make_token(const Fixture *f, const char *label)
{
	setenv("SOFTHSM2_CONF", fixture_path(f, "softhsm2.conf"), 1);
	run("softhsm2-util --init-token --free --label '%s' --pin '%s' --so-pin 12345678 "
	    ">/dev/null",
	    label, TEST_PIN);
}

static void
make_softhsm_token(const Fixture *f)
{
	char conf[256];

	if (mkdir(fixture_path(f, "tokens"), 0700) != 0)
		die("mkdir");
	snprintf(conf, sizeof(conf),
	         "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
	         fixture_path(f, "tokens"));
	fixture_write(f, "softhsm2.conf", conf, 0600);
	fixture_make_token(f, "sdes");
}

static void
set_environment(const Fixture *f)
{
	setenv("SOFTHSM2_CONF", fixture_path(f, "softhsm2.conf"), 1);
	setenv("SDES_PROXY_MODULE", setting("SDES_TEST_MODULE"), 1);
	if (fixture_is_nss())
		setenv("SDES_PROXY_INIT_ARGS", "yes", 1);
	setenv("SDES_PROXY_LOG", fixture_path(f, "calls"), 1);
	setenv("SDES_PROXY_CONTROL", fixture_path(f, "rules"), 1);
}

static void
set_config(Fixture *f)
{
	SdesAgentConfig *c = &f->config;

	snprintf(c->module, sizeof(c->module), "%s", setting("SDES_TEST_PROXY"));
	if (fixture_is_nss())
		snprintf(c->init_args, sizeof(c->init_args),
		         "configdir='sql:%s' certPrefix='' keyPrefix='' secmod='secmod.db' "
		         "dbTokenDescription='sdes' flags=optimizeSpace updatedir=''",
		         fixture_path(f, "nss"));
	snprintf(c->token, sizeof(c->token), "pkcs11:token=sdes");
	snprintf(c->pin_source, sizeof(c->pin_source), "file:%s", fixture_path(f, "pin"));
	snprintf(c->socket, sizeof(c->socket), "%s", fixture_path(f, "socket"));
	snprintf(c->state_directory, sizeof(c->state_directory), "%s",
	         fixture_path(f, "state"));
	snprintf(c->forbidden_directory, sizeof(c->forbidden_directory), "%s",
	         fixture_path(f, "data"));
	c->has_secret = true;
	if (sdes_random(c->secret, sizeof(c->secret)) != SDES_OK)
		die("random bytes");
	f->secret = c->secret;
}

Fixture *
fixture_new(void)
{
	Fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		die("memory");
	snprintf(f->dir, sizeof(f->dir), "/tmp/sdes_agent_XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		die("mkdtemp");
	if (mkdir(fixture_path(f, "state"), 0700) != 0 ||
	    mkdir(fixture_path(f, "data"), 0700) != 0)
		die("mkdir");
	fixture_write(f, "pin", TEST_PIN "\n", 0600);
	if (fixture_is_nss())
		make_nss_token(f);
	else
		make_softhsm_token(f);
	set_environment(f);
	set_config(f);
	f->to_agent = f->from_agent = -1;
	f->client = sdes_client_new();
	return f;
}

void
fixture_free(Fixture *f)
{
	agent_kill(f);
	sdes_client_free(f->client);
	run("rm -rf '%s'%s", f->dir, "");
	free(f);
}

static char *
slurp(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	if (file != NULL)
	{
		if (fread(text, 1, (1 << 20) - 1, file) == 0)
			text[0] = '\0';
		fclose(file);
	}
	return text;
}

int
fixture_calls(const Fixture *f, const char *prefix)
{
	char *text = slurp(fixture_path(f, "calls"));
	int count = 0;

	for (char *line = text; line != NULL && *line != '\0';)
	{
		count += strncmp(line, prefix, strlen(prefix)) == 0;
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	free(text);
	return count;
}

bool
fixture_logged(const Fixture *f, const char *text)
{
	char *log = slurp(fixture_path(f, "log"));
	bool found = strstr(log, text) != NULL;

	free(log);
	return found;
}

void
fixture_rule(const Fixture *f, const char *rule)
{
	char path[256];

	if (rule == NULL)
	{
		unlink(fixture_path(f, "rules"));
		return;
	}
	/* By rename, so that the proxy never reads half a rule. */
	fixture_write(f, "rules.new", rule, 0600);
	snprintf(path, sizeof(path), "%s", fixture_path(f, "rules.new"));
	if (rename(path, fixture_path(f, "rules")) != 0)
		die("rename");
}

static void
exec_agent(const Fixture *f, int input, int output)
{
	const char *program = setting("SDES_TEST_AGENT");
	int log = open(fixture_path(f, "log"), O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(log, 2) < 0)
		_exit(99);
	execl(program, program, "--supervised", (char *) NULL);
	_exit(99);
}

void
agent_start(Fixture *f)
{
	char settings[8 * SDES_CONFIG_VALUE_SIZE];
	size_t size = sdes_config_print(&f->config, settings, sizeof(settings));
	int input[2], output[2];

	set_environment(f);
	if (size == 0 || pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0)
		die("pipe");
	fflush(stdout);
	f->agent = fork();
	if (f->agent == 0)
		exec_agent(f, input[0], output[1]);
	close(input[0]);
	close(output[1]);
	f->to_agent = input[1];
	f->from_agent = output[0];
	if (write(f->to_agent, settings, size) != (ssize_t) size)
		die("settings");
	/* Until it listens. */
	for (int i = 0; i < 200 && ask_op(f, SDES_OP_STATUS) == SDES_ERR_AGENT_ABSENT; i++)
		sleep_ms(20);
}

static void
agent_reaped(Fixture *f)
{
	f->agent = 0;
	close(f->to_agent);
	close(f->from_agent);
	f->to_agent = f->from_agent = -1;
}

int
agent_wait(Fixture *f, int ms)
{
	int64_t deadline = now_ms() + ms;
	int status;

	while (waitpid(f->agent, &status, WNOHANG) != f->agent)
	{
		if (now_ms() >= deadline)
			return -1;
		sleep_ms(10);
	}
	agent_reaped(f);
	return status;
}

void
agent_kill(Fixture *f)
{
	if (f->agent == 0)
		return;
	kill(f->agent, SIGKILL);
	waitpid(f->agent, NULL, 0);
	agent_reaped(f);
}

bool
agent_orphan(Fixture *f, int ms)
{
	int status;

	close(f->to_agent);
	f->to_agent = -1;
	status = agent_wait(f, ms);
	return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

SdesStatus
ask(Fixture *f, const SdesRequest *request, int ms)
{
	SdesClientWant want =
	    sdes_client_begin(f->client, f->config.socket, f->secret, request);
	int64_t deadline = now_ms() + ms;

	memset(&f->reply, 0, sizeof(f->reply));
	while (want == SDES_CLIENT_READ || want == SDES_CLIENT_WRITE)
	{
		struct pollfd ready = {sdes_client_fd(f->client),
		                       want == SDES_CLIENT_READ ? POLLIN : POLLOUT, 0};

		if (now_ms() >= deadline)
		{
			sdes_client_close(f->client);
			return SDES_ERR_AGENT_TIMEOUT;
		}
		poll(&ready, 1, 50);
		want = sdes_client_step(f->client);
	}
	if (want == SDES_CLIENT_FAILED)
		return sdes_client_status(f->client);
	f->reply = *sdes_client_reply(f->client);
	if (f->reply.dek.size == SDES_DEK_SIZE)
		memcpy(f->dek, f->reply.dek.data, SDES_DEK_SIZE);
	f->reply.dek = sdes_bytes(NULL, 0); /* what it pointed to is wiped next */
	sdes_client_finish(f->client);
	return f->reply.status;
}

SdesStatus
ask_op(Fixture *f, SdesAgentOp op)
{
	SdesRequest request = {.op = op};

	return ask(f, &request, 3000);
}

bool
wait_state(Fixture *f, SdesAgentState state, SdesStatus status)
{
	int64_t deadline = now_ms() + 10000;

	while (now_ms() < deadline)
	{
		if (ask_op(f, SDES_OP_STATUS) == SDES_OK && f->reply.info.state == state &&
		    f->reply.info.status == status)
			return true;
		sleep_ms(20);
	}
	printf("# state is %d, status %d (%s)\n", f->reply.info.state, f->reply.info.status,
	       f->reply.info.detail);
	return false;
}

SdesStatus
kek_create(Fixture *f, const char *label, uint8_t id[SDES_KEK_ID_SIZE])
{
	SdesRequest request = {.op = SDES_OP_KEK_CREATE, .kind = SDES_KEK_AES_256};
	SdesStatus status;

	snprintf(request.label, sizeof(request.label), "%s", label);
	status = ask(f, &request, 15000);
	memcpy(id, f->reply.kek_id, SDES_KEK_ID_SIZE);
	return status;
}

SdesStatus
kek_op(Fixture *f, SdesAgentOp op, const uint8_t id[SDES_KEK_ID_SIZE])
{
	SdesRequest request = {.op = op};

	memcpy(request.kek_id, id, SDES_KEK_ID_SIZE);
	return ask(f, &request, 15000);
}

SdesDekBinding
make_binding(const uint8_t kek[SDES_KEK_ID_SIZE])
{
	SdesDekBinding binding = {
	    .version = 7, .purpose = SDES_PURPOSE_DATA, .mode = SDES_MODE_CACHED};

	memset(binding.key_id, 0x11, sizeof(binding.key_id));
	memset(binding.bucket, 0x22, sizeof(binding.bucket));
	memcpy(binding.kek_id, kek, SDES_KEK_ID_SIZE);
	return binding;
}

SdesStatus
dek_create(Fixture *f, const SdesDekBinding *binding, SdesRequest *unwrap)
{
	SdesRequest request = {.op = SDES_OP_DEK_CREATE, .binding = *binding};
	SdesStatus status = ask(f, &request, 15000);

	memset(unwrap, 0, sizeof(*unwrap));
	unwrap->op = SDES_OP_DEK_UNWRAP;
	unwrap->binding = *binding;
	unwrap->wrapped_size = f->reply.wrapped_size;
	memcpy(unwrap->wrapped, f->reply.wrapped, f->reply.wrapped_size);
	return status;
}
