#include "node/lib/agent_wire.h"
#include "node/lib/pack.h"

#define WRITER(data_, size_max_) { .data = (data_), .size_max = (size_max_) }
#define READER(data_, size_) { .data = (data_), .size = (size_) }

const char *run_status_name(enum run_status status)
{
	switch (status) {
	case RUN_PREPARING:
		return "preparing";
	case RUN_STARTING:
		return "starting";
	case RUN_RUNNING:
		return "running";
	case RUN_BACKOFF:
		return "backoff";
	case RUN_FAILED:
		return "failed";
	case RUN_STOPPING:
		return "stopping";
	}
	return "unknown";
}

size_t agent_hello_encode(const struct agent_hello *m, uint8_t *data,
			  size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	pack_array(&w, 4);
	pack_uint(&w, m->gen);
	pack_hash(&w, &m->crn);
	pack_hash(&w, &m->boot);
	pack_bytes(&w, m->nonce, sizeof m->nonce);
	return pack_end(&w);
}

int agent_hello_decode(const uint8_t *data, size_t size,
		       struct agent_hello *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_hello m;

	unpack_array(&r, 4);
	m.gen = unpack_uint(&r, UINT64_MAX);
	unpack_hash(&r, &m.crn);
	unpack_hash(&r, &m.boot);
	unpack_bytes(&r, m.nonce, sizeof m.nonce);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

size_t agent_challenge_encode(const struct agent_challenge *m, uint8_t *data,
			      size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	pack_array(&w, 3);
	pack_uint(&w, m->gen);
	pack_bytes(&w, m->nonce, sizeof m->nonce);
	pack_uint(&w, m->session);
	return pack_end(&w);
}

int agent_challenge_decode(const uint8_t *data, size_t size,
			   struct agent_challenge *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_challenge m;

	unpack_array(&r, 3);
	m.gen = unpack_uint(&r, UINT64_MAX);
	unpack_bytes(&r, m.nonce, sizeof m.nonce);
	m.session = unpack_uint(&r, UINT64_MAX);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

size_t agent_register_ack_encode(const struct agent_register_ack *m,
				 uint8_t *data, size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	pack_array(&w, 6);
	pack_uint(&w, m->gen);
	pack_bytes(&w, m->nonce, sizeof m->nonce);
	pack_uint(&w, m->session);
	pack_uint(&w, m->ttl_a_ms);
	pack_uint(&w, m->heartbeat_ms);
	pack_array(&w, m->kept_count);
	for (uint32_t i = 0; i < m->kept_count; i++)
		pack_hash(&w, &m->kept[i]);
	return pack_end(&w);
}

int agent_register_ack_decode(const uint8_t *data, size_t size,
			      struct agent_register_ack *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_register_ack m = *out;

	unpack_array(&r, 6);
	m.gen = unpack_uint(&r, UINT64_MAX);
	unpack_bytes(&r, m.nonce, sizeof m.nonce);
	m.session = unpack_uint(&r, UINT64_MAX);
	m.ttl_a_ms = (uint32_t)unpack_uint(&r, UINT32_MAX);
	m.heartbeat_ms = (uint32_t)unpack_uint(&r, UINT32_MAX);
	m.kept_count = unpack_array_up_to(&r, m.kept_max);
	for (uint32_t i = 0; i < m.kept_count && r.error == 0; i++)
		unpack_hash(&r, &m.kept[i]);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

size_t agent_refused_encode(const struct agent_refused *m, uint8_t *data,
			    size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	pack_array(&w, 4);
	pack_uint(&w, m->of);
	pack_uint(&w, m->refusal);
	pack_bytes(&w, m->nonce, sizeof m->nonce);
	pack_text(&w, m->message);
	return pack_end(&w);
}

int agent_refused_decode(const uint8_t *data, size_t size,
			 struct agent_refused *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_refused m;

	unpack_array(&r, 4);
	m.of = (uint8_t)unpack_uint(&r, UINT8_MAX);
	m.refusal = (uint32_t)unpack_uint(&r, UINT32_MAX);
	unpack_bytes(&r, m.nonce, sizeof m.nonce);
	m.message = unpack_text(&r, 4 * FSM_TEXT_SIZE_MAX);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

static void run_pack(struct pack_writer *w, const struct agent_run *run)
{
	pack_array(w, 6);
	pack_hash(w, &run->program);
	pack_uint(w, run->gen);
	pack_uint(w, run->epoch);
	pack_uint(w, (uint64_t)run->status);
	pack_uint(w, run->failures);
	pack_text(w, run->reason);
}

static void run_unpack(struct pack_reader *r, struct agent_run *run)
{
	uint64_t status;

	unpack_array(r, 6);
	unpack_hash(r, &run->program);
	run->gen = unpack_uint(r, UINT64_MAX);
	run->epoch = unpack_uint(r, UINT64_MAX);
	status = unpack_uint(r, RUN_STOPPING);
	if (status < RUN_PREPARING && r->error == 0)
		r->error = BERTH_MALFORMED;
	run->status = (enum run_status)status;
	run->failures = (uint32_t)unpack_uint(r, UINT32_MAX);
	run->reason = unpack_text(r, FSM_TEXT_SIZE_MAX);
}

size_t agent_heartbeat_encode(const struct agent_heartbeat *m, uint8_t *data,
			      size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	pack_array(&w, 9);
	pack_uint(&w, m->gen);
	pack_hash(&w, &m->crn);
	pack_uint(&w, m->session);
	pack_uint(&w, m->seq);
	pack_uint(&w, m->applied);
	pack_uint(&w, m->have);
	pack_bool(&w, m->got_ack);
	pack_uint(&w, m->clock_ms);
	pack_array(&w, m->run_count);
	for (uint32_t i = 0; i < m->run_count; i++)
		run_pack(&w, &m->runs[i]);
	return pack_end(&w);
}

int agent_heartbeat_decode(const uint8_t *data, size_t size,
			   struct agent_heartbeat *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_heartbeat m = *out;

	unpack_array(&r, 9);
	m.gen = unpack_uint(&r, UINT64_MAX);
	unpack_hash(&r, &m.crn);
	m.session = unpack_uint(&r, UINT64_MAX);
	m.seq = unpack_uint(&r, UINT64_MAX);
	m.applied = unpack_uint(&r, UINT64_MAX);
	m.have = unpack_uint(&r, UINT64_MAX);
	m.got_ack = unpack_bool(&r);
	m.clock_ms = unpack_uint(&r, UINT64_MAX);
	m.run_count = unpack_array_up_to(&r, m.run_max);
	for (uint32_t i = 0; i < m.run_count && r.error == 0; i++)
		run_unpack(&r, &m.runs[i]);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

static void desired_pack(struct pack_writer *w, const struct desired_row *row)
{
	pack_array(w, 9);
	pack_hash(w, &row->program);
	pack_uint(w, row->epoch);
	pack_uint(w, row->gen);
	pack_uint(w, row->code_revision);
	pack_hash(w, &row->lineage);
	pack_bool(w, row->hold);
	pack_uint(w, row->vcpus);
	pack_uint(w, row->memory_mib);
	pack_uint(w, row->disk_mib);
}

static void desired_unpack(struct pack_reader *r, struct desired_row *row)
{
	unpack_array(r, 9);
	unpack_hash(r, &row->program);
	row->epoch = unpack_uint(r, UINT64_MAX);
	row->gen = unpack_uint(r, UINT64_MAX);
	row->code_revision = unpack_uint(r, UINT64_MAX);
	unpack_hash(r, &row->lineage);
	row->hold = unpack_bool(r);
	row->vcpus = (uint32_t)unpack_uint(r, UINT32_MAX);
	row->memory_mib = unpack_uint(r, UINT64_MAX);
	row->disk_mib = unpack_uint(r, UINT64_MAX);
}

/* desired stands as nil when it is omitted: an empty set is not none. */
size_t agent_reply_encode(const struct agent_reply *m, uint8_t *data,
			  size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	pack_array(&w, 7);
	pack_uint(&w, m->gen);
	pack_uint(&w, m->session);
	pack_uint(&w, m->ack_seq);
	pack_uint(&w, m->ttl_a_ms);
	pack_uint(&w, m->version);
	pack_uint(&w, m->changed);
	if (m->has_desired)
		pack_array(&w, m->desired_count);
	else
		pack_nil(&w);
	for (uint32_t i = 0; m->has_desired && i < m->desired_count; i++)
		desired_pack(&w, &m->desired[i]);
	return pack_end(&w);
}

int agent_reply_decode(const uint8_t *data, size_t size,
		       struct agent_reply *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_reply m = *out;

	unpack_array(&r, 7);
	m.gen = unpack_uint(&r, UINT64_MAX);
	m.session = unpack_uint(&r, UINT64_MAX);
	m.ack_seq = unpack_uint(&r, UINT64_MAX);
	m.ttl_a_ms = (uint32_t)unpack_uint(&r, UINT32_MAX);
	m.version = unpack_uint(&r, UINT64_MAX);
	m.changed = unpack_uint(&r, UINT64_MAX);
	m.has_desired = !unpack_nil(&r);
	m.desired_count =
		m.has_desired ? unpack_array_up_to(&r, m.desired_max) : 0;
	for (uint32_t i = 0; i < m.desired_count && r.error == 0; i++)
		desired_unpack(&r, &m.desired[i]);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

size_t agent_replicas_encode(const struct agent_replicas *m, uint8_t *data,
			     size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	REQUIRE(m->count <= COUNT_OF(m->rows));
	pack_array(&w, 2);
	pack_uint(&w, m->leader);
	pack_array(&w, m->count);
	for (uint32_t i = 0; i < m->count; i++) {
		const char *address = m->rows[i].address;
		struct text text = { .data = address };

		text.size = (uint32_t)strnlen(address,
					      sizeof m->rows[i].address - 1);
		pack_array(&w, 2);
		pack_uint(&w, m->rows[i].id);
		pack_text(&w, text);
	}
	return pack_end(&w);
}

int agent_replicas_decode(const uint8_t *data, size_t size,
			  struct agent_replicas *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_replicas m;

	memset(&m, 0, sizeof m);
	unpack_array(&r, 2);
	m.leader = unpack_uint(&r, UINT64_MAX);
	m.count = unpack_array_up_to(&r, COUNT_OF(m.rows));
	for (uint32_t i = 0; i < m.count && r.error == 0; i++) {
		struct text text;

		unpack_array(&r, 2);
		m.rows[i].id = unpack_uint(&r, UINT64_MAX);
		text = unpack_text(&r, sizeof m.rows[i].address - 1);
		if (text.size > 0)
			memcpy(m.rows[i].address, text.data, text.size);
	}
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

size_t agent_ask_encode(const struct agent_ask *m, uint8_t *data,
			size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	pack_array(&w, 3);
	pack_uint(&w, m->id);
	pack_hash(&w, &m->program);
	pack_uint(&w, m->tail_size);
	return pack_end(&w);
}

int agent_ask_decode(const uint8_t *data, size_t size, struct agent_ask *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_ask m;

	unpack_array(&r, 3);
	m.id = unpack_uint(&r, UINT64_MAX);
	unpack_hash(&r, &m.program);
	m.tail_size = unpack_uint(&r, UINT64_MAX);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}

size_t agent_answer_encode(const struct agent_answer *m, uint8_t *data,
			   size_t size_max)
{
	struct pack_writer w = WRITER(data, size_max);

	REQUIRE(m->code >= 0);
	pack_array(&w, 3);
	pack_uint(&w, m->id);
	pack_uint(&w, (uint64_t)m->code);
	pack_bytes(&w, m->data, m->size);
	return pack_end(&w);
}

int agent_answer_decode(const uint8_t *data, size_t size,
			struct agent_answer *out)
{
	struct pack_reader r = READER(data, size);
	struct agent_answer m;

	unpack_array(&r, 3);
	m.id = unpack_uint(&r, UINT64_MAX);
	m.code = (int)unpack_uint(&r, INT32_MAX);
	m.data = unpack_view(&r, AGENT_FRAME_SIZE_MAX, &m.size);
	if (unpack_end(&r) == 0)
		*out = m;
	return unpack_end(&r);
}
