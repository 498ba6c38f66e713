/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many requests a second on one connection, and how long does one take?
 *
 *     request serve PORT                     sends back what it gets, by TCP and UDP
 *     request tcp|udp ADDRESS PORT MS        one byte there and back; again and again
 *
 * UDP goes through an unconnected socket, as a resolver's does.  Prints requests per second and the
 * median and 99th percentile of their time in microseconds; one that fails ends it with status 1.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_REQUESTS 1000000
#define TIMEOUT_S 2

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int bound_socket(int type, uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		perror("request: bind");
		exit(1);
	}
	return fd;
}

static void *serve_udp(void *arg)
{
	int fd = *(int *)arg;
	struct sockaddr_in peer;
	char byte;

	for (;;) {
		socklen_t size = sizeof(peer);

		if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&peer, &size) == 1)
			sendto(fd, &byte, 1, 0, (struct sockaddr *)&peer, size);
	}
	return NULL;
}

static int serve(uint16_t port)
{
	int one = 1, udp = bound_socket(SOCK_DGRAM, port), tcp = bound_socket(SOCK_STREAM, port);
	pthread_t thread;

	if (listen(tcp, 16) < 0 || pthread_create(&thread, NULL, serve_udp, &udp) != 0)
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		int conn = accept(tcp, NULL, NULL);
		char byte;

		setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while (recv(conn, &byte, 1, 0) == 1)
			send(conn, &byte, 1, MSG_NOSIGNAL);
		close(conn);
	}
}

static bool ask(int fd, bool udp, const struct sockaddr_in *to)
{
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	char byte = 0;

	if (!udp)
		return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
	return sendto(fd, &byte, 1, 0, (const struct sockaddr *)to, sizeof(*to)) == 1 &&
	       recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&peer, &size) == 1;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int request(bool udp, const struct sockaddr_in *to, int64_t ms)
{
	static const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	static uint32_t took_ns[MAX_REQUESTS];
	int one = 1, fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	int64_t start_ns, last_ns, now;
	size_t n = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (!udp) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0) {
			perror("request: connect");
			return 1;
		}
	}
	start_ns = last_ns = now_ns();
	while (n < MAX_REQUESTS && last_ns - start_ns < ms * 1000000) {
		if (!ask(fd, udp, to)) {
			perror("request");
			return 1;
		}
		now = now_ns();
		took_ns[n++] = now - last_ns;
		last_ns = now;
	}
	qsort(took_ns, n, sizeof(took_ns[0]), compare);
	printf("%.1f %.2f %.2f\n", n * 1e9 / (last_ns - start_ns), took_ns[n / 2] / 1e3,
	       took_ns[n * 99 / 100] / 1e3);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	bool udp = argc > 1 && strcmp(argv[1], "udp") == 0;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(atoi(argv[2]));
	if (argc == 5 && (udp || strcmp(argv[1], "tcp") == 0) &&
	    inet_pton(AF_INET, argv[2], &to.sin_addr) == 1) {
		to.sin_port = htons(atoi(argv[3]));
		return request(udp, &to, atoi(argv[4]));
	}
	fprintf(stderr, "usage: request serve PORT | request tcp|udp ADDRESS PORT MS\n");
	return 2;
}
