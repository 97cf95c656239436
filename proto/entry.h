/* Entries of the list of repositories: what may stand in one, and rules for refs as people write
 * them: `[!]PATTERN[:latest|:every]`. */
#pragma once

#include "proto/message.h"

/* Paths are read in place, urls through a mirror. */
bool entry_url_is_path(const char *url);

/* ERR_USAGE for a path or url that can never be right, or that a program could take for something
 * else. */
enum err entry_check_url(const char *url);

/* Everything that a decoder cannot know. ERR_USAGE with what is wrong. */
enum err entry_check(const struct rec_watch_entry *entry);

/* Rules from texts, each as above. A pattern without "refs/" or "tags/" before it means branches;
 * rules that say no policy get `latest`. Memory from `arena`. */
enum err entry_read_rules(const struct text_list *texts, bool latest, struct arena *arena,
                          struct rec_watch_entry *entry);

/* A rule as a text that entry_read_rules() reads. */
void entry_add_rule(struct text *text, const struct rec_ref_rule *rule);

/* A copy of all of it; memory from `arena`. */
struct rec_watch_entry entry_copy(const struct rec_watch_entry *entry, struct arena *arena);

/* Is everything the same? */
bool entry_equal(const struct rec_watch_entry *a, const struct rec_watch_entry *b);
