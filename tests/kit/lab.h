/* Replica engines over real directories, a network in memory and a clock that
 * the test moves: small, and everything can be looked at. */
#ifndef TESTS_KIT_LAB_H
#define TESTS_KIT_LAB_H

#include "node/lib/replica_io_internal.h"
#include "raft/replica.h"

#define LAB_MAX 5u

struct lab_frame {
	struct lab_frame *next;
	uint64_t from, to;
	size_t size;
	uint8_t data[];
};

struct lab_replica {
	struct lab *lab;
	uint64_t id;
	char directory[64];
	struct node_files files;
	struct replica_io io;
	struct replica_machine machine;
	struct replica_config config;
	struct replica *replica; /* NULL: stopped */
	struct replica_job *jobs, **jobs_end;
	bool hang; /* jobs are not run */
	uint64_t applied, applied_size, leading_term, drops;
	uint8_t last[64];
	struct fault fatal; /* code 0: none */
	char dropped[128];  /* why, last */
};

struct lab {
	uint64_t now_ms, chance;
	uint32_t count;
	struct lab_replica replicas[LAB_MAX];
	struct lab_frame *frames, **frames_end;
	/* NULL, or says whether a frame is delivered. */
	bool (*pass)(struct lab *lab, const struct lab_frame *frame);
};

/* Directories under /tmp; not bootstrapped. */
void lab_open(struct lab *lab, uint32_t count);
void lab_close(struct lab *lab);
int lab_bootstrap(struct lab_replica *r, uint32_t voters, struct fault *fault);
int lab_start(struct lab_replica *r, struct fault *fault);
void lab_stop(struct lab_replica *r);
/* Links all that run. */
void lab_link(struct lab *lab);
/* Runs jobs, frames and timers for so long. */
void lab_run(struct lab *lab, uint64_t ms);
struct lab_replica *lab_leader(struct lab *lab);
/* Bootstraps, starts and links `count`, and waits for a leader. */
struct lab_replica *lab_up(struct lab *lab, uint32_t count);

#endif
