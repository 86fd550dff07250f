/*
 * opened.c
 *		Whether a transaction has seen plaintext.
 */
#include "postgres.h"

#include "storage/proc.h"
#include "value/value.h"

static LocalTransactionId opened_in = InvalidLocalTransactionId;

static LocalTransactionId
this_transaction(void)
{
#if PG_VERSION_NUM < 170000
	return MyProc->lxid;
#else
	return MyProc->vxid.lxid;
#endif
}

void
sdes_value_note_opened(void)
{
	opened_in = this_transaction();
}

bool
sdes_value_opened_here(void)
{
	return opened_in != InvalidLocalTransactionId && opened_in == this_transaction();
}
