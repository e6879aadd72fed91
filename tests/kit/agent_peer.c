#include "tests/kit/agent_peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "tests/kit/agent_program.h"

static uint8_t buffer[AGENT_FRAME_SIZE_MAX];

static void tell(struct agent_peer *peer, uint8_t type, size_t size)
{
	struct stream_part part = { buffer, size };

	REQUIRE(size > 0);
	if (peer->stream)
		(void)!stream_send(peer->stream, type, &part, 1);
}

static stamp_t next_stamp(struct agent_peer *peer)
{
	return stamp_make(++peer->index, 0);
}

/* --- what a leader answers --------------------------------------------------- */

static void on_hello(struct agent_peer *peer, const uint8_t *data, size_t size)
{
	struct agent_challenge answer = { .gen = peer->gen,
					  .session = peer->session };
	struct agent_hello m;

	REQUIRE(agent_hello_decode(data, size, &m) == 0);
	peer->hellos++;
	memcpy(answer.nonce, m.nonce, sizeof answer.nonce);
	tell(peer, AGENT_CHALLENGE,
	     agent_challenge_encode(&answer, buffer, sizeof buffer));
}

static void on_register(struct agent_peer *peer, const uint8_t *data,
			size_t size)
{
	struct command_cursor cursor;
	struct command command;
	struct agent_register_ack ack = { .gen = peer->gen,
		.ttl_a_ms = peer->ttl_a_ms,
		.heartbeat_ms = peer->heartbeat_ms };

	REQUIRE(agent_command_decode(&cursor, data, size, &command) == 0);
	REQUIRE(command.type == FSM_REGISTER);
	REQUIRE(command.reg.prev == peer->session);
	peer->registers++;
	peer->class = command.reg.class;
	memcpy(ack.nonce, command.reg.nonce, sizeof ack.nonce);
	command_cursor_close(&cursor);
	peer->session = ack.session = peer->changed = next_stamp(peer);
	tell(peer, AGENT_REGISTER_ACK,
	     agent_register_ack_encode(&ack, buffer, sizeof buffer));
}

static void on_report(struct agent_peer *peer, const uint8_t *data,
		      size_t size)
{
	struct command_cursor cursor;
	struct command command;

	REQUIRE(agent_command_decode(&cursor, data, size, &command) == 0);
	REQUIRE(command.type == FSM_CRN_REPORT);
	peer->reports++;
	peer->report_fits = command.report.session == peer->session &&
			    command.report.vcpus > 0 &&
			    command.report.memory_mib > 0 &&
			    command.report.token_count >= 2;
	command_cursor_close(&cursor);
}

static void reply(struct agent_peer *peer, uint64_t seq, bool full)
{
	struct agent_reply m = { .gen = peer->gen, .session = peer->session,
		.ack_seq = seq, .ttl_a_ms = peer->ttl_a_ms,
		.version = stamp_version(++peer->index),
		.changed = peer->changed, .has_desired = full,
		.desired_count = full ? peer->desired_count : 0,
		.desired = peer->desired };

	if (!peer->silent)
		tell(peer, AGENT_REPLY,
		     agent_reply_encode(&m, buffer, sizeof buffer));
}

static void on_heartbeat(struct agent_peer *peer, const uint8_t *data,
			 size_t size)
{
	static struct agent_run runs[AGENT_PEER_ROWS];
	struct agent_heartbeat m = { .runs = runs,
				     .run_max = AGENT_PEER_ROWS };

	REQUIRE(agent_heartbeat_decode(data, size, &m) == 0);
	if (m.session != peer->session)
		return;
	peer->heartbeats++;
	peer->got_ack = m.got_ack;
	peer->applied = m.applied;
	peer->run_count = m.run_count;
	for (uint32_t i = 0; i < m.run_count; i++) {
		peer->runs[i] = m.runs[i];
		snprintf(peer->reasons[i], sizeof peer->reasons[i], "%.*s",
			 (int)m.runs[i].reason.size, m.runs[i].reason.data);
	}
	reply(peer, m.seq, m.have != peer->changed);
}

static struct agent_peer_item *item_find(struct agent_peer *peer,
					 const struct hash *hash, bool file)
{
	for (uint32_t i = 0; i < peer->item_count; i++)
		if (hash_equal(&peer->items[i].hash, hash) &&
		    peer->items[i].file == file)
			return &peer->items[i];
	return NULL;
}

static void on_content(struct agent_peer *peer, const uint8_t *data,
		       size_t size)
{
	struct agent_answer answer = { .code = BERTH_NOTFOUND };
	struct agent_peer_item *item;
	struct agent_ask ask;

	REQUIRE(agent_ask_decode(data, size, &ask) == 0);
	peer->contents_asked++;
	answer.id = ask.id;
	item = item_find(peer, &ask.program, false);
	if (item) {
		answer.code = 0;
		answer.data = (const uint8_t *)item->data;
		answer.size = item->size;
	}
	tell(peer, AGENT_CONTENT,
	     agent_answer_encode(&answer, buffer, sizeof buffer));
}

static void on_log(struct agent_peer *peer, const uint8_t *data, size_t size)
{
	struct agent_answer answer;

	REQUIRE(agent_answer_decode(data, size, &answer) == 0);
	peer->log_heard = true;
	snprintf(peer->log, sizeof peer->log, "%.*s", (int)answer.size,
		 (const char *)answer.data);
}

static void on_frame(void *ctx, struct stream *stream, uint8_t type,
		     const uint8_t *data, size_t size)
{
	struct agent_peer *peer = ctx;

	(void)stream;
	switch (type) {
	case AGENT_HELLO: on_hello(peer, data, size); break;
	case AGENT_REGISTER: on_register(peer, data, size); break;
	case AGENT_REPORT: on_report(peer, data, size); break;
	case AGENT_HEARTBEAT: on_heartbeat(peer, data, size); break;
	case AGENT_CONTENT_GET: on_content(peer, data, size); break;
	case AGENT_LOG: on_log(peer, data, size); break;
	default: berth_panic("a frame that no agent sends", __FILE__, __LINE__);
	}
}

static void on_open(void *ctx, struct stream *stream)
{
	(void)ctx;
	(void)stream;
}

static void on_closed(void *ctx, struct stream *stream,
		      const struct fault *fault)
{
	struct agent_peer *peer = ctx;

	(void)fault;
	if (peer->stream == stream)
		peer->stream = NULL;
}

static void accepted(void *ctx, struct stream *stream)
{
	static const struct stream_events events = { on_open, on_frame,
						     on_closed };
	struct agent_peer *peer = ctx;

	REQUIRE(stream_peer(stream)->role == IDENTITY_CRN);
	peer->links++;
	peer->stream = stream;
	stream_take(stream, &events, peer);
}

/* --- what a CCN serves ----------------------------------------------------------- */

static void serve_message(struct agent_peer *peer,
			  struct httpd_request *request,
			  const struct hash *hash)
{
	struct agent_peer_item *item = item_find(peer, hash, false);
	struct json_writer w;

	if (!item) {
		httpd_respond_error(request, 404, "not_found", "unknown");
		return;
	}
	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_string(&w, "status", "processed");
	jsonw_object(&w, "message");
	jsonw_hash(&w, "item_hash", hash);
	jsonw_string(&w, "item_content", item->data);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	httpd_respond(request, 200, NULL, 0, "application/json", w.data,
		      w.size);
	jsonw_fini(&w);
}

/* All of them, whatever was asked for: the agent has to choose. */
static void serve_stores(struct agent_peer *peer,
			 struct httpd_request *request)
{
	json_t *page = json_pack("{s:O?, s:i}", "messages", peer->stores,
				 "pagination_page", 1);
	char *text;

	if (!peer->stores)
		json_object_set_new(page, "messages", json_array());
	text = json_dumps(page, 0);
	httpd_respond(request, 200, NULL, 0, "application/json", text,
		      strlen(text));
	free(text);
	json_decref(page);
}

static void serve(void *ctx, struct httpd_request *request)
{
	static const char messages[] = "/api/v0/messages/";
	static const char raw[] = "/api/v0/storage/raw/";
	struct agent_peer *peer = ctx;
	const char *path = httpd_path(request);
	struct agent_peer_item *item;
	struct hash hash;

	if (strncmp(path, messages, sizeof messages - 1) == 0 &&
	    hash_parse(path + sizeof messages - 1, &hash) == 0) {
		serve_message(peer, request, &hash);
		return;
	}
	if (strcmp(path, "/api/v0/messages.json") == 0) {
		serve_stores(peer, request);
		return;
	}
	item = strncmp(path, raw, sizeof raw - 1) == 0 &&
	       hash_parse(path + sizeof raw - 1, &hash) == 0 ?
	       item_find(peer, &hash, true) : NULL;
	peer->files_asked++;
	if (item)
		httpd_respond(request, 200, NULL, 0,
			      "application/octet-stream", item->data,
			      item->size);
	else
		httpd_respond_error(request, 404, "not_found", "unknown");
}

/* --- what the test tells ----------------------------------------------------------- */

struct hash agent_peer_add(struct agent_peer *peer, const void *data,
			   size_t size, bool file)
{
	struct agent_peer_item *item = &peer->items[peer->item_count++];

	REQUIRE(peer->item_count <= AGENT_PEER_ITEMS);
	item->data = malloc(size + 1);
	REQUIRE(item->data);
	memcpy(item->data, data, size);
	item->data[size] = '\0';
	item->size = size;
	item->file = file;
	crypto_sha256(data, size, &item->hash);
	return item->hash;
}

struct hash agent_peer_program(struct agent_peer *peer, json_t *content,
			       const struct hash *file, const char *owner,
			       struct hash *out)
{
	char name[65], text[512];
	struct hash store, program;
	char *whole;

	hash_text(file, name);
	snprintf(text, sizeof text, "{\"address\":\"%s\",\"time\":1.5,"
		 "\"item_type\":\"storage\",\"item_hash\":\"%s\"}", owner,
		 name);
	store = agent_peer_add(peer, text, strlen(text), false);
	if (out)
		*out = store;
	hash_text(&store, name);
	snprintf(text, sizeof text, "\"%s\"", name);
	kit_program_set(content, "code.ref", text);
	whole = json_dumps(content, JSON_COMPACT);
	REQUIRE(whole);
	program = agent_peer_add(peer, whole, strlen(whole), false);
	free(whole);
	json_decref(content);
	return program;
}

void agent_peer_store(struct agent_peer *peer, const struct eth_key *key,
		      const struct hash *ref, const struct hash *file,
		      double time)
{
	char names[2][65];
	struct fault fault = { 0 };
	json_t *content, *envelope;

	hash_text(file, names[0]);
	hash_text(ref, names[1]);
	content = json_pack("{ss sf ss ss ss}", "address", key->address,
			    "time", time, "item_type", "storage",
			    "item_hash", names[0], "ref", names[1]);
	if (aleph_message_make(key, ALEPH_STORE, content, time, "TEST",
			       &envelope, &fault) != 0)
		berth_panic(fault.text, __FILE__, __LINE__);
	json_decref(content);
	if (!peer->stores)
		peer->stores = json_array();
	json_array_append_new(peer->stores, envelope);
}

static void push(struct agent_peer *peer)
{
	peer->changed = next_stamp(peer);
	reply(peer, 0, true);
}

stamp_t agent_peer_desire(struct agent_peer *peer, const struct hash *program)
{
	struct desired_row *row = &peer->desired[peer->desired_count++];

	REQUIRE(peer->desired_count <= AGENT_PEER_ROWS);
	*row = (struct desired_row){ .program = *program,
		.lineage = *program, .gen = peer->gen,
		.epoch = next_stamp(peer), .vcpus = 1, .memory_mib = 256 };
	push(peer);
	return row->epoch;
}

void agent_peer_undesire(struct agent_peer *peer)
{
	peer->desired_count = 0;
	push(peer);
}

void agent_peer_ask_log(struct agent_peer *peer, const struct hash *program)
{
	struct agent_ask ask = { .id = 7, .program = *program,
				 .tail_size = 10000 };

	peer->log_heard = false;
	tell(peer, AGENT_LOG_GET,
	     agent_ask_encode(&ask, buffer, sizeof buffer));
}

const struct agent_run *agent_peer_run(const struct agent_peer *peer,
				       const struct hash *program)
{
	for (uint32_t i = 0; i < peer->run_count; i++)
		if (hash_equal(&peer->runs[i].program, program))
			return &peer->runs[i];
	return NULL;
}

void agent_peer_open(struct agent_peer *peer, uv_loop_t *loop,
		     struct stream_tls *tls, uint16_t port, uint16_t ccn_port)
{
	static const char *const alpns[] = { ALPN_AGENT, NULL };
	static const struct stream_options options = {
		.frame_size_max = AGENT_FRAME_SIZE_MAX,
		.queue_size_max = 8u << 20, .handshake_ms = 3000 };
	static const struct httpd_options ccn_options = {
		.body_size_max = 1 << 20, .timeout_ms = 5000,
		.connections_max = 16, .server = "test" };
	struct httpd_listen ccn = { .kind = HTTPD_TCP, .host = "127.0.0.1",
				    .port = ccn_port };
	struct fault fault = { 0 };

	peer->loop = loop;
	peer->gen = 1;
	peer->index = 100;
	if (stream_listen(&peer->listener, loop, tls, "127.0.0.1", port, alpns,
			  &options, accepted, peer, &fault) != 0 ||
	    httpd_open(&peer->ccn, loop, &ccn, 1, &ccn_options, serve, peer,
		       &fault) != 0)
		berth_panic(fault.text, __FILE__, __LINE__);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

void agent_peer_close(struct agent_peer *peer)
{
	if (peer->stream)
		stream_close(peer->stream, "the test ends");
	stream_listener_close(peer->listener);
	httpd_close(peer->ccn, nothing, NULL);
	json_decref(peer->stores);
	for (uint32_t i = 0; i < peer->item_count; i++)
		free(peer->items[i].data);
}
