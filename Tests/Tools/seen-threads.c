/* What ThreadSanitizer cannot see by itself, for a process under it that has this library preloaded.
 *
 * C11's threads, mutexes and conditions become POSIX ones, which alone it watches. librdkafka is built on <threads.h>: its
 * threads would be unknown to the sanitizer, which dies in their first allocation, and whatever its mutexes order would be
 * reported as a race. In glibc both families have the same types underneath.
 *
 * Swift's Mutex takes and gives back its lock in the caller's own, watched code, but only where nobody waits for it. The rest lies
 * in Swift's library, which is not watched: those three functions are here again, and tell the sanitizer what they order.
 * Their names, and that a caller's own place is passed as Swift does it, want clang.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

extern void __tsan_acquire(void *word) __attribute__((weak));
extern void __tsan_release(void *word) __attribute__((weak));

#define SWIFT_CALL __attribute__((swiftcall))
#define SWIFT_SELF __attribute__((swift_context))
#define lock_slowly $s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF
#define unlock_slowly $s15Synchronization12_MutexHandleV11_unlockSlowyyF
#define try_lock_slowly $s15Synchronization12_MutexHandleV12_tryLockSlowSbyF

static int futex(uint32_t *word, int operation)
{
    while (syscall(SYS_futex, word, operation, 0, NULL)) {
        if (errno != EINTR && errno != EAGAIN) return errno;
    }
    return 0;
}

SWIFT_CALL void lock_slowly(uint32_t own, SWIFT_SELF uint32_t *word)
{
    (void)own;
    if (futex(word, FUTEX_LOCK_PI_PRIVATE)) abort();
    if (__tsan_acquire) __tsan_acquire(word);
}

SWIFT_CALL void unlock_slowly(SWIFT_SELF uint32_t *word)
{
    if (__tsan_release) __tsan_release(word);
    if (futex(word, FUTEX_UNLOCK_PI_PRIVATE)) abort();
}

SWIFT_CALL _Bool try_lock_slowly(SWIFT_SELF uint32_t *word)
{
    if (syscall(SYS_futex, word, FUTEX_TRYLOCK_PI, 0, NULL)) return 0;
    if (__tsan_acquire) __tsan_acquire(word);
    return 1;
}

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t), "other types");

static int answer(int code)
{
    switch (code) {
    case 0: return thrd_success;
    case ENOMEM: return thrd_nomem;
    case EBUSY: return thrd_busy;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
    }
}

struct start {
    thrd_start_t run;
    void *argument;
};

static void *begin(void *given)
{
    struct start start = *(struct start *)given;
    free(given);
    return (void *)(intptr_t)start.run(start.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
    struct start *start = malloc(sizeof *start);
    if (!start) return thrd_nomem;
    *start = (struct start){run, argument};
    int code = pthread_create(thread, NULL, begin, start);
    if (code) free(start);
    return answer(code);
}

int thrd_join(thrd_t thread, int *result)
{
    void *returned = NULL;
    int code = pthread_join(thread, &returned);
    if (result) *result = (int)(intptr_t)returned;
    return answer(code);
}

int thrd_detach(thrd_t thread) { return answer(pthread_detach(thread)); }
thrd_t thrd_current(void) { return pthread_self(); }

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(
        &attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    int code = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return answer(code);
}

int mtx_lock(mtx_t *mutex) { return answer(pthread_mutex_lock((pthread_mutex_t *)mutex)); }
int mtx_trylock(mtx_t *mutex) { return answer(pthread_mutex_trylock((pthread_mutex_t *)mutex)); }
int mtx_unlock(mtx_t *mutex) { return answer(pthread_mutex_unlock((pthread_mutex_t *)mutex)); }
void mtx_destroy(mtx_t *mutex) { pthread_mutex_destroy((pthread_mutex_t *)mutex); }

int cnd_init(cnd_t *condition) { return answer(pthread_cond_init((pthread_cond_t *)condition, NULL)); }
int cnd_signal(cnd_t *condition) { return answer(pthread_cond_signal((pthread_cond_t *)condition)); }
int cnd_broadcast(cnd_t *condition) { return answer(pthread_cond_broadcast((pthread_cond_t *)condition)); }
void cnd_destroy(cnd_t *condition) { pthread_cond_destroy((pthread_cond_t *)condition); }

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return answer(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
    return answer(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}
