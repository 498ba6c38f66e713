/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many connections a second?
 *
 *     connect serve PORT                         answers each connection with one byte
 *     connect dial ADDRESS PORT MS THREADS       connects, reads the byte, closes; again and again
 *
 * The client closes with a reset, so that neither side keeps the port in TIME_WAIT.  Prints
 * connections per second; a connection that fails ends it with status 1. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define TIMEOUT_S 2

struct dialer {
	pthread_t thread;
	struct sockaddr_in to;
	int64_t end_us;
	unsigned long n_connections;
	bool failed;
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int serve(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(listener, 4096) < 0) {
		perror("connect: listen");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int conn = accept(listener, NULL, NULL);

		if (conn < 0)
			continue;
		send(conn, "", 1, MSG_NOSIGNAL);
		close(conn);
	}
}

static bool dial_once(const struct sockaddr_in *to)
{
	static const struct linger reset = {.l_onoff = 1};
	static const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int conn = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	bool ok;

	setsockopt(conn, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(conn, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	ok = connect(conn, (const struct sockaddr *)to, sizeof(*to)) == 0 &&
	     recv(conn, &byte, 1, 0) == 1;
	if (!ok)
		perror("connect: dial");
	close(conn);
	return ok;
}

static void *dial_until(void *arg)
{
	struct dialer *d = arg;

	while (!d->failed && now_us() < d->end_us) {
		if (dial_once(&d->to))
			d->n_connections++;
		else
			d->failed = true;
	}
	return NULL;
}

static int dial(const struct sockaddr_in *to, unsigned int ms, unsigned int n_threads)
{
	static struct dialer dialers[MAX_THREADS];
	int64_t start_us = now_us();
	unsigned long n_connections = 0;
	bool failed = false;

	for (unsigned int i = 0; i < n_threads; i++) {
		dialers[i].to = *to;
		dialers[i].end_us = start_us + (int64_t)ms * 1000;
		if (pthread_create(&dialers[i].thread, NULL, dial_until, &dialers[i]) != 0)
			abort();
	}
	for (unsigned int i = 0; i < n_threads; i++) {
		pthread_join(dialers[i].thread, NULL);
		n_connections += dialers[i].n_connections;
		failed |= dialers[i].failed;
	}
	printf("%.1f\n", n_connections * 1e6 / (now_us() - start_us));
	return failed;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	unsigned int n_threads;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(atoi(argv[2]));
	if (argc == 6 && strcmp(argv[1], "dial") == 0 &&
	    inet_pton(AF_INET, argv[2], &to.sin_addr) == 1) {
		to.sin_port = htons(atoi(argv[3]));
		n_threads = atoi(argv[5]);
		return dial(&to, atoi(argv[4]), n_threads < MAX_THREADS ? n_threads : MAX_THREADS);
	}
	fprintf(stderr, "usage: connect serve PORT | connect dial ADDRESS PORT MS THREADS\n");
	return 2;
}
