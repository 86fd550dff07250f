/*
 * agent.c
 *		sdes_agent: the program that alone talks to the HSM.
 *
 * Started by the extension's supervisor (--supervised: settings on standard
 * input until an empty line, and end of file there ends the agent), or as a
 * service of its own (--config FILE). May be killed at any time.
 */
#include "agent/log.h"
#include "agent/server.h"
#include "crypto/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SDES_VERSION
#error "SDES_VERSION comes from the control file, by the Makefile"
#endif

#define LINE_SIZE (SDES_CONFIG_VALUE_SIZE + 64)

typedef struct Options
{
	bool supervised;
	const char *config; /* NULL unless a service */
} Options;

static void
print_help(void)
{
	printf("sdes_agent guards the keys of the PostgreSQL extension sdes.\n"
	       "\n"
	       "Usage:\n"
	       "  sdes_agent --config FILE   run as a service with the settings in FILE\n"
	       "  sdes_agent --supervised    run under the extension's supervisor, which\n"
	       "                             writes the settings to standard input\n"
	       "  sdes_agent --help          show this help, then exit\n"
	       "  sdes_agent --version       show the version, then exit\n"
	       "\n"
	       "FILE holds lines \"name = value\" and must belong to root or to the\n"
	       "agent's user, writable by nobody else. Names: module, init_args, token,\n"
	       "pin_source, socket, state_directory, forbidden_directory.\n");
}

/* Exits on --help, --version and nonsense. */
static Options
parse_options(int argc, char **argv)
{
	static const struct option known[] = {
	    {"supervised", no_argument, NULL, 's'},
	    {"config", required_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	Options options = {false, NULL};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
	{
		switch (c)
		{
			case 's':
				options.supervised = true;
				break;
			case 'c':
				options.config = optarg;
				break;
			case 'h':
				print_help();
				exit(EXIT_SUCCESS);
			case 'V':
				printf("sdes_agent %s\n", SDES_VERSION);
				exit(EXIT_SUCCESS);
			default:
				exit(SDES_EXIT_USAGE);
		}
	}
	if (optind != argc || options.supervised == (options.config != NULL))
	{
		fprintf(stderr, "sdes_agent: give --supervised or --config FILE (see --help)\n");
		exit(SDES_EXIT_USAGE);
	}
	return options;
}

/* What the parent left open is none of our business, and a sibling's pipe less. */
static void
close_inherited(void)
{
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define HAVE_CLOSEFROM 1
#endif
#endif
#ifdef HAVE_CLOSEFROM
	closefrom(3);
#else
	for (int fd = 3; fd < sysconf(_SC_OPEN_MAX); fd++)
		close(fd);
#endif
}

static void
harden(void)
{
	struct rlimit no_core = {0, 0};

	close_inherited();
	setrlimit(RLIMIT_CORE, &no_core);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	/* Reap what a PIN command leaves behind; see pin_command.c. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

#define LINE_END      (-1) /* of the file */
#define LINE_TOO_LONG (-2)

/*
 * Reads one line byte by byte, so that nothing after the settings is taken
 * from the supervisor's pipe. Returns its length, or one of the above.
 */
static ssize_t
read_line(int fd, char *line, size_t size)
{
	size_t used = 0;

	while (used < size - 1)
	{
		ssize_t n = read(fd, line + used, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && used == 0)
			return LINE_END;
		if (n <= 0 || line[used] == '\n')
		{
			line[used] = '\0';
			return (ssize_t) used;
		}
		used++;
	}
	return LINE_TOO_LONG;
}

/* True at the end of the settings: the supervisor's empty line, or the end of a file. */
static bool
read_settings(int fd, bool supervised, SdesAgentConfig *config, char *line)
{
	const char *why = "be shorter";

	for (int number = 1;; number++)
	{
		ssize_t length = read_line(fd, line, LINE_SIZE);

		if (length == LINE_END || (length == 0 && supervised))
			return (length == 0) == supervised;
		if (length == 0)
			continue;
		if (length < 0 || strlen(line) != (size_t) length ||
		    !sdes_config_set_line(config, line, &why))
		{
			/* The number only: the line may hold the secret. */
			sdes_agent_log("setting in line %d is not valid: it must %s", number, why);
			return false;
		}
	}
}

static bool
check_config_file(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
	{
		sdes_agent_log("\"%s\" is not a regular file", path);
		return false;
	}
	if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
	{
		sdes_agent_log("\"%s\" must belong to root or to the agent's user and be "
		               "writable by nobody else",
		               path);
		return false;
	}
	return true;
}

static bool
read_config_file(const char *path, SdesAgentConfig *config, char *line)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool done;

	if (fd < 0)
	{
		sdes_agent_log("cannot open \"%s\": %s", path, strerror(errno));
		return false;
	}
	done = check_config_file(fd, path) && read_settings(fd, false, config, line);
	close(fd);
	if (done && config->has_secret)
	{
		sdes_agent_log("\"%s\" must not set a secret: the socket's permissions say who "
		               "may connect",
		               path);
		return false;
	}
	return done;
}

static bool
load_config(const Options *options, SdesAgentConfig *config)
{
	SdesSecret line;
	bool done;

	if (sdes_secret_new(&line, LINE_SIZE) != SDES_OK)
		return false;
	done = options->supervised
	           ? read_settings(STDIN_FILENO, true, config, (char *) line.data)
	           : read_config_file(options->config, config, (char *) line.data);
	sdes_secret_free(&line);
	return done;
}

int
main(int argc, char **argv)
{
	bool undumpable = sdes_process_undumpable();
	Options options = parse_options(argc, argv);
	SdesServerMode mode = {options.supervised};
	SdesSecret memory;

	harden();
	if (!undumpable)
	{
		sdes_agent_log("the system refuses to make this process undumpable");
		return SDES_EXIT_SETUP;
	}
	if (sdes_secret_new(&memory, sizeof(SdesAgentConfig)) != SDES_OK)
	{
		sdes_agent_log("no locked memory: raise RLIMIT_MEMLOCK to 64 kB or more");
		return SDES_EXIT_SETUP;
	}
	if (!load_config(&options, (SdesAgentConfig *) (void *) memory.data))
		return SDES_EXIT_SETUP;
	sdes_agent_log("started, version %s", SDES_VERSION);
	return sdes_server_run((SdesAgentConfig *) (void *) memory.data, mode);
}
