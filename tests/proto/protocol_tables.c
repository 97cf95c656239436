/* The tables of docs/protocol.md, from the rows of messages.def. */
#include "proto/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *kind_text(enum field_kind kind)
{
	switch (kind) {
	case KIND_u32:
	case KIND_u64: return "number";
	case KIND_ms: return "milliseconds";
	case KIND_flag: return "flag";
	case KIND_outcome: return "outcome";
	case KIND_text: return "text";
	case KIND_name: return "name";
	case KIND_commit: return "commit";
	case KIND_ref: return "ref";
	case KIND_bytes: return "bytes";
	case KIND_raw: return "map";
	case KIND_list:
	case KIND_words:
	case KIND_one:
	case KIND_END: break;
	}
	return "";
}

static void print_range(const struct field *field, const char *unit)
{
	if (field->most == INT64_MAX)
		printf("from %" PRIu64, field->least);
	else if (field->least == field->most)
		printf("%" PRIu64 "%s", field->most, unit);
	else
		printf("%" PRIu64 " to %" PRIu64 "%s", field->least, field->most, unit);
}

static void print_kind(const struct field *field)
{
	switch (field->kind) {
	case KIND_list:
		printf("array of [%s](#record-%s)", schema_of_record(field->record)->name,
		       schema_of_record(field->record)->name);
		break;
	case KIND_words: printf("array of %ss", kind_text(field->word_kind)); break;
	case KIND_one:
		printf("[%s](#record-%s)", schema_of_record(field->record)->name,
		       schema_of_record(field->record)->name);
		break;
	default: printf("%s", kind_text(field->kind)); break;
	}
}

static void print_bounds(const struct field *field)
{
	switch (field->kind) {
	case KIND_u32:
	case KIND_u64:
	case KIND_ms: print_range(field, ""); break;
	case KIND_text:
	case KIND_name:
	case KIND_commit:
	case KIND_ref:
	case KIND_bytes: print_range(field, " bytes"); break;
	case KIND_list: printf("at most %" PRIu64 " items", field->items); break;
	case KIND_words:
		printf("at most %" PRIu64 " items, each ", field->items);
		print_range(field, " bytes");
		break;
	default: break;
	}
}

static void print_fields(const struct schema *schema)
{
	if (!schema->fields[0].kind) {
		printf("No fields.\n\n");
		return;
	}
	printf("| Field | Kind | Bounds | Needed | Meaning |\n|---|---|---|---|---|\n");
	for (const struct field *field = schema->fields; field->kind; field++) {
		printf("| `%s` | ", field->name);
		print_kind(field);
		printf(" | ");
		print_bounds(field);
		printf(" | %s | %s |\n", field->required ? "yes" : "", field->doc);
	}
	printf("\n");
}

int main(void)
{
	printf("### Messages\n\n| Message | From > to | Meaning |\n|---|---|---|\n");
	for (int i = MESSAGE_NONE + 1; i < MESSAGE_TYPE_COUNT; i++) {
		const struct schema *schema = schema_of_message((enum message_type)i);
		printf("| [`%s`](#message-%s) | %s | %s |\n", schema->name, schema->name,
		       schema->from_to, schema->doc);
	}
	printf("\n");
	for (int i = MESSAGE_NONE + 1; i < MESSAGE_TYPE_COUNT; i++) {
		const struct schema *schema = schema_of_message((enum message_type)i);
		printf("#### Message `%s`\n\n%s: %s.\n\n", schema->name, schema->from_to,
		       schema->doc);
		print_fields(schema);
	}
	printf("### Records\n\nMaps inside messages, and the parameters and results of admin "
	       "requests.\n\n");
	for (int i = 0; i < RECORD_TYPE_COUNT; i++) {
		const struct schema *schema = schema_of_record((enum record_type)i);
		printf("#### Record `%s`\n\nIt is %s.\n\n", schema->name, schema->doc);
		print_fields(schema);
	}
	printf("### Outcomes\n\nThe worst outcome of its jobs, in this order, is a build's.\n\n"
	       "| Outcome | Green | Meaning |\n|---|---|---|\n");
#define OUTCOME(name, green, doc) printf("| `%s` | %s | %s |\n", #name, green ? "yes" : "", doc);
#include "proto/outcomes.def"
#undef OUTCOME
	return 0;
}
