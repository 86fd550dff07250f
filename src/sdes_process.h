/*
 * sdes_process.h
 *		Takes the server's processes out of each other's reach.
 */
#ifndef SDES_PROCESS_H
#define SDES_PROCESS_H

/* Called once, in the postmaster. */
extern void sdes_process_init(void);

#endif
