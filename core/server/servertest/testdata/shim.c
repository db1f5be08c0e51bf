/* Loaded into Postgres before the C library: syncs take longer, and the clock goes wrong, by what a shared page says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
	int64_t sync_ns; /* more that each sync takes */
	int64_t clock_s; /* that the clock is ahead */
};

static struct control still;
static volatile struct control *control = &still;

__attribute__((constructor)) static void open_control(void)
{
	const char *path = getenv("SHIM_CONTROL");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *page = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		control = page;
}

static void delay(void)
{
	int64_t ns = control->sync_ns;
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	if (ns > 0)
		while (nanosleep(&t, &t) != 0)
			;
}

int fdatasync(int fd)
{
	static int (*real)(int);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	delay();
	return real(fd);
}

int fsync(int fd)
{
	static int (*real)(int);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fsync");
	delay();
	return real(fd);
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	static int (*real)(struct timeval *, void *);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "gettimeofday");
	int result = real(tv, tz);
	if (tv)
		tv->tv_sec += control->clock_s;
	return result;
}

time_t time(time_t *out)
{
	struct timeval tv;
	gettimeofday(&tv, NULL);
	if (out)
		*out = tv.tv_sec;
	return tv.tv_sec;
}
