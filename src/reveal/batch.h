/*
 * batch.h
 *		Values of mode hsm in a client's result, opened many at once. Private to
 *		this room.
 */
#ifndef SDES_REVEAL_BATCH_H
#define SDES_REVEAL_BATCH_H

#include "fmgr.h"
#include "types/types.h"

extern void sdes_batch_init(void);

/*
 * For a call of reveal() whose result goes to the client as it is: takes the value
 * to be opened together with others, and returns the armor that stands in for it
 * until then. NULL: not such a call, open it now.
 */
extern text *sdes_batch_defer(FunctionCallInfo fcinfo, struct varlena *value,
                              const SdesType *type);

#endif
