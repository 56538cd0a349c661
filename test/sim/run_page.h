/* SPDX-License-Identifier: Apache-2.0 */
/* run_page.h: a run as a picture: one page that needs nothing else, with a lane a member, cut links
 * as bands, messages and calls on hover, and the violated check marked. It collects what is told
 * here, and writes all of it at the end. A NULL page takes nothing. */
#ifndef KVRAFT_TEST_SIM_RUN_PAGE_H
#define KVRAFT_TEST_SIM_RUN_PAGE_H

#include "run.h"

typedef struct page page;

/* The lines of page.html, made by the Makefile; NULL ends them. */
extern const char *const run_page_lines[];

page *page_new(const char *file_name);
void page_event(page *p, const run_world *world, const kvr_sim_event *event);
/* A call began, or ended as `outcome` says; number is that of its history. */
void page_call(page *p, uint64_t now_ns, const history_call *call, const char *what);
void page_answer(page *p, uint64_t now_ns, uint64_t number, const char *outcome);
void page_say(page *p, uint64_t now_ns, uint32_t member, const char *word, const char *what,
              uint64_t number);
void page_end(page *p, const run_world *world, const check_report *report);
bool page_write(page *p); /* and frees it. False: the file could not be written */

#endif
