// Which frames a viewer leaves out of a legacy profile: those of the allocator, of locks, of the profiler
// itself. The names are those google/pprof knows, as full-match expressions.
#include <string.h>

#include "profile/legacy_private.h"
#include "base/text.h"
#include "base/banned.h"

static const char allocator[] =
    "(tc_|__libc_)?(calloc|cfree|malloc|free|memalign|pvalloc|valloc|realloc)"
    "|do_memalign|(tc_|__)?posix_memalign"
    "|tcmalloc::.*|tc_(new|delete)(array)?|tc_new(array)?_nothrow"
    "|malloc_zone_(malloc|calloc|valloc|realloc|memalign|free)"
    "|runtime\\..*"
    "|BaseArena::.*|(::)?do_malloc(_no_errno|_pages)?|DoSampledAllocation"
    "|MallocedMemBlock::MallocedMemBlock|_M_allocate|__builtin_(vec_)?(delete|new)"
    "|__gnu_cxx::new_allocator::allocate|__malloc_alloc_template::allocate"
    "|allocate|cpp_alloc|operator new(\\[\\])?|simple_alloc::allocate";
static const char allocator_keep[] = "runtime\\.(panic|reflectcall|call[0-9]*)";
static const char locks[] = "(base::)?(RecordLock|SubmitMutex|SubmitSpinLock)ProfileData.*"
                            "|(base::)?(Mutex::)?(AwaitCommon|Unlock|UnlockSlow|ReaderUnlock).*"
                            "|(base::)?(MutexLock::)?~MutexLock.*"
                            "|(SpinLock::)?(Unlock|SlowUnlock).*|(SpinLockHolder::)?~SpinLockHolder.*";
static const char profiler[] =
    "ProfileData::(Add|prof_handler)|CpuProfiler::prof_handler|__pthread_sighandler|__restore";

const char *kp_legacy_drop_frames(const char *first_type, unsigned n_types, const char **ret_keep)
{
    bool heap = kp_streq(first_type, "objects") || kp_streq(first_type, "alloc_objects") ||
                kp_streq(first_type, "inuse_objects");
    *ret_keep = heap ? allocator_keep : "";
    if (heap)
        return allocator;
    return n_types == 2 && kp_streq(first_type, "contentions") ? locks : profiler;
}
