/*
 * sdes_process.c
 *		Makes the postmaster, and with it every process it forks, undumpable:
 *		no core file, no ptrace, no /proc/PID/mem, also not for a program that
 *		COPY PROGRAM started under the same user. From the start, because a
 *		descriptor on a process's memory, once opened, stays good.
 *
 * An undumpable process cannot write its own /proc/self/oom_score_adj. That is
 * what a server child does when it was told to (PG_OOM_ADJUST_FILE, set by
 * Debian's pg_ctlcluster): it gives up the protection from the out-of-memory
 * killer that the postmaster has. So the postmaster, through a descriptor that
 * it opened while it could, takes on the children's score for the moment of
 * the fork, and its own again after it.
 */
#include "postgres.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "sdes_process.h"

static int score_file = -1;
static pid_t postmaster = 0;
static char own_score[16];
static char child_score[16] = "0";

static void
write_score(const char *score)
{
	/* Children inherit the handlers, but fork nothing that needs a score. */
	if (getpid() == postmaster && pwrite(score_file, score, strlen(score), 0) < 0)
		return; /* as the server itself does: without the right, all stays as it is */
}

static void
before_fork(void)
{
	write_score(child_score);
}

static void
after_fork(void)
{
	write_score(own_score);
}

static void
keep_oom_score_adjustable(void)
{
	const char *file = getenv("PG_OOM_ADJUST_FILE");
	const char *value = getenv("PG_OOM_ADJUST_VALUE");
	ssize_t n;

	if (file == NULL)
		return;
	score_file = open(file, O_RDWR | O_CLOEXEC);
	if (score_file < 0)
		return;
	n = read(score_file, own_score, sizeof(own_score) - 1);
	if (n <= 0)
		return;
	own_score[n] = '\0';
	if (value != NULL)
		strlcpy(child_score, value, sizeof(child_score));
	postmaster = getpid();
	pthread_atfork(before_fork, after_fork, NULL);
}

void
sdes_process_init(void)
{
	keep_oom_score_adjustable();
	if (!sdes_process_undumpable())
		ereport(WARNING, (errmsg("sdes: cannot make the server's processes undumpable")));
}
