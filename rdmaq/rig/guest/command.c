/* A request's fields, each ended by NUL: clock (ns), user, group, groups (comma-separated),
 * terminal ("rows columns", or empty), folder, argument count, arguments, environment. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FIELDS_MAX = 16384, GROUPS_MAX = 256 };

struct request {
    uint64_t clock_ns;
    uid_t user;
    gid_t group;
    gid_t groups[GROUPS_MAX];
    size_t group_count;
    unsigned short rows, columns;
    const char *folder;
    char **arguments;
    char **environment;
};

void clock_follow(uint64_t realtime_ns) {
    struct timespec now,
        host = {(time_t)(realtime_ns / 1000000000u), (long)(realtime_ns % 1000000000u)};
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t behind_ns = (int64_t)realtime_ns - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    /* A paused guest falls behind; small differences are the connection's own delay. */
    if (behind_ns > 100000000 || behind_ns < -100000000) clock_settime(CLOCK_REALTIME, &host);
}

static int parse(struct request *request, char *text, size_t bytes) {
    static char *fields[FIELDS_MAX + 2];
    size_t count = 0;
    for (char *next = text; next < text + bytes && count < FIELDS_MAX; next += strlen(next) + 1)
        fields[count++] = next;
    if (count < 8) return -1;
    request->clock_ns = strtoull(fields[0], NULL, 10);
    request->user = (uid_t)strtoul(fields[1], NULL, 10);
    request->group = (gid_t)strtoul(fields[2], NULL, 10);
    for (char *next = strtok(fields[3], ","); next; next = strtok(NULL, ","))
        if (request->group_count < GROUPS_MAX)
            request->groups[request->group_count++] = (gid_t)strtoul(next, NULL, 10);
    sscanf(fields[4], "%hu %hu", &request->rows, &request->columns);
    request->folder = fields[5];
    size_t argument_count = strtoul(fields[6], NULL, 10);
    if (!argument_count || argument_count > count - 7) return -1;
    /* A NULL between arguments and environment: shift the settings up by one. */
    memmove(fields + 8 + argument_count, fields + 7 + argument_count,
            (count - 7 - argument_count) * sizeof *fields);
    fields[7 + argument_count] = NULL;
    fields[count + 1] = NULL;
    request->arguments = fields + 7;
    request->environment = fields + 8 + argument_count;
    return 0;
}

static int fail(int socket, const char *step) {
    char text[64];
    int bytes = snprintf(text, sizeof text, "%s %d", step, errno);
    frame_send(socket, FRAME_FAILED, text, (size_t)bytes);
    return -1;
}

static void lift_limits(void) {
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY}, files = {65536, 1 << 20};
    setrlimit(RLIMIT_MEMLOCK, &all); /* registration pins: a limit here tests the host, not you */
    setrlimit(RLIMIT_NOFILE, &files);
}

/* The guest is a test's own machine: whoever runs there may break its wires (tc, ip link). */
static void keep_network_rights(void) {
    const unsigned kept[] = {CAP_NET_ADMIN, CAP_NET_RAW};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2] = {{0}};
    for (int i = 0; i < 2; i++)
        sets[0].effective = sets[0].permitted = sets[0].inheritable |= 1u << kept[i];
    if (syscall(SYS_capset, &header, sets)) return;
    for (int i = 0; i < 2; i++) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0);
}

static void report_and_end(int report, const char *step) {
    dprintf(report, "%s %d", step, errno);
    _exit(127);
}

static void become_command(const struct request *request, int terminal, int report) {
    char folder[64];
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (terminal) ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    lift_limits();
    mkdir("/run/user", 0755);
    snprintf(folder, sizeof folder, "/run/user/%u", request->user);
    if (!mkdir(folder, 0700)) (void)!chown(folder, request->user, request->group);
    prctl(PR_SET_KEEPCAPS, 1);
    if (setgroups(request->group_count, request->groups) || setgid(request->group) ||
        setuid(request->user))
        report_and_end(report, "user");
    if (request->user) keep_network_rights();
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whoever kills its handler shall not keep the command */
    if (chdir(request->folder)) report_and_end(report, "folder");
    environ = request->environment;
    execvp(request->arguments[0], request->arguments);
    report_and_end(report, "command");
}

static int open_terminal(struct command *command, const struct request *request, int child[3]) {
    struct winsize window = {.ws_row = request->rows, .ws_col = request->columns};
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) || unlockpt(master)) return -1;
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) return -1;
    ioctl(master, TIOCSWINSZ, &window);
    (void)!fchown(slave, request->user, (gid_t)-1);
    child[0] = child[1] = child[2] = slave;
    command->input = master;
    command->output = fcntl(master, F_DUPFD_CLOEXEC, 3);
    command->error = -1;
    command->is_terminal = 1;
    return 0;
}

static int open_pipes(struct command *command, int child[3]) {
    int input[2], output[2], error[2];
    if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC) || pipe2(error, O_CLOEXEC)) return -1;
    fcntl(output[0], F_SETPIPE_SZ, 1 << 18);
    child[0] = input[0];
    child[1] = output[1];
    child[2] = error[1];
    command->input = input[1];
    command->output = output[0];
    command->error = error[0];
    return 0;
}

int command_start(struct command *command, int socket, char *text, size_t bytes) {
    static struct request request;
    int child[3], report[2];
    errno = EINVAL;
    if (parse(&request, text, bytes)) return fail(socket, "request");
    clock_follow(request.clock_ns);
    if (request.rows ? open_terminal(command, &request, child) : open_pipes(command, child))
        return fail(socket, "streams");
    if (pipe2(report, O_CLOEXEC)) return fail(socket, "streams");
    command->pid = fork();
    if (command->pid < 0) return fail(socket, "fork");
    if (command->pid == 0) {
        for (int fd = 0; fd < 3; fd++) dup2(child[fd], fd);
        become_command(&request, command->is_terminal, report[1]);
    }
    close(report[1]);
    for (int i = 0; i < (command->is_terminal ? 1 : 3); i++) close(child[i]);
    command->pidfd = (int)syscall(SYS_pidfd_open, command->pid, 0);
    /* Closed by a successful exec: nothing to read. */
    char why[64];
    ssize_t got = read(report[0], why, sizeof why);
    close(report[0]);
    if (got > 0) {
        frame_send(socket, FRAME_FAILED, why, (size_t)got);
        return -1;
    }
    fcntl(command->input, F_SETFL, O_NONBLOCK);
    fcntl(command->output, F_SETFL, O_NONBLOCK);
    if (command->error >= 0) fcntl(command->error, F_SETFL, O_NONBLOCK);
    return 0;
}
