/* The one error type. The function that meets a failure words it with fail(); those above pass the
 * code on; the loop or main logs the line, once. */
#pragma once

enum err {
	OK = 0,
#define ERROR(name, exit_code) name,
#include "base/errors.def"
#undef ERROR
};

/* Keep one line of text for this thread (cut at 1 KiB, control bytes and malformed UTF-8
 * replaced) and return `code`.
 */
enum err fail(enum err code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The line kept by this thread's last fail(); valid until its next one. */
const char *error_text(void);

/* The exit code a program ends with when this error reaches main; 0 for OK. */
int error_exit_code(enum err code);

/* The error's name as declared: "ERR_IN_USE". */
const char *error_name(enum err code);
