/* fettle gc */
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"

static void add(struct rec_gc_result *sum, const struct rec_gc_result *part)
{
	sum->builds += part->builds;
	sum->jobs += part->jobs;
	sum->logs += part->logs;
	sum->artifacts += part->artifacts;
	sum->bytes += part->bytes;
	sum->limited = part->limited;
}

static void print_count(struct text *line, const char *before, uint64_t count, const char *what)
{
	text_addf(line, "%s%llu %s%s", before, (unsigned long long)count, what,
	          count == 1 ? "" : "s");
}

static void print_sum(const struct rec_gc_result *sum)
{
	char size[CLOCK_TEXT_SIZE];
	scoped(text_finish) struct text line = { 0 };
	if (!sum->builds) {
		puts(sum->limited ? "nothing to remove"
		                  : "nothing to remove: the broker keeps all builds (see its "
		                    "--keep-age)");
		return;
	}
	text_add(&line, sum->dry_run ? "would remove " : "removed ");
	print_count(&line, "", sum->builds, "build");
	print_count(&line, ", ", sum->jobs, "job");
	print_count(&line, ", ", sum->logs, "log");
	if (sum->artifacts)
		print_count(&line, ", artifacts of ", sum->artifacts, "job");
	printf("%s: %s\n", line.data, output_size(sum->bytes, size));
}

/* The broker does a part at a time, so that it holds nobody up; an end in between is no harm. */
enum err verb_gc(struct session *session)
{
	struct rec_gc_result sum = { .dry_run = session->options->dry_run }, part;
	struct rec_gc_params params = { .dry_run = sum.dry_run };
	do {
		arena_reset(&session->arena);
		enum err err = session_ask_once(session, "gc", RECORD_gc_params, &params,
		                                RECORD_gc_result, &part);
		if (err)
			return err;
		add(&sum, &part);
		params.after = part.next;
	} while (params.after);
	if (session->options->json)
		json_print(RECORD_gc_result, &sum);
	else
		print_sum(&sum);
	return OK;
}
