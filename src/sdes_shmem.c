/*
 * sdes_shmem.c
 *		The hooks for shared memory, once for all rooms.
 */
#include "postgres.h"

#include "sdes_shmem.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#define MAX_PIECES 8

typedef struct Piece
{
	const char *name;
	Size size;
	Size zeroed;
	void **memory;
	SdesShmemInit init;
} Piece;

static Piece pieces[MAX_PIECES];
static int npieces = 0;

static shmem_startup_hook_type previous_startup = NULL;
#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_request = NULL;
#endif

static void
request_piece(const Piece *piece)
{
	RequestAddinShmemSpace(MAXALIGN(piece->size));
	RequestNamedLWLockTranche(piece->name, 1);
}

#if PG_VERSION_NUM >= 150000
static void
request(void)
{
	if (previous_request)
		previous_request();
	for (int i = 0; i < npieces; i++)
		request_piece(&pieces[i]);
}
#endif

static void
startup(void)
{
	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < npieces; i++)
	{
		Piece *piece = &pieces[i];
		bool found;

		*piece->memory = ShmemInitStruct(piece->name, piece->size, &found);
		if (found)
			continue;
		memset(*piece->memory, 0, piece->zeroed);
		piece->init(*piece->memory, &GetNamedLWLockTranche(piece->name)->lock);
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
set_hooks(void)
{
#if PG_VERSION_NUM >= 150000
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
#endif
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

void
sdes_shmem_add(const char *name, Size size, Size zeroed, void **memory, SdesShmemInit init)
{
	if (npieces == MAX_PIECES)
		elog(ERROR, "too many pieces of shared memory");
	if (npieces == 0)
		set_hooks();
	pieces[npieces] = (Piece){name, size, zeroed, memory, init};
#if PG_VERSION_NUM < 150000
	request_piece(&pieces[npieces]);
#endif
	npieces++;
}
