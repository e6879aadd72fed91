/* A state whose programs have all gone: what is read back from its snapshot
 * can be placed in, though no slot is in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fsm/place.h"

struct memory {
	uint8_t data[1 << 16];
	size_t size, at;
};

static bool memory_write(void *ctx, const void *data, size_t size)
{
	struct memory *m = ctx;

	if (size > sizeof m->data - m->size)
		return false;
	memcpy(m->data + m->size, data, size);
	m->size += size;
	return true;
}

static bool memory_read(void *ctx, void *data, size_t size)
{
	struct memory *m = ctx;

	if (size > m->size - m->at)
		return false;
	memcpy(data, m->data + m->at, size);
	m->at += size;
	return true;
}

static void apply(struct fsm *fsm, uint64_t index, const struct command *c,
		  uint64_t term)
{
	struct memory entry = { .size = 0 };
	struct byte_sink sink = { &entry, memory_write };

	assert_true(command_entry_begin(&sink, term, 1));
	assert_true(command_encode(&sink, c));
	fsm_apply(fsm, index, entry.data, entry.size, NULL);
}

static struct fsm *emptied(void)
{
	struct command config = { .type = FSM_CONFIG };
	struct command lead = { .type = FSM_LEAD };
	struct command put = { .type = FSM_PROGRAM_PUT };
	struct command forget = { .type = FSM_PROGRAM_FORGET };
	struct fsm *fsm = fsm_open();

	config.config = (struct fsm_config){
		.heartbeat_ms = 500, .ttl_a_ms = 4000, .ttl_s_ms = 5200,
		.k_ms = 1000, .dt_max_ms = 2000, .beat_ms = 250,
		.rho_ppm = 10000, .programs_max = 100, .crns_max = 10 };
	apply(fsm, 1, &config, 0);
	lead.lead.term = 1;
	apply(fsm, 2, &lead, 1);
	memset(&put.program_put.program, 7, sizeof(struct hash));
	put.program_put.persistent = true;
	put.program_put.vcpus = 1;
	apply(fsm, 3, &put, 1);
	forget.program_forget.program = put.program_put.program;
	apply(fsm, 4, &forget, 1);
	return fsm;
}

static void a_state_without_programs_is_walked(void **state)
{
	static struct memory snapshot;
	const struct byte_sink sink = { &snapshot, memory_write };
	const struct byte_source source = { &snapshot, memory_read };
	struct place_overlay *overlay = place_overlay_open();
	struct fsm *fsm = emptied(), *read = NULL;
	struct command_assign assign;
	uint32_t cursor = 0;

	(void)state;
	assert_int_equal(fsm_program_bound(fsm_live(fsm)), 1);
	assert_true(fsm_snapshot_write(fsm_live(fsm), &sink));
	assert_int_equal(fsm_snapshot_read(&read, &source), 0);
	assert_int_equal(fsm_program_bound(fsm_live(read)), 1);
	assert_int_equal(place_round(fsm_live(read), overlay, &cursor, 100,
				     &assign, 1), 0);
	fsm_check(read);
	place_overlay_close(overlay);
	fsm_close(read);
	fsm_close(fsm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_state_without_programs_is_walked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
