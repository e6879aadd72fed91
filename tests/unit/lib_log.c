/* Log lines as they leave the process, and what a panic says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "node/lib/log.h"

/* Runs `work` in a child with stderr in a file; returns its wait status. */
static int in_child(void (*work)(void), char *text, size_t size)
{
	char path[] = "/tmp/berth-log-XXXXXX";
	int fd = mkstemp(path), status;
	ssize_t got;
	pid_t child;

	assert_true(fd >= 0);
	unlink(path);
	fcntl(fd, F_SETFL, O_APPEND);
	fflush(NULL);
	child = fork();
	if (child == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		dup2(fd, 2);
		work();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	got = pread(fd, text, size - 1, 0);
	assert_true(got >= 0);
	text[got] = '\0';
	close(fd);
	return status;
}

static void say(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("berthd", LOG_LEVEL_INFO);
	log_debug("area", "not shown");
	log_info("raft", "leader of term %d", 4);
	log_error("disk", "bad\nname \x1b[31m");
}

static void test_lines(void **state)
{
	char text[4096];
	unsigned y, mo, d, h, mi, s, ms;
	int end = 0;

	(void)state;
	assert_int_equal(in_child(say, text, sizeof text), 0);
	assert_int_equal(sscanf(text, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ INFO raft: "
				"leader of term 4\n%n", &y, &mo, &d, &h, &mi,
				&s, &ms, &end), 7);
	assert_true(end > 0);
	assert_non_null(strstr(text, "Z ERROR disk: bad name  [31m\n"));
	assert_null(strstr(text, "not shown"));
}

static void say_to_journal(void)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_init("berthd", LOG_LEVEL_DEBUG);
	log_warn("a", "b");
	log_debug("a", "c");
}

static void test_journal(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(in_child(say_to_journal, text, sizeof text), 0);
	assert_memory_equal(text, "<4>2", 4);
	assert_non_null(strstr(text, "\n<7>2"));
}

static void say_long(void)
{
	char *big = malloc(20000);

	log_init("berthd", LOG_LEVEL_INFO);
	memset(big, 'x', 19999);
	big[19999] = '\0';
	log_info("a", "%s", big);
	free(big);
}

static void test_long_line_is_cut(void **state)
{
	static char text[30000];

	(void)state;
	assert_int_equal(in_child(say_long, text, sizeof text), 0);
	assert_true(strlen(text) < 5000);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void *say_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++)
		log_info("thread", "a line of some length that stays whole");
	return NULL;
}

static void say_from_threads(void)
{
	pthread_t threads[4];

	log_init("berthd", LOG_LEVEL_INFO);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, say_often, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void test_threads(void **state)
{
	static char text[200000];
	static const char end[] =
		"INFO thread: a line of some length that stays whole\n";
	char *at = text;
	int lines = 0;

	(void)state;
	assert_int_equal(in_child(say_from_threads, text, sizeof text), 0);
	while ((at = strstr(at, end))) {
		at += strlen(end);
		lines++;
		assert_true(*at == '\0' || *at == '2');
	}
	assert_int_equal(lines, 800);
}

static void fail_require(void)
{
	int one = 1;

	log_init("berthd", LOG_LEVEL_INFO);
	log_set_index(1841);
	REQUIRE(one == 2);
}

static void test_panic(void **state)
{
	char text[4096];
	int status = in_child(fail_require, text, sizeof text);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(text, "ERROR panic: berthd: require: one == 2 "
			       "at tests/unit/lib_log.c:"));
	assert_non_null(strstr(text, "last log index 1841\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_panic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
