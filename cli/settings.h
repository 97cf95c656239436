/* The flags of each verb, as rows for base/settings.h, and the struct that they fill. */
#pragma once

#include "base/settings.h"

#define SETTINGS_place                                                                             \
	SETTING(addresses, broker, 'b', NULL, "ADDRESS,...",                                       \
	        "Broker: HOST[:PORT] or ipc:FOLDER; of several the first that answers.")           \
	SETTING(text, state, 0, NULL, "DIR",                                                       \
	        "State folder of the broker, or `fettle up`, to ask.")                             \
	SETTING(text, key, 0, NULL, "FILE", "Key, for a broker that asks for one.")

#define SETTINGS_here                                                                              \
	SETTING(addresses, broker, 'b', NULL, "ADDRESS", "Broker of this machine: ipc:FOLDER.")    \
	SETTING(text, state, 0, NULL, "DIR", "State folder of the `fettle up` of this machine.")

#define SETTINGS_json SETTING(flag, json, 0, NULL, NULL, "Print JSON with stable keys.")

#define SETTINGS_answer                                                                            \
	SETTING(duration, timeout, 0, "5s", "DURATION", "How long to wait for an answer.")

#define SETTINGS_limit(fallback)                                                                   \
	SETTING(count, limit, 'n', fallback, "N", "Rows to print at most; 0: all.")

#define SETTINGS_repository SETTING(text, repository, 'r', NULL, "NAME", "Only this repository.")

#define SETTINGS_reading                                                                           \
	SETTING(flag, follow, 'f', NULL, NULL,                                                     \
	        "Go on until the job is final, through all attempts.")                             \
	SETTING(count, attempt, 0, NULL, "N", "Of this attempt; without it, the newest.")

#define SETTINGS_failed SETTING(flag, failed, 0, NULL, NULL, "Only tests that failed.")

#define SETTINGS_red SETTING(flag, failed, 0, NULL, NULL, "Only jobs that are not green.")

#define SETTINGS_output SETTING(text, output, 'o', NULL, "DIR", "Fetch the files into this folder.")

#define SETTINGS_watching                                                                          \
	SETTING(list, ref, 0, NULL, "RULE,...", "Refs to watch; without it, all branches.")        \
	SETTING(duration, every, 0, NULL, "DURATION",                                              \
	        "Time between two looks; without it, the observer's.")                             \
	SETTING(text, since, 0, NULL, "WHEN",                                                      \
	        "First look: test what is newer than this; without it, tips only.")                \
	SETTING(text, observer, 0, NULL, "NAME", "The only observer that may watch it.")

#define SETTINGS_events                                                                            \
	SETTING(text, since, 0, NULL, "N",                                                         \
	        "Begin after the event of this number; 0: with the oldest that is kept.")          \
	SETTING(flag, once, 0, NULL, NULL, "End when all that happened is printed.")

#define SETTINGS_screen                                                                            \
	SETTING(duration, timeout, 0, "2s", "DURATION",                                            \
	        "How long to wait for an answer; it is asked again then.")                         \
	SETTING(flag, once, 0, NULL, NULL, "Print it once, and end; needs no terminal.")

#define SETTINGS_file SETTING(text, file, 0, NULL, "PATH", "Write to this file, not to stdout.")

#define SETTINGS_install SETTING(flag, install, 0, NULL, NULL, "Write it, do not print it.")

#define SETTINGS_trying SETTING(flag, dry_run, 0, NULL, NULL, "Only say what would go.")

#define SETTINGS_reason SETTING(text, reason, 0, NULL, "TEXT", "Why; it stands in the verdict.")

#define SETTINGS_running                                                                           \
	SETTING(text, state, 0, NULL, "DIR", "Folder for everything that is kept.")                \
	SETTING(text, listen, 0, "127.0.0.1:5570", "ADDRESS",                                      \
	        "Where workers of other machines may come; none: nowhere.")                        \
	SETTING(count, workers, 'w', "1", "N", "Workers to run here.")                             \
	SETTING(count, slots, 0, NULL, "N", "Jobs at once per worker; without it, one per CPU.")   \
	SETTING(list, label, 'l', NULL, "LABEL,...", "Labels that the workers offer.")             \
	SETTING(flag, allow_root_jobs, 0, NULL, NULL,                                              \
	        "As root: the workers run jobs as root, too.")                                     \
	SETTING(duration, interval, 0, NULL, "DURATION",                                           \
	        "Time between two looks at a repository.")                                         \
	SETTING(text, policy, 0, NULL, "POLICY", "every: each commit; latest: only the newest.")   \
	SETTING(list, ref, 0, NULL, "REF,...", "Branches and tags to watch; without it, branches.")

#define SETTINGS_up     SETTINGS_running SETTINGS_json
#define SETTINGS_asking SETTINGS_place SETTINGS_json SETTINGS_answer
#define SETTINGS_status                                                                            \
	SETTINGS_asking SETTING(count, limit, 'n', NULL, "N",                                      \
	                        "Rows of a table at most. Without it 20, with --json all.")
#define SETTINGS_queue     SETTINGS_asking SETTINGS_limit("100") SETTINGS_repository
#define SETTINGS_workers   SETTINGS_asking SETTINGS_limit("0")
#define SETTINGS_builds    SETTINGS_asking SETTINGS_limit("20") SETTINGS_repository
#define SETTINGS_show      SETTINGS_asking
#define SETTINGS_log       SETTINGS_asking SETTINGS_reading
#define SETTINGS_tests     SETTINGS_asking SETTINGS_limit("0") SETTINGS_failed
#define SETTINGS_artifacts SETTINGS_asking SETTINGS_output
#define SETTINGS_wait                                                                              \
	SETTINGS_place SETTINGS_json SETTING(duration, timeout, 0, NULL, "DURATION",               \
	                                     "How long to wait for the verdict; 0: for ever.")
#define SETTINGS_cancel      SETTINGS_asking SETTINGS_reason
#define SETTINGS_watch       SETTINGS_asking SETTINGS_events
#define SETTINGS_top         SETTINGS_place SETTINGS_screen
#define SETTINGS_metrics     SETTINGS_place SETTINGS_answer SETTINGS_file
#define SETTINGS_rerun       SETTINGS_asking SETTINGS_red
#define SETTINGS_doctor      SETTINGS_asking
#define SETTINGS_drain       SETTINGS_asking
#define SETTINGS_pause       SETTINGS_asking
#define SETTINGS_resume      SETTINGS_asking
#define SETTINGS_gc          SETTINGS_asking SETTINGS_trying
#define SETTINGS_backup      SETTINGS_asking
#define SETTINGS_why         SETTINGS_asking
#define SETTINGS_lint        SETTINGS_json
#define SETTINGS_completion  SETTINGS_file
#define SETTINGS_version     SETTINGS_json
#define SETTINGS_repo_add    SETTINGS_asking SETTINGS_watching
#define SETTINGS_repo_remove SETTINGS_asking
#define SETTINGS_repo_list   SETTINGS_asking
#define SETTINGS_repo_show   SETTINGS_asking
#define SETTINGS_repo_pause  SETTINGS_asking
#define SETTINGS_repo_resume SETTINGS_asking
#define SETTINGS_repo_hook   SETTINGS_asking SETTINGS_install
#define SETTINGS_poke        SETTINGS_asking

#define SETTINGS_keys_new                                                                          \
	SETTINGS_here SETTING(list, server, 0, NULL, "KEY,...",                                    \
	                      "With FILE: the broker's public key; two while it changes.")
#define SETTINGS_only                                                                              \
	SETTING(text, repository, 'r', NULL, "NAME,...", "Of an observer or a worker: only these.")
#define SETTINGS_keys_allow  SETTINGS_here SETTINGS_only
#define SETTINGS_keys_revoke SETTINGS_here
#define SETTINGS_keys_list                                                                         \
	SETTINGS_here SETTINGS_json SETTING(duration, timeout, 0, "1s", "DURATION",                \
	                                    "How long to wait for the broker's answer.")
#define SETTINGS_keys_lift SETTINGS_asking
#define SETTINGS_keys_rotate                                                                       \
	SETTINGS_here SETTING(flag, finish, 0, NULL, NULL, "Change to the key that was made.")
#define SETTINGS_keys_accept SETTINGS_here
#define SETTINGS_invite                                                                            \
	SETTINGS_here SETTINGS_only SETTING(text, address, 0, NULL, "HOST[:PORT]",                 \
	                                    "Where the new machine finds the broker.")

/* What the flags of the verb at hand say; the others are zero. */
struct options {
#define SETTING(kind, name, letter, fallback, value_name, help)                                    \
	SETTING_FIELD(kind, name, letter, fallback, value_name, help)
	SETTINGS_running SETTINGS_json SETTINGS_answer SETTINGS_limit(NULL) SETTINGS_repository
		SETTINGS_reading SETTINGS_failed SETTINGS_output SETTINGS_file SETTINGS_install
		SETTINGS_trying SETTINGS_reason SETTING(duration, every, 0, NULL, NULL, NULL)
	SETTING(text, since, 0, NULL, NULL, NULL)
	SETTING(flag, once, 0, NULL, NULL, NULL)
	SETTING(text, observer, 0, NULL, NULL, NULL)
	SETTING(addresses, broker, 0, NULL, NULL, NULL)
	SETTING(text, key, 0, NULL, NULL, NULL)
	SETTING(list, server, 0, NULL, NULL, NULL)
	SETTING(text, address, 0, NULL, NULL, NULL)
	SETTING(flag, finish, 0, NULL, NULL, NULL)
#undef SETTING
};
