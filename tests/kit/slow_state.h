/* The slow model's own: its records, and what its files share. */
#ifndef TESTS_KIT_SLOW_STATE_H
#define TESTS_KIT_SLOW_STATE_H

#include "tests/kit/slow.h"

#define SLOW_REQUESTS 4096u   /* remembered */
#define SLOW_LINEAGE 4096u    /* records of one lineage */
#define SLOW_EXCLUSIONS 64u   /* of one program */
#define SLOW_VCPUS 65535u     /* a program's or a CRN's, at most */
#define SLOW_MIB (UINT64_C(1) << 40)
#define SLOW_TYPES 16u

struct slow_text {
	uint32_t size;
	char data[FSM_TEXT_SIZE_MAX];
};

struct slow_tokens {
	uint32_t count;
	struct slow_text token[FSM_TOKENS_MAX];
};

/* What its owner said. */
struct slow_wish {
	enum program_source source;
	enum program_kind kind;
	enum guarantee guarantee;
	bool amendable, has_data, move_without_data, persistent;
	bool has_replaces, has_node_pin;
	struct hash replaces, node_pin;
	uint64_t time_ms, code_revision, memory_mib, disk_mib;
	uint32_t vcpus;
	struct slow_text owner, name;
	struct slow_tokens tokens;
};

struct slow_exclusion {
	struct hash crn;
	uint64_t until_ms;
};

struct slow_program {
	struct hash hash, lineage;
	enum program_state state;
	bool touched, waiting, superseded, forgotten, lost, hold;
	bool loser;      /* a sibling, or an ancestor's, was first */
	bool has_data_crn;
	struct hash crn, host, data_crn;
	stamp_t session, epoch, v_rev;
	uint64_t gen;
	uint32_t exclusion_count;
	struct slow_exclusion exclusions[SLOW_EXCLUSIONS];
	struct slow_wish *wish;
};

struct slow_crn {
	struct hash hash, host, boot, survey_host;
	bool touched, alive, established, linked, surveyed, reported;
	bool registered; /* ever, so that it has a class */
	enum crn_class class;
	enum crn_watchdog watchdog;
	uint32_t k_ms, vcpus;
	uint64_t memory_mib, disk_mib, exp_ms, seq_seen;
	stamp_t session, changed, survey_session;
	uint8_t nonce[16];
	struct slow_text name, owner, url, reason;
	struct slow_tokens tokens;
};

struct slow_request {
	uint8_t id[16];
	enum fsm_refusal refusal;
	stamp_t stamp;
};

struct slow {
	uint64_t index, term, gen, c_ms, quar_until_ms, ttl_s_ever_ms, leader;
	bool configured, no_holds;
	struct fsm_config config;
	struct slow_program *programs;
	struct slow_crn *crns;
	uint32_t program_count, crn_count, program_room, crn_room;
	struct slow_request requests[SLOW_REQUESTS];
	uint64_t request_count; /* ever */

	stamp_t stamp; /* of the command at hand */
	struct fsm_result *heard;
	uint32_t heard_count, heard_room, entries;
	uint64_t reached[SLOW_TYPES][FSM_REFUSAL_COUNT];
};

/* What a command did, or why not. */
struct slow_verdict {
	enum fsm_refusal refusal;
	stamp_t stamp;
	bool again; /* as the first time that it was asked */
};

/* slow.c */
bool slow__same(const struct hash *a, const struct hash *b);
struct slow_text slow__text(const struct text *text);
bool slow__text_is(const struct slow_text *a, const struct slow_text *b);
void slow__tokens(struct slow_tokens *out, uint32_t count,
		  const struct text *tokens);
bool slow__tokens_are(const struct slow_tokens *a, const struct slow_tokens *b);
struct slow_program *slow__program(struct slow *s, const struct hash *hash);
struct slow_crn *slow__crn(struct slow *s, const struct hash *hash);
bool slow__placed(const struct slow_program *p); /* ASSIGNED or REVOKING */
bool slow__on(const struct slow_program *p, const struct slow_crn *c);
bool slow__survey_due(const struct slow *s);

/* slow_program.c */
enum fsm_refusal slow__put(struct slow *s, const struct command_program_put *m);
enum fsm_refusal slow__forget(struct slow *s,
			      const struct command_program_forget *m);
struct slow_program *slow__new_program(struct slow *s, const struct hash *hash);
bool slow__wanted(const struct slow_program *p);
bool slow__lineage_busy(const struct slow *s, const struct slow_program *p);
void slow__set_changed(struct slow *s, const struct hash *crn);
void slow__revoke(struct slow *s, struct slow_program *p);
/* Ends its run. The record stays; slow__sweep deletes what may go. */
void slow__release(struct slow *s, struct slow_program *p);
void slow__sweep(struct slow *s);

/* slow_crn.c */
enum fsm_refusal slow__beat(struct slow *s, const struct command_beat *m);
enum fsm_refusal slow__report(struct slow *s,
			      const struct command_crn_report *m);
enum fsm_refusal slow__expire(struct slow *s, const struct command_expire *m);
enum fsm_refusal slow__assign(struct slow *s, const struct command_assign *m);
enum fsm_refusal slow__revoke_command(struct slow *s,
				      const struct command_revoke *m);
enum fsm_refusal slow__config(struct slow *s, const struct fsm_config *m);
enum fsm_refusal slow__crn_put(struct slow *s, const struct command_crn_put *m);
enum fsm_refusal slow__crn_remove(struct slow *s,
				  const struct command_crn_remove *m);
struct slow_crn *slow__new_crn(struct slow *s, const struct hash *hash);
bool slow__holds_any(const struct slow *s, const struct slow_crn *c);
struct slow_use {
	uint32_t programs, vcpus;
	uint64_t memory_mib, disk_mib;
};
struct slow_use slow__use(const struct slow *s, const struct slow_crn *c);
bool slow__excluded(const struct slow *s, const struct slow_program *p,
		    const struct hash *crn);

/* slow_survey.c */
enum fsm_refusal slow__register(struct slow *s,
				const struct command_register *m);
enum fsm_refusal slow__new_gen(struct slow *s, const struct command_new_gen *m);
enum fsm_refusal slow__fence_confirm(struct slow *s,
				     const struct command_fence_confirm *m);

/* slow_agree.c */
bool slow__records_agree(struct slow *s, const struct fsm_view *view,
			 enum slow_depth depth, char *message, size_t room);

#endif
