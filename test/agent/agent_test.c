/*
 * agent_test.c
 *		The key agent, end to end, on a real token: keys, PIN, faults, clients;
 *		and the token itself through the provider: wraps, values, vectors.
 *
 *		agent_test [group ...]
 */
#include "fixture.h"
#include "tap.h"
#include "tests.h"

#include <signal.h>
#include <sys/resource.h>

bool
check(bool passed, const char *format, ...)
{
	char name[256];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	return ok(passed, "%s", name);
}

bool
check_status(SdesStatus got, SdesStatus want, const char *name)
{
	return is_status(got, want, name);
}

typedef struct Group
{
	const char *name;
	void (*run)(void);
} Group;

static const Group groups[] = {
    {"keys", key_tests},       {"pin", pin_tests},          {"faults", fault_tests},
    {"ladder", ladder_tests},  {"batches", batch_tests},    {"clients", client_tests},
    {"signers", sign_tests},   {"wraps", wrap_tests},       {"values", value_tests},
    {"vectors", vector_tests}, {"failures", failure_tests},
};

static bool
wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], name) == 0)
			return true;
	}
	return argc == 1;
}

int
main(int argc, char **argv)
{
	struct rlimit files;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
	{
		if (!wanted(groups[i].name, argc, argv))
			continue;
		printf("# %s\n", groups[i].name);
		groups[i].run();
	}
	return done_testing();
}
