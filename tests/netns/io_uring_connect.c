/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connects by io_uring and prints what the server says.
 *
 *     io_uring_connect ADDRESS PORT
 *
 * IORING_SETUP_SQPOLL leaves the work to a thread of the kernel: connect() then runs there, not in
 * this process.  Exits with 4 where there is no io_uring. */
#include <errno.h>
#include <liburing.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_by(struct io_uring *ring, int fd, const struct addrinfo *to)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int r;

	io_uring_prep_connect(sqe, fd, to->ai_addr, to->ai_addrlen);
	io_uring_submit(ring);
	r = io_uring_wait_cqe(ring, &cqe);
	if (r == 0)
		r = cqe->res;
	return r;
}

static int run(struct io_uring *ring, const struct addrinfo *to)
{
	int fd = socket(to->ai_family, SOCK_STREAM, 0), r = connect_by(ring, fd, to);
	char answer[99];
	ssize_t n;

	if (r < 0) {
		puts(strerrorname_np(-r));
		return 0;
	}
	n = read(fd, answer, sizeof(answer));
	printf("%.*s\n", (int)n, answer);
	return n <= 0;
}

int main(int argc, char **argv)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	static const unsigned int flags[] = {0, IORING_SETUP_SQPOLL};
	struct addrinfo *to;

	if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &to) != 0)
		return 2;
	for (int i = 0; i < 2; i++) {
		struct io_uring ring;
		int r = io_uring_queue_init(2, &ring, flags[i]);

		if (r < 0)
			return r == -ENOSYS || r == -EPERM ? 4 : 1;
		if (run(&ring, to) != 0)
			return 1;
		io_uring_queue_exit(&ring);
	}
	freeaddrinfo(to);
	return 0;
}
