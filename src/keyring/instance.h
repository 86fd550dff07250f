/*
 * instance.h
 *		Whether this database owns its keys, or is a copy of the one that does.
 *
 * The first key that a database makes writes down whose it is: the cluster's system
 * identifier and the database's OID. A dump that was restored, in another database or
 * cluster, or a database made of a template, finds another owner written there. Until
 * sdes.adopt_keys() it may open values, and seal them under keys that it made itself, but
 * do nothing that takes a key away from the original: two databases then depend on one key
 * encryption key.
 *
 * What this does not notice is a copy of the whole cluster, byte for byte (a base
 * backup that is started beside the original): it has the same identifier. It is told
 * that it is one by sdes.adopt_keys().
 */
#ifndef SDES_INSTANCE_H
#define SDES_INSTANCE_H

#include "postgres.h"

/* True also while there is no key yet. */
extern bool sdes_instance_is_owner(void);

/*
 * An error unless this database owns its keys. action completes "cannot …" ("destroy
 * encryption keys"). For whatever destroys a key, or the blob of one, or moves it to
 * where the original does not find it.
 */
extern void sdes_require_owner(const char *action);

/* Makes this database the owner if there is none yet and no key came from elsewhere. */
extern void sdes_instance_claim(void);

/* Makes this database the owner, whoever was. */
extern void sdes_instance_adopt(void);

#endif
