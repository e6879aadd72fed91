/* berth-agent and berth-fencer as they are, with a real program in a real
 * sandbox, against a peer that says what a leader would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/agent/agent.h"
#include "node/lib/clock.h"
#include "node/lib/crypto.h"
#include "tests/kit/agent_peer.h"
#include "tests/kit/agent_program.h"
#include "tests/kit/certs.h"

#define CRN "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0"
#define LINK_PORT 21331
#define CCN_PORT 21332
#define DOOR_PORT 21333
#define PATIENCE_MS 20000u

static uv_loop_t loop;
static uv_timer_t pulse;
static struct agent_peer peer;
static struct stream_tls *tls;
static struct http_client *http;
static char root[CERTS_PATH_SIZE], config[256], witness[256];
static const char *build;
static pid_t fencer, agent;

/* --- the two daemons --------------------------------------------------------- */

static pid_t start(const char *name)
{
	char path[512], log[256];
	pid_t pid;
	int fd;

	snprintf(path, sizeof path, "%s/%s", build, name);
	snprintf(log, sizeof log, "%s/%s.log", root, name);
	pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	dup2(fd, 1);
	dup2(fd, 2);
	execl(path, name, "--config", config, (char *)NULL);
	_exit(127);
}

static int end(pid_t pid, int number)
{
	int status;

	kill(pid, number);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void write_config(void)
{
	char text[2048];
	struct fault fault;

	snprintf(config, sizeof config, "%s/agent.conf", root);
	snprintf(witness, sizeof witness, "%s/witness", root);
	assert_int_equal(mkdir(witness, 0777), 0);
	snprintf(text, sizeof text,
		 "crn = \"" CRN "\"; name = \"crn-t\"; cluster = \"test\";\n"
		 "directory = \"%s/data\"; pki = \"%s/crn\";\n"
		 "replicas = [ \"127.0.0.1:%d\" ];\n"
		 "door = \"127.0.0.1:%d\"; url = \"http://127.0.0.1:%d\";\n"
		 "ccns = [ \"http://127.0.0.1:%d\" ];\n"
		 "vcpus = 4; memory_mib = 2048; disk_mib = 1024; k_ms = 900;\n"
		 "runtime_default = \"host\"; dev_bind = \"%s\";\n"
		 "log_size_max = 65536;\n",
		 root, root, LINK_PORT, DOOR_PORT, DOOR_PORT, CCN_PORT,
		 witness);
	assert_int_equal(agent_file_write(config, text, strlen(text), 0644,
					  &fault), 0);
}

/* --- waiting -------------------------------------------------------------------- */

static void beat(uv_timer_t *timer)
{
	(void)timer;
}

static void show_logs(void)
{
	char line[512];

	snprintf(line, sizeof line, "tail -n 25 %s/*.log %s/data/logs/* >&2",
		 root, root);
	(void)!system(line);
}

#define WAIT(condition)                                                  \
	do {                                                             \
		uint64_t until_ = clock_monotonic_ms() + PATIENCE_MS;    \
		while (!(condition)) {                                   \
			uv_run(&loop, UV_RUN_ONCE);                      \
			if (clock_monotonic_ms() > until_) {             \
				show_logs();                             \
				fail_msg("in vain: " #condition);        \
			}                                                \
		}                                                        \
	} while (0)

static enum run_status status_of(const struct hash *program)
{
	const struct agent_run *run = agent_peer_run(&peer, program);

	return run ? run->status : (enum run_status)0;
}

/* --- knocking --------------------------------------------------------------------- */

static struct {
	bool done;
	int status;
	char body[4096];
} said;

static void heard(void *ctx, const struct http_answer *answer)
{
	(void)ctx;
	said.done = true;
	said.status = answer->status;
	snprintf(said.body, sizeof said.body, "%.*s", (int)answer->body_size,
		 answer->body ? answer->body : "");
}

static void knock(const struct hash *program, const char *rest)
{
	char url[256], text[65];
	struct http_call call = { .method = "GET", .url = url,
		.timeout_ms = 5000, .connect_ms = 1000,
		.answer_size_max = 4000 };

	hash_text(program, text);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/vm/%s%s", DOOR_PORT,
		 text, rest);
	memset(&said, 0, sizeof said);
	assert_int_equal(http_client_send(http, &call, heard), 0);
	WAIT(said.done);
}

/* --- programs ------------------------------------------------------------------------ */

static struct hash add_file(const char *path)
{
	struct fault fault;
	struct hash hash;
	size_t size;
	char *data;

	if (agent_file_read(path, 1 << 20, &data, &size, &fault) != 0)
		fail_msg("%s", fault.text);
	hash = agent_peer_add(&peer, data, size, true);
	free(data);
	return hash;
}

static struct hash tutorial(const char *file)
{
	json_t *content = kit_program();
	char line[600];
	struct hash code;

	snprintf(line, sizeof line,
		 "cd tests/data/programs/tutorial && /usr/bin/python3 -c "
		 "\"import zipfile; zipfile.ZipFile('%s/code.zip', 'w')"
		 ".write('main.py')\"", root);
	assert_int_equal(system(line), 0);
	snprintf(line, sizeof line, "%s/code.zip", root);
	code = add_file(line);
	snprintf(line, sizeof line, "{\"WITNESS\":\"%s/%s\"}", witness, file);
	kit_program_set(content, "variables", line);
	return agent_peer_program(&peer, content, &code, "0x00", NULL);
}

static struct hash script(const char *text)
{
	json_t *content = kit_program();
	struct hash code = agent_peer_add(&peer, text, strlen(text), true);

	kit_program_set(content, "code.encoding", "\"plain\"");
	kit_program_set(content, "code.entrypoint", "\"run\"");
	kit_program_set(content, "code.interface", "\"binary\"");
	return agent_peer_program(&peer, content, &code, "0x00", NULL);
}

static bool locked(const char *file)
{
	char path[512];
	int fd;
	bool taken;

	snprintf(path, sizeof path, "%s/%s", witness, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	taken = flock(fd, LOCK_EX | LOCK_NB) != 0;
	close(fd);
	return taken;
}

static void expect_epoch(stamp_t epoch)
{
	char text[64];

	snprintf(text, sizeof text, "\"epoch\":\"1.%llu\"",
		 (unsigned long long)epoch);
	assert_int_equal(said.status, 200);
	assert_non_null(strstr(said.body, text));
}

/* --- the story ------------------------------------------------------------------------- */

static void registers(void **state)
{
	(void)state;
	WAIT(peer.got_ack);
	assert_int_equal(peer.registers, 1);
	WAIT(peer.reports > 0);
	assert_true(peer.report_fits);
	/* Nothing is applied before a set of this session was taken. */
	WAIT(peer.applied > peer.session);
}

static struct hash web;
static stamp_t web_epoch;

static void runs_a_program(void **state)
{
	(void)state;
	web = tutorial("web");
	web_epoch = agent_peer_desire(&peer, &web);
	WAIT(status_of(&web) == RUN_RUNNING);
	knock(&web, "/");
	expect_epoch(web_epoch);
	assert_non_null(strstr(said.body, "Hello"));
	assert_true(locked("web"));
	knock(&web, "/items/7?q=a%26b");
	assert_non_null(strstr(said.body, "a&b"));
}

static void tells_its_log(void **state)
{
	(void)state;
	agent_peer_ask_log(&peer, &web);
	WAIT(peer.log_heard);
	assert_non_null(strstr(peer.log, "Uvicorn running"));
}

static void goes_on_after_its_death(void **state)
{
	uint32_t hellos = peer.hellos;

	(void)state;
	(void)end(agent, SIGKILL);
	assert_true(locked("web"));
	agent = start("berth-agent");
	peer.run_count = 0;
	WAIT(status_of(&web) == RUN_RUNNING);
	assert_int_equal(peer.hellos, hellos); /* the same session */
	knock(&web, "/");
	expect_epoch(web_epoch);
}

static size_t log_size(const struct hash *program)
{
	char path[512], name[65];
	struct stat status;

	hash_text(program, name);
	snprintf(path, sizeof path, "%s/data/logs/%s.log", root, name);
	return stat(path, &status) == 0 ? (size_t)status.st_size : 0;
}

/* Empty logs of programs that were here long ago; how many are left. */
static uint32_t old_logs(bool make, uint32_t count)
{
	const struct timespec long_ago[2] = { { 1000, 0 }, { 1000, 0 } };
	uint32_t left = 0;
	char path[512];

	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/data/logs/%064u.log", root, i);
		if (make) {
			int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);

			assert_true(fd >= 0);
			assert_int_equal(futimens(fd, long_ago), 0);
			close(fd);
		}
		left += access(path, F_OK) == 0;
	}
	return left;
}

static void stops_what_is_not_desired(void **state)
{
	stamp_t version;

	(void)state;
	assert_int_equal(old_logs(true, 150), 150);
	agent_peer_undesire(&peer);
	version = stamp_version(peer.index);
	WAIT(peer.applied >= version);
	assert_false(locked("web"));
	knock(&web, "/");
	assert_int_equal(said.status, 404);
	/* It is the newest of those whose program has gone. */
	WAIT(old_logs(false, 150) == 99);
	assert_true(log_size(&web) > 0);
}

static void tells_why_a_start_fails(void **state)
{
	struct hash bad = script("#!/bin/sh\necho no luck today >&2\nexit 3\n");
	const struct agent_run *run;

	(void)state;
	agent_peer_desire(&peer, &bad);
	WAIT((run = agent_peer_run(&peer, &bad)) && run->failures >= 3);
	run = agent_peer_run(&peer, &bad);
	assert_int_equal(run->status, RUN_FAILED);
	assert_string_equal(peer.reasons[run - peer.runs],
			    "exit code 3: no luck today");
	agent_peer_undesire(&peer);
}

static void runs_a_binary_and_restarts_it(void **state)
{
	struct hash binary;
	stamp_t epoch;

	(void)state;
	binary = script("#!/usr/bin/python3\n"
		"import http.server as h\n"
		"class H(h.BaseHTTPRequestHandler):\n"
		"  def do_GET(s):\n"
		"    if s.path == '/die': __import__('os')._exit(5)\n"
		"    s.send_response(200); s.end_headers()\n"
		"    s.wfile.write(b'binary says ' + s.path.encode())\n"
		"h.HTTPServer(('0.0.0.0', 8080), H).serve_forever()\n");
	epoch = agent_peer_desire(&peer, &binary);
	WAIT(status_of(&binary) == RUN_RUNNING);
	knock(&binary, "/here");
	assert_int_equal(said.status, 200);
	assert_string_equal(said.body, "binary says /here");
	knock(&binary, "/die");
	assert_int_equal(said.status, 502);
	WAIT(status_of(&binary) == RUN_BACKOFF);
	knock(&binary, "/");
	assert_int_equal(said.status, 503);
	WAIT(status_of(&binary) == RUN_RUNNING);
	assert_int_equal(agent_peer_run(&peer, &binary)->epoch, epoch);
	/* It had started well: no failed start. */
	assert_int_equal(agent_peer_run(&peer, &binary)->failures, 0);
	agent_peer_undesire(&peer);
}

/* `use_latest`: the newest STORE that the owner signed and that names ours;
 * not one of somebody else, nor one about something else. */
static void takes_the_newest_code(void **state)
{
	static const char text[] = "#!/usr/bin/python3\n"
		"import http.server as h\n"
		"class H(h.BaseHTTPRequestHandler):\n"
		"  def do_GET(s):\n"
		"    s.send_response(200); s.end_headers()\n"
		"    s.wfile.write(b'code %d')\n"
		"h.HTTPServer(('0.0.0.0', 8080), H).serve_forever()\n";
	struct hash files[4], store, program, other = { { 5 } };
	struct eth_key owner, stranger;
	json_t *content = kit_program();
	char code[512];

	(void)state;
	assert_int_equal(eth_key_make(&owner), 0);
	assert_int_equal(eth_key_make(&stranger), 0);
	for (int i = 0; i < 4; i++) {
		snprintf(code, sizeof code, text, i);
		files[i] = agent_peer_add(&peer, code, strlen(code), true);
	}
	kit_program_set(content, "code.encoding", "\"plain\"");
	kit_program_set(content, "code.entrypoint", "\"run\"");
	kit_program_set(content, "code.interface", "\"binary\"");
	kit_program_set(content, "code.use_latest", "true");
	program = agent_peer_program(&peer, content, &files[0], owner.address,
				     &store);
	agent_peer_store(&peer, &owner, &store, &files[1], 20);
	agent_peer_store(&peer, &owner, &store, &files[0], 10);
	agent_peer_store(&peer, &stranger, &store, &files[2], 30);
	agent_peer_store(&peer, &owner, &other, &files[3], 40);
	agent_peer_desire(&peer, &program);
	WAIT(status_of(&program) == RUN_RUNNING);
	knock(&program, "/");
	assert_string_equal(said.body, "code 1");
	agent_peer_undesire(&peer);
}

/* A host volume stays, an ephemeral one does not; an image is read only. */
static void mounts_volumes(void **state)
{
	static const char text[] = "#!/usr/bin/python3\n"
		"import http.server as h, os\n"
		"seen = []\n"
		"for n in ('/data/f', '/srv/scratch/f', '/srv/image/f'):\n"
		"  seen.append(open(n).read() if os.path.exists(n) else '-')\n"
		"  try: open(n, 'w').write('kept')\n"
		"  except OSError: seen.append('ro')\n"
		"class H(h.BaseHTTPRequestHandler):\n"
		"  def do_GET(s):\n"
		"    s.send_response(200); s.end_headers()\n"
		"    s.wfile.write(' '.join(seen).encode())\n"
		"h.HTTPServer(('0.0.0.0', 8080), H).serve_forever()\n";
	json_t *content = kit_program();
	struct hash code, image, program;
	char line[1024], name[65];
	stamp_t version;

	(void)state;
	snprintf(line, sizeof line, "cd %s && mkdir image && echo -n img "
		 ">image/f && mksquashfs image image.sq -quiet -no-progress "
		 ">/dev/null", root);
	assert_int_equal(system(line), 0);
	snprintf(line, sizeof line, "%s/image.sq", root);
	image = add_file(line);
	hash_text(&image, name);
	snprintf(line, sizeof line, "{\"address\":\"0x00\",\"time\":1.5,"
		 "\"item_type\":\"storage\",\"item_hash\":\"%s\"}", name);
	image = agent_peer_add(&peer, line, strlen(line), false);
	hash_text(&image, name);
	code = agent_peer_add(&peer, text, strlen(text), true);
	kit_program_set(content, "code.encoding", "\"plain\"");
	kit_program_set(content, "code.entrypoint", "\"run\"");
	kit_program_set(content, "code.interface", "\"binary\"");
	snprintf(line, sizeof line, "[{\"mount\":\"/data\",\"size_mib\":9,"
		 "\"persistence\":\"host\",\"name\":\"d\"},"
		 "{\"mount\":\"/srv/scratch\",\"ephemeral\":true,"
		 "\"size_mib\":5},{\"mount\":\"/srv/image\",\"ref\":\"%s\","
		 "\"use_latest\":false}]", name);
	kit_program_set(content, "volumes", line);
	program = agent_peer_program(&peer, content, &code, "0x00", NULL);
	agent_peer_desire(&peer, &program);
	WAIT(status_of(&program) == RUN_RUNNING);
	knock(&program, "/");
	assert_string_equal(said.body, "- - img ro");
	agent_peer_undesire(&peer);
	version = stamp_version(peer.index);
	WAIT(peer.applied >= version);
	agent_peer_desire(&peer, &program);
	WAIT(status_of(&program) == RUN_RUNNING);
	knock(&program, "/");
	assert_string_equal(said.body, "kept - img ro");
	agent_peer_undesire(&peer);
}

static uint32_t visits;

static void came(uv_stream_t *server, int status)
{
	(void)server;
	(void)status;
	visits++;
}

static void keeps_logs_small(void **state)
{
	struct hash chatty = script("#!/usr/bin/python3\n"
		"import time\n"
		"for i in range(3000): print(i, 'x' * 90, flush=True)\n"
		"time.sleep(1)\n"
		"print('the newest line', flush=True)\n"
		"time.sleep(100)\n");

	(void)state;
	agent_peer_desire(&peer, &chatty);
	WAIT(log_size(&chatty) > 65536);
	WAIT(log_size(&chatty) <= 65536);
	do {
		agent_peer_ask_log(&peer, &chatty);
		WAIT(peer.log_heard);
	} while (!strstr(peer.log, "the newest line"));
	assert_non_null(strstr(peer.log, "2999 xxx"));
	agent_peer_undesire(&peer);
}

/* A program may put a link in place of its socket, to one that only root may
 * open. The agent must not go there. */
static void follows_no_link(void **state)
{
	static const char text[] = "import os, time\n"
		"os.symlink(os.environ['TARGET'], '/run/berth/http.sock')\n"
		"print('linked', flush=True)\n"
		"time.sleep(100)\n";
	json_t *content = kit_program();
	struct hash code, program;
	char line[512];
	static uv_pipe_t ours;
	uint32_t beats;

	(void)state;
	uv_pipe_init(&loop, &ours, 0);
	snprintf(line, sizeof line, "%s/ours.sock", root);
	assert_int_equal(uv_pipe_bind(&ours, line), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&ours, 4, came), 0);
	snprintf(line, sizeof line, "{\"TARGET\":\"%s/ours.sock\"}", root);
	kit_program_set(content, "variables", line);
	kit_program_set(content, "code.encoding", "\"plain\"");
	code = agent_peer_add(&peer, text, strlen(text), true);
	program = agent_peer_program(&peer, content, &code, "0x00", NULL);
	agent_peer_desire(&peer, &program);
	do {
		agent_peer_ask_log(&peer, &program);
		WAIT(peer.log_heard);
	} while (!strstr(peer.log, "linked"));
	beats = peer.heartbeats + 3;
	WAIT(peer.heartbeats >= beats);
	assert_int_equal(status_of(&program), RUN_STARTING);
	assert_int_equal(visits, 0);
	uv_close((uv_handle_t *)&ours, NULL);
	agent_peer_undesire(&peer);
}

static void says_that_there_is_no_content(void **state)
{
	static const struct hash unknown = { { 9, 9 } };
	const struct agent_run *run;

	(void)state;
	agent_peer_desire(&peer, &unknown);
	WAIT(status_of(&unknown) == RUN_FAILED);
	run = agent_peer_run(&peer, &unknown);
	assert_non_null(strstr(peer.reasons[run - peer.runs], "no content"));
	agent_peer_undesire(&peer);
}

/* Replies stop: the programs are dead by the deadline, and a new session is
 * asked for under a new nonce. */
static void stops_without_a_lease(void **state)
{
	uint32_t registers = peer.registers;
	uint64_t silent_ms;

	(void)state;
	agent_peer_desire(&peer, &web);
	WAIT(status_of(&web) == RUN_RUNNING);
	peer.silent = true;
	silent_ms = clock_monotonic_ms();
	WAIT(!locked("web"));
	assert_true(clock_monotonic_ms() - silent_ms <=
		    peer.ttl_a_ms + 900);
	peer.desired_count = 0;
	WAIT(peer.registers > registers);
	peer.silent = false;
	WAIT(peer.applied > peer.session);
	assert_true(peer.links > 1); /* it looked for another replica */
}

static int set_up(void **state)
{
	struct fault fault;

	(void)state;
	if (geteuid() != 0 || access("/usr/bin/bwrap", X_OK) != 0) {
		print_message("skipped: root and bubblewrap are needed\n");
		exit(77);
	}
	certs_folder(root);
	certs_authority(root, "ca", "test");
	certs_issue(root, "ca", "r1", "test", IDENTITY_REPLICA, "1");
	certs_issue(root, "ca", "crn", "test", IDENTITY_CRN, CRN);
	write_config();
	tls = certs_open(root, "r1");
	if (uv_loop_init(&loop) < 0 || uv_timer_init(&loop, &pulse) < 0 ||
	    http_client_open(&http, &loop, &fault) != 0)
		return -1;
	uv_timer_start(&pulse, beat, 20, 20);
	peer.ttl_a_ms = 3000;
	peer.heartbeat_ms = 200;
	agent_peer_open(&peer, &loop, tls, LINK_PORT, CCN_PORT);
	fencer = start("berth-fencer");
	agent = start("berth-agent");
	return 0;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static int tear_down(void **state)
{
	int status;

	(void)state;
	status = end(agent, SIGTERM);
	if (end(fencer, SIGTERM) != 0 || status != 0) {
		show_logs();
		return -1;
	}
	agent_peer_close(&peer);
	http_client_close(http, nothing, NULL);
	uv_close((uv_handle_t *)&pulse, NULL);
	while (uv_run(&loop, UV_RUN_ONCE))
		;
	stream_tls_close(tls);
	certs_remove(root);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),
		cmocka_unit_test(runs_a_program),
		cmocka_unit_test(tells_its_log),
		cmocka_unit_test(goes_on_after_its_death),
		cmocka_unit_test(stops_what_is_not_desired),
		cmocka_unit_test(tells_why_a_start_fails),
		cmocka_unit_test(runs_a_binary_and_restarts_it),
		cmocka_unit_test(takes_the_newest_code),
		cmocka_unit_test(mounts_volumes),
		cmocka_unit_test(keeps_logs_small),
		cmocka_unit_test(follows_no_link),
		cmocka_unit_test(says_that_there_is_no_content),
		cmocka_unit_test(stops_without_a_lease),
	};
	static char folder[512];
	char *slash;

	(void)argc;
	snprintf(folder, sizeof folder, "%s", argv[0]);
	for (int i = 0; i < 3 && (slash = strrchr(folder, '/')); i++)
		*slash = '\0';
	build = folder;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
