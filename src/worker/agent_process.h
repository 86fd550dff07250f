/*
 * agent_process.h
 *		The key agent as a child process. Private to this room.
 */
#ifndef SDES_AGENT_PROCESS_H
#define SDES_AGENT_PROCESS_H

#include "postgres.h"

#include "agent/config.h"

typedef struct SdesAgentProcess
{
	pid_t pid;    /* 0: none */
	int lifeline; /* its standard input: closing it ends the agent; -1: none */
	int news;     /* its standard output: readable when it has news or died; -1: none */
} SdesAgentProcess;

#define SDES_NO_AGENT_PROCESS                                                              \
	{                                                                                      \
		0, -1, -1                                                                          \
	}

/*
 * Starts the agent program with these settings. On failure returns false and
 * writes why into trouble.
 */
extern bool sdes_agent_process_start(SdesAgentProcess *process,
                                     const SdesAgentConfig *config, char *trouble,
                                     size_t size);

/* True when the process has ended and was reaped; *status is as wait(2) has it. */
extern bool sdes_agent_process_reap(SdesAgentProcess *process, int *status);

/*
 * Ends the agent: closes its lifeline and waits up to two seconds; a process
 * that does not notice (it is stopped, or stuck in the kernel) is killed. It
 * is our own child, reaped here and by nobody else, so that its death by a
 * signal is never taken for a server crash.
 */
extern void sdes_agent_process_stop(SdesAgentProcess *process);

/* Reads away what the agent said, and tells if it did; returns false at end of file. */
extern bool sdes_agent_process_drain(SdesAgentProcess *process, bool *said_something);

#endif
