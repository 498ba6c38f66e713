/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft/list.h"

#include <errno.h>
#include <nftables/libnftables.h>

#include "nft/read.h"

static int list_table(struct nft_ctx *nft, enum kp_family family, struct kp_err *err)
{
	char command[64];

	snprintf(command, sizeof(command), "list table %s " KP_NFT_TABLE,
		 family == KP_IPV4 ? "ip" : "ip6");
	if (nft_run_cmd_from_buffer(nft, command) != 0)
		return kp_err_set(err, EIO, "%s: %s", command, nft_ctx_get_error_buffer(nft));
	return 0;
}

int kp_nft_list_tables(struct mnl_socket *socket, FILE *out, struct kp_err *err)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	int r = 0;

	if (!nft)
		return kp_err_set(err, ENOMEM, "open libnftables");
	nft_ctx_set_output(nft, out);
	nft_ctx_buffer_error(nft);
	for (int family = 0; family < KP_N_FAMILIES && r == 0; family++) {
		struct kp_nft_table table;

		r = kp_nft_read_table(socket, family, &table, err);
		if (r == 0 && table.exists)
			r = list_table(nft, family, err);
	}
	nft_ctx_free(nft);
	return r;
}

void kp_nft_list_vservices(const char *owner, const struct kp_vservices *vs,
			   const struct kp_nft_elements *installed, FILE *out)
{
	struct kp_nft_elements theirs = {0};
	char text[KP_NFT_ELEMENT_TEXT_SIZE];

	kp_nft_render_vservices(owner, vs, &theirs);
	kp_nft_elements_sort_unique(&theirs);
	for (size_t i = 0; i < theirs.n; i++) {
		const struct kp_nft_element *e = kp_nft_elements_find(installed, &theirs.items[i]);

		if (e)
			fprintf(out, "add element %s\n",
				kp_nft_element_text(e, text, sizeof(text)));
	}
	kp_nft_elements_clear(&theirs);
}
