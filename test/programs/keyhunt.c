/*
 * keyhunt.c
 *		Searches the memory of running processes for byte strings.
 *
 *		keyhunt PID... <PATTERNS
 *
 * A line of PATTERNS is "NAME HEX", with 8 bytes or more. Prints a line "PID NAME
 * ADDRESS MAPPING" per hit and a line "PID searched BYTES" per process, where BYTES
 * counts what could be read. It sees what root sees, which is no less than what
 * a core file would hold: all that is mapped and readable. That
 * takes CAP_SYS_PTRACE, which test/run gives to this program alone.
 *
 * The patterns are compared where their first two bytes are met, so that some
 * hundreds of them cost little more than one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#define MAX_PATTERNS 4096
#define MIN_SIZE     8
#define MAX_SIZE     64
#define CHUNK        ((size_t) 1 << 20)

typedef struct Pattern
{
	char name[64];
	uint8_t bytes[MAX_SIZE];
	size_t size;
	int next; /* of the same first two bytes, -1 at the end */
} Pattern;

static Pattern patterns[MAX_PATTERNS];
static int npatterns;
static int first_of[65536];

/* One process's mapping, as /proc/PID/maps has it. */
typedef struct Mapping
{
	uint64_t begin, end;
	char name[256];
} Mapping;

static void
die(const char *what)
{
	fprintf(stderr, "keyhunt: %s: %s\n", what, strerror(errno));
	exit(2);
}

static bool
unhex(const char *text, Pattern *p)
{
	size_t digits = strlen(text);

	if (digits % 2 != 0 || digits < (size_t) 2 * MIN_SIZE || digits > (size_t) 2 * MAX_SIZE)
		return false;
	for (p->size = 0; p->size < digits / 2; p->size++)
	{
		if (sscanf(text + 2 * p->size, "%2hhx", &p->bytes[p->size]) != 1)
			return false;
	}
	return true;
}

static void
read_patterns(void)
{
	char line[512], hex[2 * MAX_SIZE + 2];

	memset(first_of, -1, sizeof(first_of));
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		Pattern *p = &patterns[npatterns];
		int start;

		errno = EINVAL;
		if (npatterns == MAX_PATTERNS || sscanf(line, "%63s %129s", p->name, hex) != 2 ||
		    !unhex(hex, p))
			die("patterns");
		start = p->bytes[0] | p->bytes[1] << 8;
		p->next = first_of[start];
		first_of[start] = npatterns++;
	}
}

static void
search(const char *pid, const Mapping *m, uint64_t address, const uint8_t *bytes,
       size_t size)
{
	for (size_t i = 0; i + MIN_SIZE <= size; i++)
	{
		for (int n = first_of[bytes[i] | bytes[i + 1] << 8]; n >= 0; n = patterns[n].next)
		{
			const Pattern *p = &patterns[n];

			if (i + p->size <= size && memcmp(bytes + i, p->bytes, p->size) == 0)
				printf("%s %s %" PRIx64 " %s\n", pid, p->name, address + i, m->name);
		}
	}
}

/* Chunks overlap, so that nothing hides on an edge. Returns how much was read. */
static uint64_t
search_mapping(const char *pid, const Mapping *m)
{
	static uint8_t chunk[CHUNK + MAX_SIZE];
	uint64_t done = 0;

	for (uint64_t at = m->begin; at < m->end; at += CHUNK)
	{
		uint64_t left = m->end - at;
		size_t size = left < sizeof(chunk) ? (size_t) left : sizeof(chunk);
		struct iovec local = {chunk, size}, remote = {(void *) (uintptr_t) at, size};
		ssize_t n = process_vm_readv((pid_t) atoi(pid), &local, 1, &remote, 1, 0);

		if (n <= 0)
			break; /* a mapped file that was cut, the kernel's own pages */
		search(pid, m, at, chunk, (size_t) n);
		done += (uint64_t) n;
	}
	return done;
}

static bool
read_mapping(FILE *maps, Mapping *m)
{
	char line[4096], rights[8];

	while (fgets(line, sizeof(line), maps) != NULL)
	{
		m->name[0] = '\0';
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %255[^\n]", &m->begin,
		           &m->end, rights, m->name) < 3)
			continue;
		if (rights[0] == 'r' && strcmp(m->name, "[vvar]") != 0 &&
		    strcmp(m->name, "[vsyscall]") != 0)
			return true;
	}
	return false;
}

static void
hunt(const char *pid)
{
	char path[64];
	uint64_t searched = 0;
	FILE *maps;
	Mapping m;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	if (maps == NULL)
		die(path);
	while (read_mapping(maps, &m))
		searched += search_mapping(pid, &m);
	fclose(maps);
	printf("%s searched %" PRIu64 "\n", pid, searched);
}

int
main(int argc, char **argv)
{
	read_patterns();
	for (int i = 1; i < argc; i++)
		hunt(argv[i]);
	return 0;
}
