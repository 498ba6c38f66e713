/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many connections a second?
 *
 *     connect serve PORT                         answers each connection with one byte
 *     connect dial ADDRESS[,ADDRESS...] PORT MS THREADS [SOURCE]
 *                                                connects to one of the addresses, drawn at random,
 *                                                reads the byte, closes; again and again;
 *                                                each time from the next address after SOURCE
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
#define MAX_ADDRESSES 16
#define TIMEOUT_S 2
#define SOURCES_PER_THREAD 4096

struct addresses {
	unsigned int n;
	struct in_addr items[MAX_ADDRESSES];
};

struct dialer {
	pthread_t thread;
	const struct addresses *addresses;
	uint16_t port;
	unsigned int seed;
	uint32_t source; /* host byte order, 0 = the kernel's choice */
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

static bool bind_source(int conn, uint32_t source)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
	int one = 1;

	setsockopt(conn, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(conn, (struct sockaddr *)&from, sizeof(from)) == 0;
}

static bool dial_once(const struct sockaddr_in *to, uint32_t source)
{
	static const struct linger reset = {.l_onoff = 1};
	static const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int conn = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	bool ok;

	setsockopt(conn, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(conn, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	ok = (!source || bind_source(conn, source)) &&
	     connect(conn, (const struct sockaddr *)to, sizeof(*to)) == 0 &&
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
		uint32_t source = d->source ? d->source + d->n_connections % SOURCES_PER_THREAD : 0;
		struct sockaddr_in to = {
			.sin_family = AF_INET,
			.sin_port = htons(d->port),
			.sin_addr = d->addresses->items[rand_r(&d->seed) % d->addresses->n]};

		if (dial_once(&to, source))
			d->n_connections++;
		else
			d->failed = true;
	}
	return NULL;
}

static int dial(const struct addresses *addresses, uint16_t port, unsigned int ms,
		unsigned int n_threads, uint32_t source)
{
	static struct dialer dialers[MAX_THREADS];
	int64_t start_us = now_us();
	unsigned long n_connections = 0;
	bool failed = false;

	for (unsigned int i = 0; i < n_threads; i++) {
		dialers[i].addresses = addresses;
		dialers[i].port = port;
		dialers[i].seed = i + 1;
		dialers[i].source = source ? source + i * SOURCES_PER_THREAD : 0;
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

static bool parse_addresses(char *text, struct addresses *ret)
{
	char *rest = text;

	for (const char *one; (one = strsep(&rest, ","));)
		if (ret->n == MAX_ADDRESSES || inet_pton(AF_INET, one, &ret->items[ret->n++]) != 1)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct addresses addresses = {0};
	unsigned int n_threads;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(atoi(argv[2]));
	if ((argc == 6 || argc == 7) && strcmp(argv[1], "dial") == 0 &&
	    parse_addresses(argv[2], &addresses)) {
		n_threads = atoi(argv[5]);
		return dial(&addresses, atoi(argv[3]), atoi(argv[4]),
			    n_threads < MAX_THREADS ? n_threads : MAX_THREADS,
			    argc == 7 ? ntohl(inet_addr(argv[6])) : 0);
	}
	fprintf(stderr, "usage: connect serve PORT | "
			"connect dial ADDRESS[,ADDRESS...] PORT MS THREADS [SOURCE]\n");
	return 2;
}
