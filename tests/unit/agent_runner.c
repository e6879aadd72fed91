/* The sandbox: the command that is built, and what a program sees in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/agent/confine.h"
#include "node/agent/runner_spec.h"
#include "tests/kit/agent_program.h"

static char folder[64], code[96], directory[96], secret[96];
static struct agent_config config = {
	.runtime_default = (char[]){ "host" }, .internet = (char[]){ "none" },
	.dev_bind = (char[]){ "" }, .name = (char[]){ "crn-1" },
};
static struct prepared *prepared;
static json_t *content;

static int set_up(void **state)
{
	struct fault fault;

	(void)state;
	strcpy(folder, "/tmp/berth-runner-XXXXXX");
	assert_non_null(mkdtemp(folder));
	/* As in a closed home: only the sandbox leads a program here. */
	assert_int_equal(chmod(folder, 0700), 0);
	snprintf(code, sizeof code, "%s/code", folder);
	snprintf(directory, sizeof directory, "%s/run", folder);
	snprintf(secret, sizeof secret, "%s/secret", folder);
	assert_int_equal(mkdir(code, 0755), 0);
	assert_int_equal(agent_file_write(secret, "s", 1, 0644, &fault), 0);
	content = kit_program();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	prepared_free(prepared);
	prepared = NULL;
	json_decref(content);
	agent_tree_remove(folder);
	return 0;
}

static int build(struct run_spec *spec, struct fault *fault)
{
	static const struct hash lineage = { { 0x12, 0x34, 0x56 } };
	struct run_spec_in in = { .config = &config, .gen = 3,
		.epoch = 4567, .vcpus = 2, .memory_mib = 256,
		.directory = directory, .uid = run_uid(&lineage) };

	prepared_free(prepared);
	prepared = NULL;
	if (kit_program_read(&config, content, &prepared, fault) != 0)
		fail_msg("%s", fault->text);
	snprintf(prepared->code, sizeof prepared->code, "%s", code);
	in.prepared = prepared;
	if (run_directory(directory, in.uid, fault) != 0)
		fail_msg("%s", fault->text);
	return run_spec_build(&in, spec, fault);
}

/* The strings of a spec, as the fencer's child reads them. */
static uint32_t split(const struct run_spec *spec, char **argv, uint32_t max)
{
	struct run_spec_head head;
	char *at = (char *)spec->data + sizeof head;

	memcpy(&head, spec->data, sizeof head);
	assert_memory_equal(head.magic, "BRTHRUN1", 8);
	assert_int_equal(spec->size, sizeof head + head.strings_size);
	assert_true(head.argc + head.envc < max);
	for (uint32_t i = 0; i < head.argc + head.envc; i++) {
		argv[i] = at;
		at += strlen(at) + 1;
	}
	assert_ptr_equal(at, spec->data + spec->size);
	argv[head.argc] = NULL;
	return head.argc;
}

static void builds_a_spec(void **state)
{
	struct run_spec spec;
	struct fault fault;
	struct run_spec_head head;
	char *argv[512];
	uint32_t count;
	int fd;

	(void)state;
	assert_int_equal(build(&spec, &fault), 0);
	memcpy(&head, spec.data, sizeof head);
	assert_int_equal(head.cpu_milli, 2000);
	assert_int_equal(head.memory_mib, 256);
	count = split(&spec, argv, 512);
	assert_string_equal(argv[0], "/usr/bin/bwrap");
	assert_string_equal(argv[count - 1], "--no-access-log");
	assert_string_equal(argv[count - 4], "main:app");
	fd = run_spec_file(&spec);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), -1); /* sealed */
	close(fd);
	free(spec.data);
}

static void refuses_variables(void **state)
{
	char *big = malloc(300000);
	struct run_spec spec;
	struct fault fault;

	(void)state;
	kit_program_set(content, "variables", "{\"A-B\":\"x\"}");
	assert_int_equal(build(&spec, &fault), BERTH_INVALID);
	assert_non_null(strstr(fault.text, "A-B"));
	/* Within each limit of a message, but not all together. */
	json_object_set_new(content, "variables", json_object());
	memset(big, 'x', 4000);
	big[4000] = '\0';
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof name, "V%d", i);
		json_object_set_new(json_object_get(content, "variables"),
				    name, json_string(big));
	}
	assert_int_equal(build(&spec, &fault), BERTH_TOOBIG);
	free(big);
}

/* --- in the sandbox ----------------------------------------------------------- */

static void script(const char *text)
{
	struct fault fault;
	char path[128];

	snprintf(path, sizeof path, "%s/run.sh", code);
	assert_int_equal(agent_file_write(path, text, strlen(text), 0755,
					  &fault), 0);
	assert_int_equal(chmod(path, 0755), 0);
	kit_program_set(content, "code.entrypoint", "\"run.sh\"");
	kit_program_set(content, "code.interface", "\"binary\"");
}

static void execute(const struct run_spec *spec, int out)
{
	static char *env[] = { NULL };
	char *argv[512];

	(void)split(spec, argv, 512);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, 1);
	dup2(out, 2);
	execve(argv[0], argv, env);
	_exit(127);
}

/* Runs the program and gives what it printed; its exit status is returned. */
static int run(char *text, size_t size)
{
	struct run_spec spec;
	struct fault fault;
	int ends[2], status;
	size_t used = 0;
	ssize_t got;
	pid_t pid;

	if (access("/usr/bin/bwrap", X_OK) != 0) {
		print_message("skipped: no bubblewrap\n");
		skip();
	}
	if (build(&spec, &fault) != 0)
		fail_msg("%s", fault.text);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		execute(&spec, ends[1]);
	close(ends[1]);
	while (used < size - 1 &&
	       (got = read(ends[0], text + used, size - 1 - used)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	close(ends[0]);
	free(spec.data);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static void sees_its_own_world(void **state)
{
	char text[8192];

	(void)state;
	script("#!/bin/sh\n"
	       "echo epoch=$BERTH_EPOCH program=$BERTH_PROGRAM\n"
	       "echo mine=$MINE path=$PATH home=$HOME pwd=$(pwd)\n"
	       "echo links=$(ls /sys/class/net 2>/dev/null | wc -l) "
	       "nets=$(grep -c : /proc/net/dev)\n"
	       "grep -E 'CapEff|CapBnd|NoNewPrivs|Uid' /proc/self/status\n"
	       "echo args=$1,$2 host=$(cat /proc/sys/kernel/hostname)\n"
	       "exit 7\n");
	kit_program_set(content, "variables",
			"{\"MINE\":\"a b\",\"BERTH_EPOCH\":\"9.9\"}");
	kit_program_set(content, "code.args", "[\"one\",\"two\"]");
	assert_int_equal(run(text, sizeof text), 7);
	assert_says(text, "epoch=3.4567 program=0000");
	assert_says(text, "mine=a b ");
	assert_says(text, "pwd=/opt/code");
	assert_says(text, "nets=1"); /* its loopback */
	assert_says(text, "CapEff:\t0000000000000000");
	assert_says(text, "args=one,two host=crn-1");
	if (geteuid() != 0)
		return;
	assert_says(text, "CapBnd:\t0000000000000000");
	assert_says(text, "NoNewPrivs:\t1");
	assert_null(strstr(text, "Uid:\t0"));
}

static void can_not_reach_ours(void **state)
{
	char text[8192], lines[1024];

	(void)state;
	snprintf(lines, sizeof lines,
		 "#!/bin/sh\n"
		 "for f in %s /etc/shadow /root /home; do\n"
		 "  [ -e $f ] && echo sees $f; done\n"
		 "for d in / /opt/code /usr /etc /run; do\n"
		 "  touch $d/x 2>/dev/null && echo writes $d; done\n"
		 "touch /run/berth/x /tmp/x /dev/shm/x || echo lost\n"
		 "ls /proc | grep -c '^[0-9]*$'\n"
		 "echo end\n", secret);
	script(lines);
	assert_int_equal(run(text, sizeof text), 0);
	assert_null(strstr(text, "sees"));
	assert_null(strstr(text, "writes"));
	assert_null(strstr(text, "lost"));
	assert_says(text, "end");
}

static bool child_fails(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

/* What the filter leaves: processes and threads, but no user namespace, not
 * by any of the three calls that make one, and no keys. */
static int confined(void)
{
	if (confine_program() != 0)
		return 1;
	if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM)
		return 2;
	if (syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL,
		    NULL) >= 0 || errno != EPERM)
		return 3;
	if (syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS)
		return 4;
	if (syscall(SYS_keyctl, 0, -3, 0) >= 0 || errno != EPERM)
		return 5;
	if (child_fails())
		return 6;
	return unshare(CLONE_FS) == 0 ? 0 : 7;
}

static void confines_calls(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: not root\n");
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(confined());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A variable must not reach the steps that still have rights. */
static void preloads_nothing(void **state)
{
	char text[8192];

	(void)state;
	script("#!/bin/sh\necho ran\n");
	kit_program_set(content, "variables",
			"{\"LD_PRELOAD\":\"/opt/code/evil.so\"}");
	(void)run(text, sizeof text);
	assert_null(strstr(text, "setpriv"));
	assert_null(strstr(text, "/usr/bin/env"));
	assert_says(text, "ran");
}

static void mounts_volumes(void **state)
{
	char text[8192], volume[128];
	struct run_spec spec;
	struct fault fault;

	(void)state;
	(void)spec;
	(void)fault;
	snprintf(volume, sizeof volume, "%s/witness", folder);
	assert_int_equal(mkdir(volume, 0777), 0);
	assert_int_equal(chmod(volume, 0777), 0);
	config.dev_bind = volume;
	kit_program_set(content, "volumes",
			"[{\"mount\":\"/srv/scratch\",\"ephemeral\":true,"
			"\"size_mib\":2}]");
	script("#!/bin/sh\n"
	       "echo x >/srv/scratch/f && echo wrote\n"
	       "head -c 4000000 /dev/zero >/srv/scratch/g 2>/dev/null "
	       "|| echo full\n"
	       "for d in /tmp/berth-runner-*/witness; do "
	       "echo seen >$d/note; done\n");
	assert_int_equal(run(text, sizeof text), 0);
	config.dev_bind = (char[]){ "" };
	assert_says(text, "wrote");
	assert_says(text, "full");
	strcat(volume, "/note");
	assert_int_equal(access(volume, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(builds_a_spec),
		TEST(refuses_variables),
		TEST(sees_its_own_world),
		TEST(can_not_reach_ours),
		TEST(confines_calls),
		TEST(preloads_nothing),
		TEST(mounts_volumes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
