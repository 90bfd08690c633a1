/* The rig's agent: process 1 of the guest. It loads modules, waits to be told who it is, mounts the
 * host's files, and then runs commands for whoever knows the token.
 *
 *   agent.c      boot, the main loop, reaping
 *   configure.c  what the host says once over the virtio-serial port: identity, mounts, wires
 *   serve.c      one connection = one command: streams, status, signals, its end
 *   command.c    from a request to a running process
 *   frames.c     the framing that rdmaq/rig/frames.py speaks on the other side
 */
#ifndef RDMAQ_RIG_AGENT_H
#define RDMAQ_RIG_AGENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    COMMAND_PORT = 1022,          /* rdmaq/rig/qemu.py forwards a host port to it */
    FRAME_BYTES_MAX = 1 << 20,    /* of a frame's payload, both directions */
    INPUT_WINDOW_BYTES = 1 << 18, /* of standard input sent and not yet told of by FRAME_TAKEN */
    TOKEN_BYTES_MAX = 64,
};

/* A frame: kind (1 byte), payload length (4 bytes, big-endian), payload. */
enum frame_kind {
    FRAME_TOKEN = 'T',   /* to the agent, first: the token */
    FRAME_REQUEST = 'R', /* to the agent: what to run, NUL-separated fields (command.c) */
    FRAME_INPUT = 'I',   /* to the agent: standard input, within the window; empty = its end */
    FRAME_SIGNAL = 'S',  /* to the agent: one byte, for the command's process group */
    FRAME_WINDOW = 'W',  /* to the agent: rows, columns (2 bytes each, big-endian) */
    FRAME_OUTPUT = 'O',  /* from the agent: standard output */
    FRAME_ERROR = 'E',   /* from the agent: standard error */
    FRAME_TAKEN = 'K',   /* from the agent: how much input the command took (4 bytes, big-endian) */
    FRAME_FAILED = 'F',  /* from the agent: "STEP ERRNO": the command never ran */
    FRAME_EXIT = 'X',    /* from the agent, last: status (4 bytes, big-endian), negative = signal */
};

struct identity {
    char token[TOKEN_BYTES_MAX + 1];
    unsigned idle_seconds; /* without a command: power off; 0 = never */
};

/* frames.c: all return 0, or -1 when the other side is gone. */
int write_all(int fd, const void *data, size_t bytes);
int read_all(int fd, void *data, size_t bytes);
int frame_send(int fd, enum frame_kind kind, const void *payload, size_t bytes);
/* Reads one frame into `payload` (room for FRAME_BYTES_MAX + 1, always NUL-terminated). */
int frame_receive(int fd, char *kind, char *payload, size_t *bytes);

/* configure.c: returns once the host has configured this guest; ends the guest when that fails. */
void configure_from_host(struct identity *identity);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* command.c */
struct command {
    pid_t pid;  /* also its session and process group */
    int pidfd;  /* readable when it has ended */
    int input;  /* we write its standard input; -1 = closed */
    int output; /* we read its standard output (or terminal); -1 = at its end */
    int error;  /* we read its standard error; -1 = at its end, or a terminal */
    int is_terminal;
};
/* Returns 0, or -1 after having sent FRAME_FAILED to `socket`. */
int command_start(struct command *command, int socket, char *request, size_t bytes);
void clock_follow(uint64_t realtime_ns);

/* serve.c: serves one connection to its end; runs in a process of its own. */
void serve(int socket, const struct identity *identity);

#endif
