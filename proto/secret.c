/* While two ends shake hands libzmq (4.3.4, curve_server.cpp) asks for six pieces of memory for
 * secrets. libsodium makes each of them anew: mapped, guarded, locked, and all that undone, twelve
 * system calls and what the processor forgets with them, two thirds of the time of a handshake. So
 * its two functions are ours: the program's own come first. A piece is a slot of a region that is
 * mapped, guarded, locked and kept out of core dumps once, and is wiped when it comes back. What is
 * larger, or too much at once, is libsodium's still. */
#include "proto/secret.h"

#include <dlfcn.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 32, SLOT_SIZE = 1024, REGION_SIZE = SLOTS * SLOT_SIZE };

static uint8_t *region;
static atomic_uint taken; /* a bit for each slot */
static atomic_ullong handed_out;

uint64_t secret_handed_out(void)
{
	return atomic_load(&handed_out);
}

void secret_start(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (region)
		return;
	uint8_t *guarded =
		mmap(NULL, REGION_SIZE + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guarded == MAP_FAILED)
		return;
	if (mprotect(guarded + page, REGION_SIZE, PROT_READ | PROT_WRITE) != 0) {
		munmap(guarded, REGION_SIZE + 2 * page);
		return;
	}
	/* As libsodium does: where it may not lock, it goes on. */
	mlock(guarded + page, REGION_SIZE);
	madvise(guarded + page, REGION_SIZE, MADV_DONTDUMP);
	region = guarded + page;
}

static void *take_slot(void)
{
	unsigned before = atomic_load(&taken);
	unsigned slot;
	do {
		if (!region || before == UINT32_MAX)
			return NULL;
		slot = (unsigned)__builtin_ctz(~before);
	} while (!atomic_compare_exchange_weak(&taken, &before, before | 1U << slot));
	atomic_fetch_add(&handed_out, 1);
	return region + (size_t)slot * SLOT_SIZE;
}

void *sodium_allocarray(size_t count, size_t size)
{
	void *slot = count <= SLOT_SIZE && size <= SLOT_SIZE && count * size <= SLOT_SIZE
	                     ? take_slot()
	                     : NULL;
	void *(*theirs)(size_t, size_t);
	if (slot)
		return slot;
	*(void **)&theirs = dlsym(RTLD_NEXT, "sodium_allocarray");
	return theirs(count, size);
}

void sodium_free(void *piece)
{
	uint8_t *bytes = piece;
	if (region && bytes >= region && bytes < region + REGION_SIZE) {
		explicit_bzero(bytes, SLOT_SIZE);
		atomic_fetch_and(&taken, ~(1U << ((size_t)(bytes - region) / SLOT_SIZE)));
		return;
	}
	void (*theirs)(void *);
	*(void **)&theirs = dlsym(RTLD_NEXT, "sodium_free");
	theirs(piece);
}
