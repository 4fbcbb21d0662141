/* A disk that takes longer to flush: preloaded into the server, it lets fdatasync() (what PostgreSQL flushes its log with on
   Linux) wait as many microseconds as the file named by SLOW_FLUSH_FILE says. Without the file it does nothing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long microseconds(void)
{
    const char *name = getenv("SLOW_FLUSH_FILE");
    char text[16] = {0};
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int fdatasync(int file)
{
    long wait = microseconds();
    if (wait > 0) {
        struct timespec time = {wait / 1000000, wait % 1000000 * 1000};
        nanosleep(&time, NULL);
    }
    return (int)syscall(SYS_fdatasync, file);
}
