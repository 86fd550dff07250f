/*
 * server.h
 *		The agent's main thread: its socket, its clients, its supervisor.
 */
#ifndef SDES_AGENT_SERVER_H
#define SDES_AGENT_SERVER_H

#include "agent/config.h"

/*
 * Exit statuses of the agent; the supervisor starts a new one after any. Once
 * it serves, only 0 and 1: a postmaster that is process 1 reaps orphans and
 * takes any other status for a crash of its own.
 */
#define SDES_EXIT_ORPHAN 0 /* the supervisor closed its end of the pipe */
#define SDES_EXIT_SETUP  1 /* configuration, socket or memory */
#define SDES_EXIT_STUCK  1 /* see sdes_jobs_hopeless() */
#define SDES_EXIT_USAGE  2

typedef struct SdesServerMode
{
	/*
	 * Started by the supervisor: standard input is its pipe (end of file ends
	 * the agent), standard output takes a line per state change, and a client
	 * must run as our own user. Otherwise a service of its own, whose socket's
	 * group and directory decide who may connect.
	 */
	bool supervised;
} SdesServerMode;

/* Serves until the process ends; returns an exit status when it cannot. */
extern int sdes_server_run(const SdesAgentConfig *config, SdesServerMode mode);

#endif
