/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kproxy/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static const int af[] = {[KP_IPV4] = AF_INET, [KP_IPV6] = AF_INET6};

const char *kp_family_name(enum kp_family family)
{
	return family == KP_IPV4 ? "IPv4" : "IPv6";
}

bool kp_addr_is_loopback(enum kp_family family, const struct kp_addr *addr)
{
	static const struct kp_addr one6 = {.bytes = {[15] = 1}};

	return family == KP_IPV4 ? addr->bytes[0] == 127 : kp_addr_equal(addr, &one6);
}

/* Four decimal octets; inet_pton() refuses leading zeros, which old objects may hold. */
static int parse_ipv4(const char *text, struct kp_addr *ret)
{
	const char *p = text;

	for (int i = 0; i < 4; i++) {
		unsigned int value = 0, n_digits = 0;

		for (; *p >= '0' && *p <= '9' && value <= 255; p++, n_digits++)
			value = value * 10 + (*p - '0');
		if (n_digits == 0 || value > 255 || *p != (i < 3 ? '.' : 0))
			return -EINVAL;
		ret->bytes[i] = value;
		p++;
	}
	return 0;
}

int kp_addr_parse(const char *text, enum kp_family *ret_family, struct kp_addr *ret)
{
	struct kp_addr addr = {0};

	if (strchr(text, ':')) {
		if (inet_pton(AF_INET6, text, addr.bytes) != 1)
			return -EINVAL;
		*ret_family = KP_IPV6;
	} else {
		if (parse_ipv4(text, &addr) < 0)
			return -EINVAL;
		*ret_family = KP_IPV4;
	}
	*ret = addr;
	return 0;
}

static int parse_port(const char *text, uint16_t *ret)
{
	unsigned long port;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	port = strtoul(text, &end, 10);
	if (*end || port < 1 || port > UINT16_MAX)
		return -EINVAL;
	*ret = port;
	return 0;
}

int kp_addr_port_parse(const char *text, uint16_t default_port, struct kp_addr_port *ret)
{
	struct kp_addr_port at = {.port = default_port};
	const char *end = strchr(text, ':'); /* of the address */
	bool bracket = *text == '[';
	enum kp_family family;
	char host[64];

	if (bracket)
		end = strchr(++text, ']');
	else if (!end || strchr(end + 1, ':'))
		end = text + strlen(text);
	if (!end || (size_t)(end - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, end - text);
	host[end - text] = 0;
	if (kp_addr_parse(host, &family, &at.addr) < 0 || (bracket && family != KP_IPV6))
		return -EINVAL;
	end += bracket;
	if (*end && (*end != ':' || parse_port(end + 1, &at.port) < 0))
		return -EINVAL;
	at.family = family;
	*ret = at;
	return 0;
}

static void clear_host_bits(struct kp_prefix *prefix)
{
	for (unsigned int i = 0; i < sizeof(prefix->addr.bytes); i++) {
		if (i * 8 >= prefix->len)
			prefix->addr.bytes[i] = 0;
		else if (i * 8 + 8 > prefix->len)
			prefix->addr.bytes[i] &= 0xff << (i * 8 + 8 - prefix->len);
	}
}

int kp_prefix_parse(const char *text, struct kp_prefix *ret)
{
	const char *slash = strchr(text, '/');
	struct kp_prefix prefix = {0};
	enum kp_family family;
	char addr[48];
	unsigned int len = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(addr) || !slash[1])
		return -EINVAL;
	memcpy(addr, text, slash - text);
	addr[slash - text] = 0;
	if (kp_addr_parse(addr, &family, &prefix.addr) < 0)
		return -EINVAL;
	for (const char *p = slash + 1; *p; p++) {
		if (*p < '0' || *p > '9' || len > 128)
			return -EINVAL;
		len = len * 10 + (*p - '0');
	}
	if (len > kp_family_addr_size(family) * 8)
		return -EINVAL;
	prefix.family = family;
	prefix.len = len;
	clear_host_bits(&prefix);
	*ret = prefix;
	return 0;
}

bool kp_prefix_contains(const struct kp_prefix *prefix, enum kp_family family,
			const struct kp_addr *addr)
{
	struct kp_prefix masked = {.addr = *addr, .family = family, .len = prefix->len};

	if (prefix->family != family)
		return false;
	clear_host_bits(&masked);
	return kp_addr_equal(&masked.addr, &prefix->addr);
}

const char *kp_addr_text(enum kp_family family, const struct kp_addr *addr,
			 char buf[KP_ADDR_TEXT_SIZE])
{
	inet_ntop(af[family], addr->bytes, buf, KP_ADDR_TEXT_SIZE);
	return buf;
}

const char *kp_addr_port_text(enum kp_family family, const struct kp_addr *addr, uint16_t port,
			      char buf[KP_ADDR_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(af[family], addr->bytes, text, sizeof(text));
	snprintf(buf, KP_ADDR_TEXT_SIZE, family == KP_IPV6 ? "[%s]:%u" : "%s:%u", text, port);
	return buf;
}

const char *kp_prefix_text(const struct kp_prefix *prefix, char buf[KP_ADDR_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(af[prefix->family], prefix->addr.bytes, text, sizeof(text));
	snprintf(buf, KP_ADDR_TEXT_SIZE, "%s/%u", text, prefix->len);
	return buf;
}

static const struct {
	uint8_t proto;
	const char *name, *lower;
} protos[] = {
	{IPPROTO_TCP, "TCP", "tcp"},
	{IPPROTO_UDP, "UDP", "udp"},
	{IPPROTO_SCTP, "SCTP", "sctp"},
};

uint8_t kp_proto_parse(const char *text)
{
	for (unsigned int i = 0; i < sizeof(protos) / sizeof(protos[0]); i++)
		if (strcmp(text, protos[i].name) == 0)
			return protos[i].proto;
	return 0;
}

const char *kp_proto_name(uint8_t proto)
{
	for (unsigned int i = 0; i < sizeof(protos) / sizeof(protos[0]); i++)
		if (protos[i].proto == proto)
			return protos[i].name;
	return "?";
}

const char *kp_proto_name_lower(uint8_t proto)
{
	for (unsigned int i = 0; i < sizeof(protos) / sizeof(protos[0]); i++)
		if (protos[i].proto == proto)
			return protos[i].lower;
	return "?";
}
