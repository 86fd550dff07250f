/*
 * p11_rules.h
 *		The rules of p11_proxy.c: read from a file at each call, counted, applied.
 *
 * Part of p11_proxy.c, in a file of its own for its length.
 */
#ifndef SDES_TEST_P11_RULES_H
#define SDES_TEST_P11_RULES_H

#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 64
#define LINE_SIZE 256
#define TORN_BYTE 0xa5 /* what happened to lie there */

typedef struct Rule
{
	char action[NAME_SIZE]; /* "" when there is none */
	unsigned long number;   /* a CKR, flag, attribute, mechanism or milliseconds */
	unsigned long count;    /* for so many calls; 0: always */
	unsigned long every;    /* for every so many-th call; 0: all */
} Rule;

/* How many calls a rule has seen since the file was written. */
typedef struct Seen
{
	char line[LINE_SIZE];
	unsigned long calls;
} Seen;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Seen seen[32];
static struct stat seen_in;

/* The rules at the last C_Initialize. */
static struct stat known;

static bool
same_rules(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
stat_rules(struct stat *st)
{
	const char *path = getenv("SDES_PROXY_CONTROL");

	memset(st, 0, sizeof(*st));
	if (path != NULL && stat(path, st) != 0)
		memset(st, 0, sizeof(*st));
}

static void
note_initialize(void)
{
	stat_rules(&known);
}

/* Whether that was after the rules were written. */
static bool
initialized_since(void)
{
	struct stat now;

	stat_rules(&now);
	return same_rules(&now, &known);
}

static void
record(const char *name, CK_RV rv, const char *more)
{
	const char *path = getenv("SDES_PROXY_LOG");
	int fd =
	    path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	char line[512];
	int n =
	    snprintf(line, sizeof(line), "%s 0x%lx%s%s\n", name, rv, more[0] ? " " : "", more);

	if (fd < 0)
		return;
	if (write(fd, line, (size_t) n) != n)
		abort();
	close(fd);
}

/* The number of this call under a rule, from 1 on. A file that changed begins anew. */
static unsigned long
count_call(FILE *file, const char *line)
{
	unsigned long calls = 0;
	struct stat st;

	pthread_mutex_lock(&lock);
	if (fstat(fileno(file), &st) == 0 && !same_rules(&st, &seen_in))
	{
		memset(seen, 0, sizeof(seen));
		seen_in = st;
	}
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]) && calls == 0; i++)
	{
		if (seen[i].line[0] == '\0')
			strcpy(seen[i].line, line);
		if (strcmp(seen[i].line, line) == 0)
			calls = ++seen[i].calls;
	}
	pthread_mutex_unlock(&lock);
	return calls;
}

/* Takes a line apart; false unless it is about this function. */
static bool
parse(const char *line, const char *name, Rule *rule)
{
	char function[NAME_SIZE], word[3][NAME_SIZE] = {"", "", ""};
	int n = sscanf(line, "%63s %63s %63s %63s %63s", function, rule->action, word[0],
	               word[1], word[2]);
	int at = 0;

	rule->number = rule->count = rule->every = 0;
	if (n < 2 || strcmp(function, name) != 0)
		return false;
	if (rule->action[0] == '0')
		rule->number = strtoul(rule->action, NULL, 0);
	else if (strcmp(rule->action, "delay") == 0 || strcmp(rule->action, "set") == 0 ||
	         strcmp(rule->action, "flip") == 0 || strcmp(rule->action, "deny") == 0)
		rule->number = strtoul(word[at++], NULL, 0);
	if (strcmp(word[at], "every") == 0)
		rule->every = strtoul(word[at + 1], NULL, 0);
	else
		rule->count = strtoul(word[at], NULL, 0);
	return true;
}

/*
 * The first rule for a function that applies to this call; with an action, only
 * such rules. Unless counted, the call is none: one looks whether a rule stands.
 */
static bool
find_rule(const char *name, const char *action, bool counted, Rule *rule)
{
	const char *path = getenv("SDES_PROXY_CONTROL");
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	char line[LINE_SIZE];
	bool found = false;

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
	{
		unsigned long call;

		if (!parse(line, name, rule) ||
		    (action != NULL && strcmp(rule->action, action) != 0))
			continue;
		found = true;
		if (!counted || (rule->count == 0 && rule->every == 0))
			continue;
		call = count_call(file, line);
		found = rule->count > 0 ? call <= rule->count : call % rule->every == 0;
	}
	if (file != NULL)
		fclose(file);
	if (!found)
		memset(rule, 0, sizeof(*rule));
	return found;
}

/*
 * The beginning of a call: its rule, and what of it comes before the call. True
 * when it must not be passed on; *rv is its result then.
 */
static bool
intervene(const char *name, Rule *rule, CK_RV *rv)
{
	Rule standing;

	if (!find_rule(name, NULL, true, rule))
		return false;
	if (strcmp(rule->action, "segv") == 0)
		raise(SIGSEGV);
	if (strcmp(rule->action, "delay") == 0)
		poll(NULL, 0, (int) rule->number);
	if (strcmp(rule->action, "hang") == 0)
	{
		record(name, 0, "hangs");
		while (find_rule(name, "hang", false, &standing))
			poll(NULL, 0, 20);
	}
	if (strcmp(rule->action, "short") == 0)
		*rv = CKR_BUFFER_TOO_SMALL;
	else if (rule->action[0] == '0')
		*rv = rule->number;
	else
		return false;
	return true;
}

/* Whether a mechanism is denied, by a rule for C_GetMechanismInfo or this function. */
static bool
denied(const char *name, CK_MECHANISM_TYPE type)
{
	Rule rule;

	return (find_rule("C_GetMechanismInfo", "deny", false, &rule) && rule.number == type) ||
	       (find_rule(name, "deny", false, &rule) && rule.number == type);
}

/* What a rule does to what a call has written; out is NULL when only a size was asked. */
static void
spoil(const Rule *rule, CK_BYTE_PTR out, CK_ULONG_PTR size)
{
	if (out == NULL || *size == 0)
		return;
	if (strcmp(rule->action, "wrong") == 0)
		out[0] ^= 1;
	if (strcmp(rule->action, "torn") == 0)
		out[*size - 1] = TORN_BYTE;
	if (strcmp(rule->action, "less") == 0)
		(*size)--;
}

#endif
