/* A wall clock that is wrong by NAURA_TEST_CLOCK_SECONDS, for a process that has this library preloaded.
 *
 * Only the wall clock is shifted: what counts time that passes runs on as it is. Who waits until a moment of the wall
 * clock names it in shifted time, and the kernel would wait so much longer; those moments are shifted back. A moment of the
 * wall clock is told from one of the monotonic clock by its size. (libfaketime leaves the waits of C11's threads as they are,
 * and librdkafka waits by those: with its clock ahead it waits that much longer, and a worker hangs.)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static time_t shift;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("NAURA_TEST_CLOCK_SECONDS");
    shift = text ? atol(text) : 0;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

static struct timespec back(const struct timespec *moment)
{
    struct timespec real = *moment;
    if (real.tv_sec > 1000000000) real.tv_sec -= shift;
    return real;
}

/* The clocks. By system call: looking the library's own functions up may ask for the time. */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && is_wall(clock)) now->tv_sec += shift;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int result = syscall(SYS_gettimeofday, now, zone);
    if (result == 0) now->tv_sec += shift;
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* The waits. The first version of pthread_cond_timedwait, which a plain look-up may find, takes another structure. */

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlvsym(RTLD_NEXT, #name, "GLIBC_2.3.2"); \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int pthread_cond_timedwait(
    pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, const struct timespec *restrict moment)
{
    NEXT(pthread_cond_timedwait);
    struct timespec real = back(moment);
    return next(condition, mutex, &real);
}

int pthread_cond_clockwait(
    pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
    const struct timespec *restrict moment)
{
    NEXT(pthread_cond_clockwait);
    struct timespec real = back(moment);
    return next(condition, mutex, clock, &real);
}

/* C11's waits, which librdkafka uses, do not pass through those above. */

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict moment)
{
    NEXT(cnd_timedwait);
    struct timespec real = back(moment);
    return next(condition, mutex, &real);
}

int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict moment)
{
    NEXT(mtx_timedlock);
    struct timespec real = back(moment);
    return next(mutex, &real);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict moment)
{
    NEXT(pthread_mutex_timedlock);
    struct timespec real = back(moment);
    return next(mutex, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict moment)
{
    NEXT(sem_timedwait);
    struct timespec real = back(moment);
    return next(semaphore, &real);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request, struct timespec *left)
{
    NEXT(clock_nanosleep);
    struct timespec real = flags & TIMER_ABSTIME ? back(request) : *request;
    return next(clock, flags, &real, left);
}

int timerfd_settime(int timer, int flags, const struct itimerspec *new, struct itimerspec *old)
{
    NEXT(timerfd_settime);
    struct itimerspec real = *new;
    if (flags & TFD_TIMER_ABSTIME) real.it_value = back(&new->it_value);
    return next(timer, flags, &real, old);
}
