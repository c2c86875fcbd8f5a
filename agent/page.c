/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/page.h"

/* The assembler reads the file: what is served is what stands in agent/page/, byte for byte. */
#define EMBED(name, file)                                                                          \
	__asm__(".section .rodata\n"                                                               \
		".balign 8\n" #name "_len: .quad 1f - 0f\n" #name                                  \
		"_data: 0: .incbin \"agent/page/" file "\"\n1:\n.previous\n");                     \
	extern const char name##_data[] __asm__(#name "_data");                                    \
	extern const size_t name##_len __asm__(#name "_len")

EMBED(page_index, "index.html");
EMBED(page_icon, "icon.svg");
EMBED(page_style, "style.css");
EMBED(page_app, "app.js");
EMBED(page_chart, "chart.js");
EMBED(page_complete, "complete.js");
EMBED(page_detail, "detail.js");
EMBED(page_list, "list.js");
EMBED(page_net, "net.js");
EMBED(page_text, "text.js");
EMBED(page_timeline, "timeline.js");

#define JS "text/javascript; charset=utf-8"

const struct page_file page_files[] = {
	{ "/", "text/html; charset=utf-8", page_index_data, &page_index_len },
	{ "/icon.svg", "image/svg+xml", page_icon_data, &page_icon_len },
	{ "/style.css", "text/css; charset=utf-8", page_style_data, &page_style_len },
	{ "/app.js", JS, page_app_data, &page_app_len },
	{ "/chart.js", JS, page_chart_data, &page_chart_len },
	{ "/complete.js", JS, page_complete_data, &page_complete_len },
	{ "/detail.js", JS, page_detail_data, &page_detail_len },
	{ "/list.js", JS, page_list_data, &page_list_len },
	{ "/net.js", JS, page_net_data, &page_net_len },
	{ "/text.js", JS, page_text_data, &page_text_len },
	{ "/timeline.js", JS, page_timeline_data, &page_timeline_len },
	{ NULL, NULL, NULL, NULL },
};
