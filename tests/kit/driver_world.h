/* A leader's driver over a real state machine and a pretended log: a list of
 * entries that are applied when the test says so. Time stands still unless
 * the test moves it. Frames that the driver sends are kept to be looked at.
 */
#ifndef TESTS_KIT_DRIVER_WORLD_H
#define TESTS_KIT_DRIVER_WORLD_H

#include "node/replica/driver.h"

#define WORLD_FRAMES_MAX 8192

struct world_entry {
	struct world_entry *next;
	uint64_t index;
	bool urgent;
	size_t size;
	uint8_t data[];
};

struct world_frame {
	struct agent_route route;
	uint8_t type;
	size_t size;
	uint8_t *payload;
};

struct world {
	struct fsm *fsm;
	struct driver *driver;
	uint64_t now_ms, term, last, applied;
	int refuse; /* code that propose gives; 0: takes the entry */
	bool refuse_work; /* BUSY for all that is not urgent */
	struct world_entry *log, **log_end; /* proposed, not applied */
	struct world_frame frames[WORLD_FRAMES_MAX];
	uint32_t frame_count;
	struct fsm_result *results;
	uint32_t result_count, result_capacity;
	uint32_t alarms; /* H38, and what the last one said */
	struct driver_clock alarm;
};

/* A configured state (profile fast); nobody leads. */
void world_open(struct world *w);
void world_close(struct world *w);
/* The same for cmocka: *state is the world. */
int world_setup(void **state);
int world_teardown(void **state);
/* Leadership of the next term, own Lead applied. */
void world_lead(struct world *w);
uint64_t world_tick(struct world *w);
/* Applies the oldest entry; false: there is none. */
bool world_apply(struct world *w);
/* Ticks and applies until nothing is proposed any more. */
void world_settle(struct world *w);
/* Time passes in steps of 50 ms, settled at each. */
void world_pass(struct world *w, uint64_t ms);
/* Leadership is lost, and what was proposed with it: it was never committed. */
void world_lose(struct world *w);
uint32_t world_waiting(const struct world *w); /* entries not applied */
/* How many commands of this type wait in the log. */
uint32_t world_proposed(const struct world *w, enum fsm_command_type type);
void world_forget_frames(struct world *w);
/* The last frame of that type, or NULL. */
const struct world_frame *world_sent(const struct world *w, uint8_t type);
/* Submits one command as a client would and settles; the refusal. */
enum fsm_refusal world_command(struct world *w, const struct command *command);

/* An agent as far as the wire shows it. */
struct world_agent {
	struct hash crn, host, boot;
	struct agent_route route;
	uint64_t gen, seq;
	uint64_t clock_ms; /* told in heartbeats; 0: not */
	stamp_t session, have, applied;
	bool got_ack;
};

void world_agent(struct world_agent *a, uint8_t number);
void world_admit(struct world *w, const struct world_agent *a);
/* Hello, Challenge, Register, apply; true: acknowledged. */
bool world_register(struct world *w, struct world_agent *a, uint8_t nonce);
int world_say_register(struct world *w, const struct world_agent *a,
		       stamp_t prev, uint8_t nonce);
int world_hello(struct world *w, const struct world_agent *a, uint8_t nonce);
void world_report(struct world *w, const struct world_agent *a,
		  uint32_t vcpus);
/* One heartbeat with the next seq; runs may be NULL. */
int world_heartbeat(struct world *w, struct world_agent *a,
		    struct agent_run *runs, uint32_t run_count);
/* Admitted, registered, reported and established. */
void world_join(struct world *w, struct world_agent *a, uint32_t vcpus);
/* Decodes the last Reply for this agent and follows it; false: none. */
bool world_follow(struct world *w, struct world_agent *a,
		  struct agent_reply *out);
void world_program(struct command *out, uint32_t number);

struct fsm_status world_status(const struct world *w);
struct fsm_crn world_crn_of(const struct world *w, const struct world_agent *a);
struct fsm_program world_program_of(const struct world *w,
				    const struct command *put);
struct driver_status world_counts(const struct world *w);

#endif
