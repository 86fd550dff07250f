/*
 * fixture.h
 *		A SoftHSM2 token in a directory of its own, an agent started as the
 *		supervisor starts it, and a client that waits.
 */
#ifndef SDES_TEST_FIXTURE_H
#define SDES_TEST_FIXTURE_H

#include "agent/client.h"

#include <sys/types.h>

#define TEST_PIN "test-pin-93517"

typedef struct Fixture
{
	char dir[64]; /* a new directory in TMPDIR */
	SdesAgentConfig config;
	const uint8_t *secret; /* what clients show: config.secret, or NULL */

	pid_t agent;  /* 0 when none runs */
	int to_agent; /* its standard input */
	int from_agent;
	SdesClient *client;
	SdesReply reply; /* of the last request */
	uint8_t dek[SDES_DEK_SIZE];
} Fixture;

/*
 * The module under test: SoftHSM2, or NSS's softokn, whose one token has no
 * serial number, keeps its label nowhere, and counts no wrong PINs.
 */
extern bool fixture_is_nss(void);

/* A directory with a token "sdes", its PIN file, and settings for them. */
extern Fixture *fixture_new(void);
/* Kills the agent and removes the directory. */
extern void fixture_free(Fixture *f);

/* Path of a file in the directory: a static buffer, good until the fourth next call. */
extern const char *fixture_path(const Fixture *f, const char *name);
extern void fixture_write(const Fixture *f, const char *name, const char *text,
                          mode_t mode);
extern void fixture_make_token(const Fixture *f, const char *label);
/* Lines of the proxy's log that begin with so. */
extern int fixture_calls(const Fixture *f, const char *prefix);
/* True when the agent's log holds the text. */
extern bool fixture_logged(const Fixture *f, const char *text);
/* Sets or, with NULL, removes the proxy's rules. */
extern void fixture_rule(const Fixture *f, const char *rule);

extern void agent_start(Fixture *f);
/* Waits for the agent's end; its wait status, or -1 when it did not come in time. */
extern int agent_wait(Fixture *f, int ms);
extern void agent_kill(Fixture *f);
/* Closes its standard input and waits: true when it ended with status 0 in time. */
extern bool agent_orphan(Fixture *f, int ms);

/* One request, waited for; the reply's status or the client's failure. */
extern SdesStatus ask(Fixture *f, const SdesRequest *request, int ms);
extern SdesStatus ask_op(Fixture *f, SdesAgentOp op);
/* Waits until STATUS says so; false after ten seconds. */
extern bool wait_state(Fixture *f, SdesAgentState state, SdesStatus status);

extern SdesStatus kek_create(Fixture *f, const char *label, uint8_t id[SDES_KEK_ID_SIZE]);
extern SdesStatus kek_op(Fixture *f, SdesAgentOp op, const uint8_t id[SDES_KEK_ID_SIZE]);
extern SdesDekBinding make_binding(const uint8_t kek[SDES_KEK_ID_SIZE]);
extern SdesStatus dek_create(Fixture *f, const SdesDekBinding *binding,
                             SdesRequest *unwrap);

extern int64_t now_ms(void);
extern void sleep_ms(int ms);

#endif
