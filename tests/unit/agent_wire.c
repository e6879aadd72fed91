/* Messages of agents and replicas: what goes in comes out, what is cut, grown
 * or garbled is refused and never harms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/lib/agent_wire.h"
#include "node/lib/pack.h"

#define MUTATIONS 20000

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t chance(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

static struct hash hash_of(uint8_t byte)
{
	struct hash hash;

	memset(hash.bytes, byte, sizeof hash.bytes);
	return hash;
}

static struct text text_of(const char *string)
{
	return (struct text){ .data = string, .size = (uint32_t)strlen(string) };
}

/* One message of each kind, encoded. */
struct kind {
	const char *name;
	size_t (*encode)(uint8_t *data, size_t size_max);
	int (*decode)(const uint8_t *data, size_t size);
};

static struct hash kept_rows[8];
static struct agent_run run_rows[8];
static struct desired_row desired_rows[8];

static size_t hello_put(uint8_t *data, size_t size_max)
{
	struct agent_hello m = { .gen = 3, .crn = hash_of(1),
				 .boot = hash_of(2), .nonce = { 9, 8, 7 } };

	return agent_hello_encode(&m, data, size_max);
}

static int hello_get(const uint8_t *data, size_t size)
{
	struct agent_hello m;

	return agent_hello_decode(data, size, &m);
}

static size_t challenge_put(uint8_t *data, size_t size_max)
{
	struct agent_challenge m = { .gen = 1, .nonce = { 1 },
				     .session = UINT64_MAX };

	return agent_challenge_encode(&m, data, size_max);
}

static int challenge_get(const uint8_t *data, size_t size)
{
	struct agent_challenge m;

	return agent_challenge_decode(data, size, &m);
}

static size_t ack_put(uint8_t *data, size_t size_max)
{
	struct hash kept[3] = { hash_of(1), hash_of(2), hash_of(3) };
	struct agent_register_ack m = { .gen = 1, .nonce = { 1 },
					.session = 1u << 20, .ttl_a_ms = 4000,
					.heartbeat_ms = 500, .kept_count = 3,
					.kept = kept };

	return agent_register_ack_encode(&m, data, size_max);
}

static int ack_get(const uint8_t *data, size_t size)
{
	struct agent_register_ack m = { .kept = kept_rows, .kept_max = 3 };

	return agent_register_ack_decode(data, size, &m);
}

static size_t refused_put(uint8_t *data, size_t size_max)
{
	struct agent_refused m = { .of = AGENT_REGISTER,
				   .refusal = FSM_REFUSED_K,
				   .message = text_of("k_ms 900 is above 500, "
						      "which is configured") };

	return agent_refused_encode(&m, data, size_max);
}

static int refused_get(const uint8_t *data, size_t size)
{
	struct agent_refused m;

	return agent_refused_decode(data, size, &m);
}

static size_t heartbeat_put(uint8_t *data, size_t size_max)
{
	struct agent_run runs[2] = {
		{ .program = hash_of(5), .gen = 1, .epoch = 77,
		  .status = RUN_RUNNING },
		{ .program = hash_of(6), .gen = 1, .epoch = 78,
		  .status = RUN_FAILED, .failures = 300,
		  .reason = text_of("exit status 1: no such runtime") },
	};
	struct agent_heartbeat m = { .gen = 1, .crn = hash_of(4),
				     .session = 65537, .seq = 70000,
				     .applied = 1u << 31, .have = 5,
				     .got_ack = true, .clock_ms = 123456789012,
				     .run_count = 2, .runs = runs };

	return agent_heartbeat_encode(&m, data, size_max);
}

static int heartbeat_get(const uint8_t *data, size_t size)
{
	struct agent_heartbeat m = { .runs = run_rows, .run_max = 2 };

	return agent_heartbeat_decode(data, size, &m);
}

static struct agent_reply reply_make(struct desired_row *rows)
{
	struct agent_reply m = { .gen = 1, .session = 65536, .ack_seq = 12,
				 .ttl_a_ms = 10000, .version = 131071,
				 .changed = 131070, .has_desired = true,
				 .desired_count = 2, .desired = rows };

	rows[0] = (struct desired_row){ .program = hash_of(1), .epoch = 65540,
					.gen = 1, .code_revision = 2,
					.lineage = hash_of(3), .hold = true,
					.vcpus = 4, .memory_mib = 4096,
					.disk_mib = 1u << 20 };
	rows[1] = (struct desired_row){ .program = hash_of(2) };
	return m;
}

static size_t reply_put(uint8_t *data, size_t size_max)
{
	struct desired_row rows[2];
	struct agent_reply m = reply_make(rows);

	return agent_reply_encode(&m, data, size_max);
}

static int reply_get(const uint8_t *data, size_t size)
{
	struct agent_reply m = { .desired = desired_rows, .desired_max = 2 };

	return agent_reply_decode(data, size, &m);
}

static size_t replicas_put(uint8_t *data, size_t size_max)
{
	struct agent_replicas m = { .leader = 2, .count = 2,
				    .rows = { { 1, "127.0.0.1:7101" },
					      { 2, "[2001:db8::1]:7101" } } };

	return agent_replicas_encode(&m, data, size_max);
}

static int replicas_get(const uint8_t *data, size_t size)
{
	struct agent_replicas m;

	return agent_replicas_decode(data, size, &m);
}

static size_t ask_put(uint8_t *data, size_t size_max)
{
	struct agent_ask m = { .id = 1, .program = hash_of(1),
			       .tail_size = 4096 };

	return agent_ask_encode(&m, data, size_max);
}

static int ask_get(const uint8_t *data, size_t size)
{
	struct agent_ask m;

	return agent_ask_decode(data, size, &m);
}

static size_t answer_put(uint8_t *data, size_t size_max)
{
	static const uint8_t bytes[300] = { 1, 2, 3 };
	struct agent_answer m = { .id = 1, .code = BERTH_NOTFOUND,
				  .data = bytes, .size = sizeof bytes };

	return agent_answer_encode(&m, data, size_max);
}

static int answer_get(const uint8_t *data, size_t size)
{
	struct agent_answer m;

	return agent_answer_decode(data, size, &m);
}

static const struct kind kinds[] = {
	{ "hello", hello_put, hello_get },
	{ "challenge", challenge_put, challenge_get },
	{ "register ack", ack_put, ack_get },
	{ "refused", refused_put, refused_get },
	{ "heartbeat", heartbeat_put, heartbeat_get },
	{ "reply", reply_put, reply_get },
	{ "replicas", replicas_put, replicas_get },
	{ "ask", ask_put, ask_get },
	{ "answer", answer_put, answer_get },
};

static void test_each_cut_is_refused(void **state)
{
	uint8_t data[2048];

	(void)state;
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		size_t size = kinds[k].encode(data, sizeof data - 1);

		assert_int_not_equal(size, 0);
		assert_int_equal(kinds[k].decode(data, size), 0);
		for (size_t cut = 0; cut < size; cut++) {
			uint8_t small[2048];

			memcpy(small, data, cut);
			assert_int_equal(kinds[k].decode(small, cut),
					 BERTH_MALFORMED);
			/* and too small a buffer is told, not overrun */
			assert_int_equal(kinds[k].encode(small, cut), 0);
		}
		data[size] = 0xc0;
		assert_int_equal(kinds[k].decode(data, size + 1),
				 BERTH_MALFORMED);
	}
}

static void test_garbage_never_harms(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < MUTATIONS; i++) {
		const struct kind *kind = &kinds[i % COUNT_OF(kinds)];
		uint8_t data[2048];
		size_t size = kind->encode(data, sizeof data);
		uint32_t changes = 1 + chance(8);

		for (uint32_t c = 0; c < changes; c++)
			data[chance((uint32_t)size)] = (uint8_t)chance(256);
		if (chance(4) == 0)
			size = chance((uint32_t)size + 1);
		(void)(kind->decode(data, size) == 0);
	}
}

static void test_reply_round_trip(void **state)
{
	struct desired_row rows[2];
	struct agent_reply in = reply_make(rows);
	struct agent_reply out = { .desired = desired_rows, .desired_max = 8 };
	uint8_t data[512];
	size_t size = agent_reply_encode(&in, data, sizeof data);

	(void)state;
	assert_int_equal(agent_reply_decode(data, size, &out), 0);
	assert_int_equal(out.gen, 1);
	assert_int_equal(out.session, 65536);
	assert_int_equal(out.ack_seq, 12);
	assert_int_equal(out.ttl_a_ms, 10000);
	assert_int_equal(out.version, 131071);
	assert_int_equal(out.changed, 131070);
	assert_true(out.has_desired);
	assert_int_equal(out.desired_count, 2);
	assert_true(hash_equal(&out.desired[0].program, &rows[0].program));
	assert_true(hash_equal(&out.desired[0].lineage, &rows[0].lineage));
	assert_int_equal(out.desired[0].epoch, 65540);
	assert_int_equal(out.desired[0].code_revision, 2);
	assert_true(out.desired[0].hold);
	assert_false(out.desired[1].hold);
	assert_int_equal(out.desired[0].disk_mib, 1u << 20);
	/* an empty set is a set; none is none */
	in.desired_count = 0;
	size = agent_reply_encode(&in, data, sizeof data);
	assert_int_equal(agent_reply_decode(data, size, &out), 0);
	assert_true(out.has_desired);
	assert_int_equal(out.desired_count, 0);
	in.has_desired = false;
	size = agent_reply_encode(&in, data, sizeof data);
	assert_int_equal(agent_reply_decode(data, size, &out), 0);
	assert_false(out.has_desired);
}

static void test_heartbeat_round_trip(void **state)
{
	struct agent_heartbeat out = { .runs = run_rows, .run_max = 8 };
	uint8_t data[512];
	size_t size = heartbeat_put(data, sizeof data);

	(void)state;
	assert_int_equal(agent_heartbeat_decode(data, size, &out), 0);
	assert_int_equal(out.session, 65537);
	assert_int_equal(out.seq, 70000);
	assert_int_equal(out.applied, 1u << 31);
	assert_int_equal(out.have, 5);
	assert_true(out.got_ack);
	assert_int_equal(out.clock_ms, 123456789012);
	assert_int_equal(out.run_count, 2);
	assert_int_equal(out.runs[0].status, RUN_RUNNING);
	assert_int_equal(out.runs[1].failures, 300);
	assert_int_equal(out.runs[1].reason.size, 30);
	assert_memory_equal(out.runs[1].reason.data, "exit status 1", 13);
}

static void test_others_round_trip(void **state)
{
	struct agent_register_ack ack = { .kept = kept_rows, .kept_max = 8 };
	struct agent_refused refused;
	struct agent_replicas replicas;
	struct agent_answer answer;
	uint8_t data[512];
	size_t size = ack_put(data, sizeof data);

	(void)state;
	assert_int_equal(agent_register_ack_decode(data, size, &ack), 0);
	assert_int_equal(ack.session, 1u << 20);
	assert_int_equal(ack.ttl_a_ms, 4000);
	assert_int_equal(ack.heartbeat_ms, 500);
	assert_int_equal(ack.kept_count, 3);
	assert_int_equal(ack.kept[2].bytes[31], 3);
	size = refused_put(data, sizeof data);
	assert_int_equal(agent_refused_decode(data, size, &refused), 0);
	assert_int_equal(refused.refusal, FSM_REFUSED_K);
	assert_memory_equal(refused.message.data, "k_ms 900", 8);
	size = replicas_put(data, sizeof data);
	assert_int_equal(agent_replicas_decode(data, size, &replicas), 0);
	assert_int_equal(replicas.leader, 2);
	assert_string_equal(replicas.rows[1].address, "[2001:db8::1]:7101");
	size = answer_put(data, sizeof data);
	assert_int_equal(agent_answer_decode(data, size, &answer), 0);
	assert_int_equal(answer.code, BERTH_NOTFOUND);
	assert_int_equal(answer.size, 300);
	assert_int_equal(answer.data[2], 3);
}

static void test_more_rows_than_room(void **state)
{
	struct agent_register_ack ack = { .kept = kept_rows, .kept_max = 2,
					  .session = 5 };
	struct agent_reply reply = { .desired = desired_rows,
				     .desired_max = 1 };
	uint8_t data[512];
	size_t size = ack_put(data, sizeof data);

	(void)state;
	assert_int_equal(agent_register_ack_decode(data, size, &ack),
			 BERTH_TOOBIG);
	assert_int_equal(ack.session, 5); /* untouched */
	size = reply_put(data, sizeof data);
	assert_int_equal(agent_reply_decode(data, size, &reply), BERTH_TOOBIG);
}

static void test_numbers_at_their_edges(void **state)
{
	static const uint64_t values[] = { 0, 127, 128, 255, 256, 65535, 65536,
					   UINT32_MAX, UINT32_MAX + 1ull,
					   UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(values); i++) {
		uint8_t data[16];
		struct pack_writer w = { .data = data,
					 .size_max = sizeof data };
		struct pack_reader r = { .data = data };

		pack_uint(&w, values[i]);
		r.size = pack_end(&w);
		assert_true(unpack_uint(&r, values[i]) == values[i]);
		assert_int_equal(unpack_end(&r), 0);
		if (values[i] == 0)
			continue;
		r.offset = 0;
		unpack_uint(&r, values[i] - 1);
		assert_int_equal(unpack_end(&r), BERTH_MALFORMED);
	}
}

/* A count of four thousand million rows in five bytes costs nothing. */
static void test_huge_counts(void **state)
{
	static const uint8_t array[] = { 0xdd, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t bytes[] = { 0xc6, 0xff, 0xff, 0xff, 0xff };
	struct pack_reader r = { .data = array, .size = sizeof array };
	size_t size;

	(void)state;
	assert_int_equal(unpack_array_up_to(&r, 4096), 0);
	assert_int_equal(unpack_end(&r), BERTH_TOOBIG);
	r = (struct pack_reader){ .data = bytes, .size = sizeof bytes };
	assert_null(unpack_view(&r, SIZE_MAX, &size));
	assert_int_equal(unpack_end(&r), BERTH_MALFORMED);
}

/* --- REGISTER and REPORT: entries of one command ------------------------- */

static struct command register_make(struct held_row *held, uint32_t count)
{
	struct command command = { .type = FSM_REGISTER };

	for (uint32_t i = 0; i < count; i++)
		held[i] = (struct held_row){ .program = hash_of((uint8_t)i),
					     .gen = 2, .epoch = 40 + i };
	command.reg = (struct command_register){
		.gen = 2, .crn = hash_of(1), .host = hash_of(2),
		.boot = hash_of(3), .prev = 9, .nonce = { 5 }, .k_ms = 900,
		.watchdog = WATCHDOG_NONE, .class = CRN_FENCED,
		.held_count = count, .held = held };
	return command;
}

static struct command report_make(void)
{
	struct command command = { .type = FSM_CRN_REPORT };

	command.report = (struct command_crn_report){
		.crn = hash_of(1), .session = 77, .vcpus = 8,
		.memory_mib = 4096, .disk_mib = 9, .url = text_of("http://d"),
		.token_count = 1, .tokens = { text_of("arch:x86_64") } };
	return command;
}

static void test_commands_round_trip(void **state)
{
	struct held_row held[3];
	struct command in = register_make(held, 3), out;
	struct command_cursor cursor;
	uint8_t data[2048];
	size_t size = agent_command_encode(&in, data, sizeof data);

	(void)state;
	assert_true(size > 0);
	assert_int_equal(agent_command_decode(&cursor, data, size, &out), 0);
	assert_int_equal(out.type, FSM_REGISTER);
	assert_int_equal(out.reg.prev, 9);
	assert_int_equal(out.reg.held_count, 3);
	assert_int_equal(out.reg.held[2].epoch, 42);
	command_cursor_close(&cursor);
	in = report_make();
	size = agent_command_encode(&in, data, sizeof data);
	assert_int_equal(agent_command_decode(&cursor, data, size, &out), 0);
	assert_int_equal(out.type, FSM_CRN_REPORT);
	assert_int_equal(out.report.vcpus, 8);
	assert_int_equal(out.report.url.size, 8);
	command_cursor_close(&cursor);
	/* No room is no frame. */
	for (size_t room = 0; room < size; room++)
		assert_int_equal(agent_command_encode(&in, data, room), 0);
}

/* A CRN that sends another's command: it must not be able to say "Lead",
 * "Assign" or two things at once. */
static void test_other_commands_refused(void **state)
{
	struct command lead = { .type = FSM_EXPIRE,
		.expire = { .crn = hash_of(1), .session = 7 } };
	struct command report = report_make(), out;
	struct command_cursor cursor;
	uint8_t data[2048], two[4096];
	size_t size = agent_command_encode(&lead, data, sizeof data), one;

	(void)state;
	assert_true(size > 0);
	assert_int_equal(agent_command_decode(&cursor, data, size, &out),
			 BERTH_MALFORMED);
	size = agent_command_encode(&report, data, sizeof data);
	for (size_t cut = 0; cut < size; cut++)
		assert_int_not_equal(agent_command_decode(&cursor, data, cut,
							  &out), 0);
	/* Another one behind it. */
	memcpy(two, data, size);
	memcpy(two + size, data, size);
	one = (size_t)(agent_command_decode(&cursor, two, 2 * size, &out) == 0);
	if (one)
		command_cursor_close(&cursor);
	assert_int_equal(one, 0);
}

static void test_garbled_commands(void **state)
{
	struct held_row held[3];
	struct command in = register_make(held, 3), out;
	struct command_cursor cursor;
	uint8_t data[2048], bad[2048];
	size_t size = agent_command_encode(&in, data, sizeof data);

	(void)state;
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(bad, data, size);
		for (uint32_t n = chance(4) + 1; n > 0; n--)
			bad[chance((uint32_t)size)] = (uint8_t)chance(256);
		if (agent_command_decode(&cursor, bad, size, &out) != 0)
			continue;
		assert_true(out.type == FSM_REGISTER ||
			    out.type == FSM_CRN_REPORT);
		command_cursor_close(&cursor);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_cut_is_refused),
		cmocka_unit_test(test_garbage_never_harms),
		cmocka_unit_test(test_reply_round_trip),
		cmocka_unit_test(test_heartbeat_round_trip),
		cmocka_unit_test(test_others_round_trip),
		cmocka_unit_test(test_more_rows_than_room),
		cmocka_unit_test(test_numbers_at_their_edges),
		cmocka_unit_test(test_huge_counts),
		cmocka_unit_test(test_commands_round_trip),
		cmocka_unit_test(test_other_commands_refused),
		cmocka_unit_test(test_garbled_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
