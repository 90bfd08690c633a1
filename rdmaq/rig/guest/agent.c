#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HANDLERS_MAX = 256 };

static pid_t handlers[HANDLERS_MAX];
static int handler_count;

void say(const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (bytes < 0) return;
    if ((size_t)bytes > sizeof line - 2) bytes = sizeof line - 2;
    line[bytes++] = '\n';
    (void)!write(STDERR_FILENO, line, (size_t)bytes);
}

static void load_modules(void) {
    FILE *list = fopen("/modules/order", "re");
    char path[256];
    if (!list) return;
    while (fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = '\0';
        int module = open(path, O_RDONLY | O_CLOEXEC);
        if (module < 0 || (syscall(SYS_finit_module, module, "", 0) && errno != EEXIST))
            say("rdmaq-rig: cannot load %s: %s", path, strerror(errno));
        if (module >= 0) close(module);
    }
    fclose(list);
}

static void boot(void) {
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, "");
    mount("proc", "/proc", "proc", 0, "");
    mount("sysfs", "/sys", "sysfs", 0, "");
    sethostname("rig", 3);
    int console = open("/dev/console", O_RDWR);
    for (int fd = 0; console >= 0 && fd < 3; fd++) dup2(console, fd);
    if (console > 2) close(console);
    load_modules();
}

static int listen_for_commands(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(COMMAND_PORT)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        say("rdmaq-rig: cannot listen: %s", strerror(errno));
        return -1;
    }
    return listener;
}

static void reap(void) {
    pid_t ended;
    while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
        for (int i = 0; i < handler_count; i++)
            if (handlers[i] == ended) handlers[i--] = handlers[--handler_count];
}

static void start_handler(int connection, int listener, const struct identity *identity) {
    pid_t pid = handler_count < HANDLERS_MAX ? fork() : -1;
    if (pid == 0) {
        signal(SIGCHLD, SIG_DFL);
        close(listener);
        serve(connection, identity);
        _exit(0);
    }
    if (pid > 0) handlers[handler_count++] = pid;
    close(connection);
}

static void on_child(int number) { (void)number; }

int main(void) {
    static struct identity identity;
    struct timespec now;

    boot();
    /* Before the configuration, whose answer tells the host that it may connect. */
    int listener = listen_for_commands();
    if (listener < 0) reboot(RB_AUTOBOOT);
    /* The host waits for this line on the console; a snapshot is taken here. */
    say("rdmaq-rig: ready");
    configure_from_host(&identity);

    /* No SA_RESTART: the end of a child interrupts poll(). */
    struct sigaction action = {.sa_handler = on_child};
    sigaction(SIGCHLD, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t busy_at = now.tv_sec;
    for (;;) {
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        poll(&wait, 1, 1000);
        reap();
        if (wait.revents & POLLIN) {
            int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (connection >= 0) start_handler(connection, listener, &identity);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (handler_count) busy_at = now.tv_sec;
        if (identity.idle_seconds && now.tv_sec - busy_at > (time_t)identity.idle_seconds) {
            say("rdmaq-rig: idle for %u s, powering off", identity.idle_seconds);
            sync();
            reboot(RB_AUTOBOOT); /* QEMU runs with -no-reboot: it ends */
        }
    }
}
