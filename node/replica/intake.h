/* Intake: what the core channel nodes (CCNs) say wants to run.
 *
 * Every replica polls every CCN, verifies what is new and keeps its content;
 * only the leader submits. A failed or malformed page makes a snapshot void,
 * never empty; a program is dropped only after two complete snapshots without
 * it and a confirmation by its own status. Source: aleph.md 2, 3.1, 3.2, 9. */
#ifndef NODE_REPLICA_INTAKE_H
#define NODE_REPLICA_INTAKE_H

#include "node/lib/json.h"
#include "node/replica/edge_internal.h"

int intake_open(struct intake **out, struct edge *edge);
void intake_close(struct intake *intake); /* releases the edge when done */
void intake_free(struct intake *intake);
void intake_leader(struct intake *intake); /* leadership may have changed */
/* {"ccns":[...],"refused":[...]} */
void intake_render(struct intake *intake, struct json_writer *w);

/* The CRNs of the configuration file, put by the leader (intake_crns.c). */
int intake_crns_open(struct intake_crns **out, struct edge *edge);
void intake_crns_close(struct intake_crns *crns); /* releases the edge */
void intake_crns_free(struct intake_crns *crns);
void intake_crns_leader(struct intake_crns *crns);

#endif
