/*
 * tokens.c
 *		Which tokens there are, by asking their agents.
 */
#include "postgres.h"

#include "keyring/tokens.h"

static void
fail(SdesHsmToken *token, SdesStatus status, const char *detail)
{
	token->ready = false;
	token->failure.status = status;
	strlcpy(token->failure.detail, detail, sizeof(token->failure.detail));
}

/* An agent's STATUS never waits for its module. */
static void
look(SdesHsmToken *token, SdesPatience patience)
{
	SdesRequest request = {.op = SDES_OP_STATUS};
	const SdesReply *reply =
	    sdes_agentlink_try_at(token->link, &request, patience, &token->failure);

	if (reply == NULL)
		return;
	token->ready = true;
	strlcpy(token->label, reply->info.token_label, sizeof(token->label));
	strlcpy(token->serial, reply->info.token_serial, sizeof(token->serial));
	if (reply->info.state == SDES_AGENT_FAILED)
		fail(token, (SdesStatus) reply->info.status, reply->info.detail);
	else if (sdes_agentlink_suspected(token->link, NULL))
		fail(token, SDES_ERR_HSM_TIMEOUT, "");
	sdes_agentlink_finish();
}

/* Where there is one agent, it is waited for while it is started again. */
int
sdes_tokens_look(SdesHsmToken tokens[SDES_MAX_TOKENS])
{
	int n = sdes_agentlink_count();

	memset(tokens, 0, n * sizeof(SdesHsmToken));
	for (int i = 0; i < n; i++)
	{
		tokens[i].link = i;
		look(&tokens[i], n == 1 ? SDES_PATIENT : SDES_ONCE);
	}
	return n;
}

bool
sdes_token_is_home(const SdesHsmToken *token, const SdesKekRow *kek)
{
	return token->label[0] != '\0' && strcmp(token->label, kek->token_label) == 0 &&
	       strcmp(token->serial, kek->token_serial) == 0;
}

const SdesHsmToken *
sdes_token_of(const SdesHsmToken *tokens, int n, const SdesKekRow *kek)
{
	for (int i = 0; i < n; i++)
		if (sdes_token_is_home(&tokens[i], kek))
			return &tokens[i];
	return NULL;
}

const char *
sdes_token_name(const SdesHsmToken *token)
{
	return token->label[0] ? pstrdup(token->label)
	                       : psprintf("number %d of the settings", token->link + 1);
}
