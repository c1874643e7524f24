// process_* metrics: the names every dashboard knows.
#include "base/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/banned.h"

struct process {
    struct kp_metric *cpu, *resident, *virtual_bytes, *fds, *max_fds, *start;
};

static void read_memory(const struct process *process)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long size, resident;
    if (file == NULL)
        return;
    if (fscanf(file, "%llu %llu", &size, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        kp_metric_set(process->virtual_bytes, (double)size * page);
        kp_metric_set(process->resident, (double)resident * page);
    }
    fclose(file);
}

static void count_fds(const struct process *process)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = -3; // ".", ".." and the folder's own
    if (dir == NULL)
        return;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    kp_metric_set(process->fds, n);
}

static void collect(void *user)
{
    const struct process *process = user;
    struct timespec cpu;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        kp_metric_set(process->cpu, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        kp_metric_set(process->max_fds, (double)limit.rlim_cur);
    read_memory(process);
    count_fds(process);
}

void kp_metrics_add_process(struct kp_metrics *metrics)
{
    struct process *process = KP_NEW(struct process);
    *process = (struct process){
        .cpu =
            kp_counter(metrics, "process_cpu_seconds_total", "User and system CPU time spent, in seconds."),
        .resident = kp_gauge(metrics, "process_resident_memory_bytes", "Resident memory size in bytes."),
        .virtual_bytes = kp_gauge(metrics, "process_virtual_memory_bytes", "Virtual memory size in bytes."),
        .fds = kp_gauge(metrics, "process_open_fds", "Open file descriptors."),
        .max_fds = kp_gauge(metrics, "process_max_fds", "Limit of open file descriptors."),
        .start = kp_gauge(metrics, "process_start_time_seconds", "Start time since the epoch, in seconds."),
    };
    kp_metric_set(process->start, (double)kp_now_ms() / 1e3);
    kp_metrics_on_collect_owned(metrics, collect, process);
}
