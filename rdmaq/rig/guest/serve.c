#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 16, GRACE_MS = 1000, HELLO_SECONDS = 10 };

static char payload[FRAME_BYTES_MAX + 1];
/* What the command has not yet taken of its standard input. The client keeps to the window, so that
 * the socket is always read: a signal must not wait behind input that nobody wants. */
static char pending[INPUT_WINDOW_BYTES];
static size_t pending_bytes;
static int input_has_ended;

/* Moves what can be read now. Returns 1 at the stream's end, 0 else, -1 when the client is gone. */
static int forward(int from, int socket, enum frame_kind kind) {
    static char chunk[CHUNK_BYTES];
    ssize_t got = read(from, chunk, sizeof chunk);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got <= 0) return 1; /* a terminal's end is EIO */
    return frame_send(socket, kind, chunk, (size_t)got);
}

static int pump(int *from, int socket, enum frame_kind kind) {
    int verdict = forward(*from, socket, kind);
    if (verdict == 1) {
        close(*from);
        *from = -1;
    }
    return verdict < 0 ? -1 : 0;
}

static void close_input(struct command *command) {
    if (command->input >= 0 && !command->is_terminal) close(command->input);
    if (!command->is_terminal) command->input = -1;
}

/* Returns 0, or -1 when the client is gone. */
static int feed(struct command *command, int socket) {
    ssize_t taken =
        command->input < 0 ? (ssize_t)pending_bytes : write(command->input, pending, pending_bytes);
    if (taken < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (taken < 0) { /* it closed its standard input: the rest goes nowhere */
        close_input(command);
        taken = (ssize_t)pending_bytes;
    }
    pending_bytes -= (size_t)taken;
    memmove(pending, pending + taken, pending_bytes);
    if (!pending_bytes && input_has_ended) close_input(command);
    uint32_t wire = htonl((uint32_t)taken);
    return taken ? frame_send(socket, FRAME_TAKEN, &wire, sizeof wire) : 0;
}

static int take_input(struct command *command, int socket, size_t bytes) {
    if (bytes > sizeof pending - pending_bytes) return -1; /* beyond the window: not ours */
    memcpy(pending + pending_bytes, payload, bytes);
    pending_bytes += bytes;
    if (bytes) return feed(command, socket);
    input_has_ended = 1;
    if (!pending_bytes) close_input(command);
    return 0;
}

static int obey(struct command *command, int socket) {
    char kind;
    size_t bytes;
    if (frame_receive(socket, &kind, payload, &bytes)) return -1;
    if (kind == FRAME_SIGNAL && bytes == 1) {
        kill(-command->pid, payload[0]);
    } else if (kind == FRAME_WINDOW && bytes == 4 && command->is_terminal) {
        uint16_t size[2];
        memcpy(size, payload, sizeof size);
        struct winsize window = {.ws_row = ntohs(size[0]), .ws_col = ntohs(size[1])};
        ioctl(command->output, TIOCSWINSZ, &window);
    } else if (kind == FRAME_INPUT) {
        return take_input(command, socket, bytes);
    }
    return 0;
}

/* Returns 0 when the command has ended, -1 when the client is gone. */
static int stream(struct command *command, int socket) {
    for (;;) {
        struct pollfd wait[] = {
            {.fd = socket, .events = POLLRDHUP | POLLIN},
            {.fd = pending_bytes ? command->input : -1, .events = POLLOUT},
            {.fd = command->output, .events = POLLIN},
            {.fd = command->error, .events = POLLIN},
            {.fd = command->pidfd, .events = POLLIN},
        };
        if (poll(wait, 5, -1) < 0) continue;
        if (wait[2].revents && pump(&command->output, socket, FRAME_OUTPUT)) return -1;
        if (wait[3].revents && pump(&command->error, socket, FRAME_ERROR)) return -1;
        if (wait[4].revents) return 0;
        if (wait[1].revents && feed(command, socket)) return -1;
        if (wait[0].revents & (POLLRDHUP | POLLERR | POLLHUP)) return -1;
        if ((wait[0].revents & POLLIN) && obey(command, socket)) return -1;
    }
}

/* Takes what the command left in its pipes; its children may hold them open: no end is awaited. */
static int drain(int from, int socket, enum frame_kind kind) {
    int available;
    while (from >= 0 && !ioctl(from, FIONREAD, &available) && available > 0)
        if (forward(from, socket, kind)) return -1;
    return 0;
}

/* The client is gone: its command ends, and all that came of it, whatever session they made. */
static void end_all(pid_t group) {
    kill(-group, SIGTERM);
    kill(-group, SIGCONT);
    for (int waited_ms = 0; waited_ms < GRACE_MS && !kill(-group, 0); waited_ms += 20) {
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        usleep(20000);
    }
    kill(-group, SIGKILL);
    for (int round = 0; round < 100; round++) {
        char path[64];
        int child, found = 0;
        snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
        FILE *children = fopen(path, "re");
        while (children && fscanf(children, "%d", &child) == 1) {
            kill(child, SIGKILL);
            found = 1;
        }
        if (children) fclose(children);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        if (!found) return;
        usleep(10000);
    }
}

static int is_known(int socket, const struct identity *identity) {
    struct timeval patience = {.tv_sec = HELLO_SECONDS};
    char kind;
    size_t bytes;
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (frame_receive(socket, &kind, payload, &bytes) || kind != FRAME_TOKEN) return 0;
    unsigned char differs = bytes != strlen(identity->token);
    for (size_t i = 0; !differs && i < bytes; i++)
        differs |= (unsigned char)(payload[i] ^ identity->token[i]);
    return !differs;
}

/* Closing with input unread would reset the connection, and the client lose our last frame. */
static void part(int socket) {
    struct timeval patience = {.tv_sec = HELLO_SECONDS};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    shutdown(socket, SHUT_WR);
    while (read(socket, payload, FRAME_BYTES_MAX) > 0) {
    }
}

void serve(int socket, const struct identity *identity) {
    struct command command = {.input = -1, .output = -1, .error = -1};
    struct timeval patience = {0};
    char kind;
    size_t bytes;
    int status;

    if (!is_known(socket, identity)) return;
    if (frame_receive(socket, &kind, payload, &bytes) || kind != FRAME_REQUEST) return;
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that end_all() finds daemons too */
    if (command_start(&command, socket, payload, bytes)) {
        part(socket);
        return;
    }
    if (stream(&command, socket)) {
        end_all(command.pid);
        return;
    }
    if (drain(command.output, socket, FRAME_OUTPUT) || drain(command.error, socket, FRAME_ERROR))
        return;
    waitpid(command.pid, &status, 0);
    int32_t code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    uint32_t wire = htonl((uint32_t)code);
    if (!frame_send(socket, FRAME_EXIT, &wire, sizeof wire)) part(socket);
}
