/* Which job runs after which: names become jobs, and no job may wait for itself. */
#include "jobfile/draft.h"

#include "base/scoped.h"
#include "base/text.h"

#include <string.h>

struct order {
	const struct reading *r;
	const struct draft *drafts;
	size_t count;
	struct rec_spec *jobs;
	size_t jobs_count;
	bool waits[JOBFILE_JOBS_MAX][JOBFILE_JOBS_MAX]; /* the first draft for the second */
	enum { NEW, OPEN, DONE } seen[JOBFILE_JOBS_MAX];
	size_t way[JOBFILE_JOBS_MAX]; /* from draft to draft, while we look for rounds */
};

static size_t find_draft(const struct order *order, const char *title)
{
	size_t i = 0;
	while (i < order->count && strcmp(order->drafts[i].title, title) != 0)
		i++;
	return i;
}

/* The draft that a job was made of. */
static size_t draft_of(const struct order *order, size_t job)
{
	size_t i = 0;
	while (job >= order->drafts[i].first + order->drafts[i].count)
		i++;
	return i;
}

static size_t find_job(const struct order *order, const char *name)
{
	size_t i = 0;
	while (i < order->jobs_count && strcmp(order->jobs[i].name, name) != 0)
		i++;
	return i;
}

static void complain_unknown_job(const struct order *order, const struct node *item)
{
	const char *titles[JOBFILE_JOBS_MAX];
	for (size_t i = 0; i < order->count; i++)
		titles[i] = order->drafts[i].title;
	const char *near = text_nearest(item->text, titles, order->count);
	if (near)
		complain(order->r, item, "after: unknown job \"%s\", did you mean \"%s\"?",
		         quote(order->r, item), near);
	else
		complain(order->r, item, "after: unknown job \"%s\"", quote(order->r, item));
}

static void add_name(const char **names, size_t *count, const char *name)
{
	for (size_t i = 0; i < *count; i++)
		if (strcmp(names[i], name) == 0)
			return;
	names[(*count)++] = name;
}

/* A name means the jobs of a matrix all, or one of them. */
static void resolve_item(struct order *order, size_t self, const struct node *item,
                         const char **names, size_t *count)
{
	size_t other = find_draft(order, item->text);
	size_t first, last;
	if (other < order->count) {
		first = order->drafts[other].first;
		last = first + order->drafts[other].count;
	} else {
		first = find_job(order, item->text);
		last = first + 1;
		if (first == order->jobs_count) {
			complain_unknown_job(order, item);
			return;
		}
		other = draft_of(order, first);
	}
	if (other == self) {
		complain(order->r, item, "after: job \"%s\" cannot wait for itself",
		         order->drafts[self].title);
		return;
	}
	order->waits[self][other] = true;
	for (size_t i = first; i < last; i++)
		add_name(names, count, order->jobs[i].name);
}

static void resolve(struct order *order, size_t self)
{
	const struct draft *draft = &order->drafts[self];
	const char **names = arena_new(order->r->arena, JOBFILE_JOBS_MAX * sizeof *names);
	size_t count = 0;
	for (const struct node *item = first_item(draft->after); item;
	     item = next_item(draft->after, item))
		resolve_item(order, self, item, names, &count);
	for (size_t i = draft->first; i < draft->first + draft->count; i++) {
		order->jobs[i].after = names;
		order->jobs[i].after_count = count;
	}
}

static void complain_round(const struct order *order, size_t depth, size_t back)
{
	scoped(text_finish) struct text round = { 0 };
	size_t from = depth;
	while (order->way[from] != back)
		from--;
	for (; from <= depth; from++)
		text_addf(&round, "%s, ", order->drafts[order->way[from]].title);
	complain(order->r, order->drafts[order->way[depth]].after,
	         "after: jobs wait for each other: %s%s", round.data, order->drafts[back].title);
}

static void find_rounds(struct order *order, size_t self, size_t depth)
{
	order->seen[self] = OPEN;
	order->way[depth] = self;
	for (size_t other = 0; other < order->count; other++) {
		if (!order->waits[self][other])
			continue;
		if (order->seen[other] == OPEN)
			complain_round(order, depth, other);
		else if (order->seen[other] == NEW)
			find_rounds(order, other, depth + 1);
	}
	order->seen[self] = DONE;
}

void order_resolve(const struct reading *r, const struct draft *drafts, size_t count,
                   struct rec_spec *jobs, size_t jobs_count)
{
	struct order order = {
		.r = r, .drafts = drafts, .count = count, .jobs = jobs, .jobs_count = jobs_count
	};
	for (size_t i = 0; i < count; i++)
		if (drafts[i].after)
			resolve(&order, i);
	for (size_t i = 0; i < count; i++)
		if (order.seen[i] == NEW)
			find_rounds(&order, i, 0);
}
