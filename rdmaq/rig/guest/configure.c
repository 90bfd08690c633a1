/* The host's configuration: lines of text over the virtio-serial port, ended by "go".
 *
 *   token HEX            who may run commands
 *   entropy HEX          stirred into the kernel's pool (a snapshot's pool is everybody's)
 *   clock NS             CLOCK_REALTIME
 *   idle SECONDS         without a command: power off
 *   host                 mount the host's root, read-only, and go there
 *   checkout PATH        mount the checkout there, read-write
 *   shadow PATH          show the host's PATH there, read-only and cached
 *   set FILE VALUE       write a file of /proc/sys or /sys
 *   batch TOOL           run TOOL with the following lines, up to "end", as its batch file
 * The answer is "ok" or "error TEXT".
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/random.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char failure[512];

static int fail(const char *what, const char *which) {
    snprintf(failure, sizeof failure, "%s %s: %s", what, which, strerror(errno));
    return -1;
}

static void stir(const char *hex) {
    struct {
        struct rand_pool_info info;
        unsigned char bytes[64];
    } seed = {.info = {.buf_size = 0}};
    int pool = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    unsigned value;
    while (seed.info.buf_size < 64 && sscanf(hex, "%2x", &value) == 1) {
        seed.bytes[seed.info.buf_size++] = (unsigned char)value;
        hex += 2;
    }
    seed.info.entropy_count = seed.info.buf_size * 8;
    ioctl(pool, RNDADDENTROPY, &seed);
    ioctl(pool, RNDRESEEDCRNG);
    close(pool);
}

static void make_folders(const char *path) {
    char part[4096];
    for (size_t i = 1; path[i] && i < sizeof part; i++)
        if (path[i] == '/') {
            memcpy(part, path, i);
            part[i] = '\0';
            mkdir(part, 0755);
        }
    mkdir(path, 0755);
}

static int mount_at(const char *what, const char *where, const char *type, unsigned long flags,
                    const char *options) {
    make_folders(where);
    return mount(what, where, type, flags, options) ? fail("mount", where) : 0;
}

static const char ninep[] = "trans=virtio,version=9p2000.L,msize=524288,";

static int enter_host(void) {
    char options[256];
    snprintf(options, sizeof options, "%scache=loose", ninep);
    if (mount_at("root", "/host", "9p", MS_RDONLY, options)) return -1;
    /* The fetched tools lie above the host's files; without an upper layer nothing is written. */
    if (mount_at("overlay", "/new", "overlay", MS_RDONLY, "lowerdir=/tools:/host")) return -1;
    if (mount("/dev", "/new/dev", NULL, MS_MOVE, NULL) ||
        mount("/proc", "/new/proc", NULL, MS_MOVE, NULL) ||
        mount("/sys", "/new/sys", NULL, MS_MOVE, NULL))
        return fail("mount", "/dev, /proc or /sys");
    if (mount_at("tmpfs", "/new/tmp", "tmpfs", 0, "mode=1777") ||
        mount_at("tmpfs", "/new/run", "tmpfs", 0, "mode=0755") ||
        mount_at("tmpfs", "/new/var/tmp", "tmpfs", 0, "mode=1777") ||
        mount_at("tmpfs", "/new/dev/shm", "tmpfs", 0, "mode=1777") ||
        mount_at("devpts", "/new/dev/pts", "devpts", 0, "mode=0620,ptmxmode=0666,gid=5"))
        return -1;
    /* Keeps the host's files reachable where something covers them. */
    make_folders("/new/run/host");
    if (mount("/host", "/new/run/host", NULL, MS_MOVE, NULL)) return fail("move", "/host");
    if (chdir("/new") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
        return fail("enter", "/new");
    unlink("/dev/ptmx");
    (void)!symlink("pts/ptmx", "/dev/ptmx");
    make_folders("/run/lock");
    chmod("/run/lock", 01777);
    return 0;
}

static int mount_checkout(const char *path) {
    char options[256];
    snprintf(options, sizeof options, "%scache=none", ninep);
    return mount_at("checkout", path, "9p", 0, options);
}

static int show_shadow(const char *path) {
    char source[4200];
    struct stat found;
    snprintf(source, sizeof source, "/run/host%s", path);
    if (stat(source, &found)) return 0; /* gone meanwhile: nothing to show */
    make_folders(path);
    return mount(source, path, NULL, MS_BIND, NULL) ? fail("bind", path) : 0;
}

static int set_value(char *file) {
    char *value = strchr(file, ' ');
    if (!value) return 0;
    *value++ = '\0';
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write_all(fd, value, strlen(value))) return fail("set", file);
    close(fd);
    return 0;
}

static int run_batch(const char *tool, FILE *lines) {
    char line[512], text[256] = "";
    int output[2];
    FILE *batch = fopen("/tmp/.batch", "we");
    if (!batch || pipe2(output, O_CLOEXEC)) return fail("batch", tool);
    while (fgets(line, sizeof line, lines) && strcmp(line, "end\n") != 0) fputs(line, batch);
    fclose(batch);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(output[1], STDOUT_FILENO);
        dup2(output[1], STDERR_FILENO);
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        execlp(tool, tool, "-b", "/tmp/.batch", (char *)NULL);
        dprintf(STDERR_FILENO, "%s", strerror(errno));
        _exit(127);
    }
    close(output[1]);
    size_t used = 0;
    ssize_t got;
    while ((got = read(output[0], text + used, sizeof text - 1 - used)) > 0) used += (size_t)got;
    text[used] = '\0';
    close(output[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    unlink("/tmp/.batch");
    if (status) {
        snprintf(failure, sizeof failure, "%s: %s", tool, text);
        for (char *c = failure; *c; c++)
            if (*c == '\n') *c = ' ';
    }
    return status ? -1 : 0;
}

/* Returns 0 and goes on, 1 at "go", -1 after a failure. */
static int obey(char *line, struct identity *identity, FILE *lines) {
    line[strcspn(line, "\n")] = '\0';
    char *rest = strchr(line, ' ');
    if (rest)
        *rest++ = '\0';
    else
        rest = line + strlen(line);
    if (!strcmp(line, "go")) return 1;
    if (!strcmp(line, "token"))
        snprintf(identity->token, sizeof identity->token, "%s", rest);
    else if (!strcmp(line, "entropy"))
        stir(rest);
    else if (!strcmp(line, "clock"))
        clock_follow(strtoull(rest, NULL, 10));
    else if (!strcmp(line, "idle"))
        identity->idle_seconds = (unsigned)strtoul(rest, NULL, 10);
    else if (!strcmp(line, "host"))
        return enter_host();
    else if (!strcmp(line, "checkout"))
        return mount_checkout(rest);
    else if (!strcmp(line, "shadow"))
        return show_shadow(rest);
    else if (!strcmp(line, "set"))
        return set_value(rest);
    else if (!strcmp(line, "batch"))
        return run_batch(rest, lines);
    return 0;
}

static int open_port(void) {
    glob_t found;
    int port = -1;
    while (port < 0) {
        if (!glob("/dev/vport*", 0, NULL, &found)) {
            port = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
            globfree(&found);
        }
        if (port < 0) usleep(10000);
    }
    return port;
}

void configure_from_host(struct identity *identity) {
    static char text[1 << 18];
    size_t used = 0;
    int port = open_port();
    while (used < 4 || memcmp(text + used - 4, "\ngo\n", 4) != 0) {
        /* Without a host at the other end a read returns 0 at once. */
        ssize_t got = read(port, text + used, sizeof text - 1 - used);
        if (got > 0)
            used += (size_t)got;
        else
            usleep(5000);
        if (used >= sizeof text - 1) break;
    }
    char line[4200];
    int verdict = 0;
    FILE *lines = fmemopen(text, used, "r");
    while (!verdict && fgets(line, sizeof line, lines)) verdict = obey(line, identity, lines);
    fclose(lines);
    if (verdict == 1 && identity->token[0]) {
        (void)!write(port, "ok\n", 3);
        close(port);
        return;
    }
    dprintf(port, "error %s\n", failure[0] ? failure : "no token");
    say("rdmaq-rig: configuration failed: %s", failure);
    sleep(1);
    reboot(RB_AUTOBOOT);
}
